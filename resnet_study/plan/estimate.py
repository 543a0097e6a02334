"""Seconds that a run takes, from what a benchmark has measured. Nothing here is measured anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resnet_study.config import RunConfig
from resnet_study.plan.images import Images
from resnet_study.plan.measured import Benchmark, Speed
from resnet_study.plan.place import Place

# Assumed, and said so in each plan: a run's own start (its data, its network), that of a
# process (Python and torch), and the capture of a CUDA graph.
START, PROCESS_START, GPU_START = 2.0, 5.0, 6.0


@dataclass(frozen=True)
class Estimate:
    """What a run takes from its beginning to its end.

    Attributes:
        seconds: In all.
        start: The part of it that does not depend on how much is left of the run.
        basis: What it rests on, in a word or two: "measured", "between measured depths",
            "beyond measured depths", "scaled", or "3 runs".
        spread: How far the measurements lie apart, in percent; None of a single one.
        notes: What a reader should know of it.
    """

    seconds: float
    start: float
    basis: str
    spread: float | None
    notes: tuple[str, ...] = ()


def start_seconds(place: Place) -> float:
    """Seconds until a run trains."""
    own = PROCESS_START if place.own_process else 0.0
    return START + own + (GPU_START if place.gpus else 0.0)


def evaluations(config: RunConfig) -> int:
    """Evaluations of a run: each `eval_every`, at the end, and before, of trained weights."""
    schedule = config.schedule
    started = config.start.depth is not None or config.start.run is not None
    return math.ceil(schedule.iterations / schedule.eval_every) + started


def estimate(config: RunConfig, images: Images, place: Place, benchmark: Benchmark) -> Estimate:
    """Estimates a run.

    Args:
        config: The run.
        images: What it sees.
        place: Where it is trained.
        benchmark: What was measured, there or elsewhere.
    """
    schedule, notes = config.schedule, []
    speeds, slower, note = recipe(benchmark, config, place)
    notes += note
    side: float = images.side
    if config.model.architecture == "imagenet":
        # Stem and pooling reduce it before the stages.
        side /= 4
        notes.append(
            "no network of ImageNet's family was measured: these times are scaled from CIFAR's by "
            "multiply-adds and may be wrong by a multiple; reading images and the last "
            "evaluation's views are not counted"
        )
    speeds, scale = nearest_scale(speeds, config.model.width, side)
    if config.model.architecture == "imagenet":
        # Wide layers are bound by arithmetic, which grows with the square of the width.
        scale *= config.model.width / speeds[0].width
    depth = config.model.depth
    train = slower * scale * over_depth([(s.depth, s.train) for s in speeds], depth)
    evaluate = slower * scale * over_depth([(s.depth, s.evaluate) for s in speeds], depth)
    saving = scale * over_depth([(s.depth, s.checkpoint) for s in speeds], depth)
    if config.activation_checkpointing:
        # Forwards once more, of three passes.
        train *= 4 / 3
        notes.append("activation checkpointing is counted as a third more")
    if (batch := speeds[0].batch_size) != schedule.batch_size:
        notes.append(
            f"batches of {batch} were measured, not {schedule.batch_size}; small ones take more "
            "time per image"
        )
    if config.model.family != "residual-A":
        notes.append("only option A was measured: plain networks take less, B and C more")
    if config.model.norm == "none":
        notes.append("networks with batch norm were measured, those without take less")
    if config.probes.active:
        notes.append("probes are not counted")
    if schedule.plateau.stop_early:
        notes.append("a plateau may end runs earlier")
    if config.kernels == "torch" and benchmark.kernels == "fused" and place.device == "cpu":
        notes.append("kernels=torch is slower than the kernels that were measured")
    seen = min(schedule.eval_train_images or images.train, images.train) + images.test
    start = start_seconds(place)
    seconds = (
        start
        + schedule.iterations * schedule.batch_size * train
        + evaluations(config) * seen * evaluate
        + math.ceil(schedule.iterations / config.checkpoint.every) * saving
    )
    spreads = [s.spread for s in speeds]
    known = [spread for spread in spreads if spread is not None]
    spread = max(known) if len(known) == len(spreads) else None
    return Estimate(seconds, start, _basis(speeds, depth, scale), spread, tuple(notes))


def _basis(speeds: Sequence[Speed], depth: int, scale: float) -> str:
    depths = [speed.depth for speed in speeds]
    if scale != 1:
        return "scaled"
    if depth in depths:
        return "measured"
    return "interpolated" if min(depths) < depth < max(depths) else "extrapolated"


def recipe(
    benchmark: Benchmark, config: RunConfig, place: Place
) -> tuple[list[Speed], float, list[str]]:
    """The measurements of the recipe that is nearest to how a run would be trained.

    Returns:
        The measurements; how many times as long an image takes where more workers share the
        machine than were measured; and what a reader should know.
    """
    notes = []
    speeds = [s for s in benchmark.speeds if s.precision == config.precision]
    if not speeds:
        speeds = list(benchmark.speeds)
        notes.append(f"{config.precision} was not measured; another precision stands for it")
    if benchmark.device != place.device:
        kinds = {"cpu": "a CPU", "cuda": "a GPU"}
        notes.append(
            f"measured on {kinds.get(benchmark.device, benchmark.device)}, while these runs "
            f"train on {kinds[place.device]}: these times say little"
        )
    threads = config.threads or place.threads
    if place.device == "cuda":
        sharing = 1 if place.cluster else math.ceil(place.workers / place.gpus)
        speeds = _nearest(speeds, lambda speed: speed.workers, sharing)
        workers = speeds[0].workers
        if sharing != workers:
            notes.append(f"{workers} at a time on a GPU were measured, not {sharing}")
        return speeds, max(1.0, sharing / workers), notes
    speeds = _nearest(speeds, lambda speed: speed.threads, threads)
    speeds = _nearest(speeds, lambda speed: speed.workers, place.workers)
    measured = speeds[0].threads
    if measured != threads:
        notes.append(
            f"{_threads(measured)} of a run {'was' if measured == 1 else 'were'} measured, "
            f"not {_threads(threads)}"
        )
    if place.cores is None:
        return speeds, 1.0, notes
    before = max(1.0, speeds[0].workers * measured / benchmark.cores)
    return speeds, max(1.0, place.workers * threads / place.cores / before), notes


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _nearest(speeds: list[Speed], of: Callable[[Speed], float], value: float) -> list[Speed]:
    """Those whose number is nearest, by ratio; the smaller of two that are equally near."""
    best = min({of(s) for s in speeds}, key=lambda found: (abs(math.log(found / value)), found))
    return [speed for speed in speeds if of(speed) == best]


def nearest_scale(speeds: Sequence[Speed], width: int, side: float) -> tuple[list[Speed], float]:
    """The measurements at the nearest width and side, and the factor from there to here.

    Cost grows with width and with the square of the side, as in `sweep.relative_cost`.
    """

    def cost(speed: Speed) -> float:
        return float(speed.width * speed.side**2)

    wanted = width * side**2
    exact = [s for s in speeds if (s.width, s.side) == (width, side)]
    found = exact or _nearest(list(speeds), cost, wanted)
    return found, 1.0 if exact else wanted / cost(found[0])


def over_depth(points: Sequence[tuple[int, float]], depth: int) -> float:
    """Seconds at a depth, from seconds at measured depths: straight lines between these.

    Time is a straight line in depth; beyond the measured depths the last piece goes on. A
    single measurement is taken in proportion.

    Args:
        points: Depth and seconds; the mean counts where a depth stands twice.
        depth: Weighted layers.
    """
    by_depth: dict[int, list[float]] = {}
    for measured, seconds in points:
        by_depth.setdefault(measured, []).append(seconds)
    known = sorted((d, sum(each) / len(each)) for d, each in by_depth.items())
    if len(known) == 1:
        return known[0][1] * depth / known[0][0]
    after = next((i for i, (d, _) in enumerate(known) if d >= depth), len(known) - 1)
    (one, low), (two, high) = known[max(0, after - 1) : max(0, after - 1) + 2]
    line = low + (high - low) * (depth - one) / (two - one)
    if one <= depth <= two:
        return line
    # Noise could tilt the line below nothing where it is followed far.
    nearest, seconds = min(known, key=lambda point: abs(point[0] - depth))
    return max(line, seconds * min(1.0, depth / nearest))
