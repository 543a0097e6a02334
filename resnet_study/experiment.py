"""One run, from its description to its finished folder."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from resnet_study.config import RunConfig, StartConfig
from resnet_study.data import ImageSet, open_data, prepare_data
from resnet_study.data.loader import Images, Tensors
from resnet_study.data.reader import naming_deaths
from resnet_study.data.stream import StreamedFolder
from resnet_study.models import build_network
from resnet_study.models.counting import count_multiply_adds, count_parameters
from resnet_study.models.kernels import describe_kernels, kernels_for
from resnet_study.models.parts import normalise_in_parts
from resnet_study.models.staged import StagedNet
from resnet_study.probes import Measurement, look
from resnet_study.progress import Reporter
from resnet_study.store.events import check_logger
from resnet_study.store.finished import check_finished
from resnet_study.store.folder import RunFolder, RunRecord
from resnet_study.store.journal import FolderOutputs, Outputs, now, recorded
from resnet_study.store.space import check_space
from resnet_study.store.start import check_start, put_start
from resnet_study.system import machine
from resnet_study.system.errors import ConfigError, ImageError
from resnet_study.system.files import check_writable
from resnet_study.system.interruption import Interrupted, StopRequest
from resnet_study.training.checkpoint import Checkpoints, restore
from resnet_study.training.evaluation import Batch as Chunk
from resnet_study.training.evaluation import Scores, evaluate
from resnet_study.training.loop import Evaluation, first_row, train
from resnet_study.training.schedule import ended, row_pending
from resnet_study.training.state import TrainingState
from resnet_study.training.step import AHEAD, build_optimizer, build_step
from resnet_study.training.world import World


def run(
    config: RunConfig,
    reporter: Reporter | None = None,
    stop: StopRequest | None = None,
) -> RunRecord:
    """Trains one run to its end, from its last checkpoint on if there is one.

    A run whose folder holds it finished already is not trained again.

    Args:
        config: The run's description.
        reporter: Told of iterations and rows as they come.
        stop: Asked after each iteration and within evaluations. By default SIGINT, SIGTERM and
            SIGUSR2 stop.

    Returns:
        The record of the run's folder: finished, or diverged.

    Raises:
        StudyError: The description cannot be carried out here (then nothing has been
            created), or a file cannot be read or written.
        Interrupted: A stop was requested, and the state has been saved.
    """
    reporter = reporter or Reporter()
    processes = World.here()
    request = stop or StopRequest(worker=processes.size > 1)
    folder = RunFolder.of(config)
    with processes.connected(config.device):
        if record := processes.from_first(folder.completed):
            check_finished(config)
            return record
        device, images = processes.first_first(lambda: prepare(config))
        check_space([config])
        _train_start(config, reporter, stop, request)

        def may_wait() -> bool:
            reporter.waiting()
            return not request.requested

        with nullcontext() if stop else request, ExitStack() as opened:
            held = processes.from_first(lambda: opened.enter_context(folder.lock(may_wait)))
            if not held:
                number = request.signal_number or signal.SIGTERM
                raise Interrupted(number, 0, config.schedule.iterations)
            if record := processes.from_first(folder.completed):
                return record
            with processes.only_first(recorded(folder, config), {}) as manifest:
                manifest["state"] = _train(
                    config, device, images, folder, manifest, reporter, request, processes
                )
            if processes.first:
                # The last one holds the trained weights.
                folder.previous_checkpoint_file.unlink(missing_ok=True)
            return RunRecord(folder.path, manifest)


def _train(
    config: RunConfig,
    device: torch.device,
    images: ImageSet | StreamedFolder,
    folder: RunFolder,
    manifest: dict[str, Any],
    reporter: Reporter,
    request: StopRequest,
    processes: World,
) -> str:
    """Trains a run that this process holds, or has a share in, and fills in its manifest.

    Returns:
        "finished" or "diverged".
    """
    threads = machine.set_up(config.threads, processes.local_size, device)
    machine.reset_peak_memory(device)
    data = prepare_data(images, config, device, threads)
    seen_in_parts = processes.parts_here(config.batch_norm_parts) != (1, None)
    # Parts are normalised by torch's.
    kernels = "torch" if seen_in_parts else kernels_for(device, config.kernels)

    def build(in_parts: bool) -> StagedNet:
        network = build_network(
            config.model,
            data.classes,
            config.seed,
            config.activation_checkpointing,
            fused=kernels == "fused",
        )
        if in_parts:
            normalise_in_parts(network, *processes.parts_here(config.batch_norm_parts))
        return network

    network = build(seen_in_parts)
    manifest |= machine.describe(device, threads) | describe_kernels(kernels)
    manifest |= {"processes": processes.size, "hosts": processes.hosts()}
    manifest["data"] = {
        "title": config.data.title,
        "fingerprint": images.fingerprint(),
        "evaluated_on": "validation" if config.data.validation_images else "test",
        **images.describe(),
    }
    if isinstance(images, StreamedFolder):
        # The list itself, which grows while the run goes on.
        manifest["unreadable_images"] = images.going_on(manifest.get("unreadable_images", []))
    manifest["parameters"] = count_parameters(network)
    manifest["multiply_adds"] = count_multiply_adds(network, *data.side)

    checkpoints = Checkpoints(
        folder.checkpoint_file,
        folder.previous_checkpoint_file,
        config,
        manifest["data"]["fingerprint"],
        manifest["versions"]
        | {
            "device": manifest["device_name"],
            "threads": str(threads),
            "kernels": kernels,
            "processes": str(processes.size),
        },
    )
    # What goes from process to process goes by the CPU.
    place = device if processes.size == 1 else torch.device("cpu")
    saved = processes.from_first(lambda: checkpoints.load(place))
    if saved is None and (start := put_start(config, network)):
        manifest["start"] = start
    # Convolutions with few channels run faster with the channels innermost.
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(network, config.schedule)
    state = TrainingState.initial(config.schedule, config.model.depth, device)
    if saved:
        state = restore(saved, network, optimizer, device)
        if not processes.first:
            # What had been summed up is in the first process's sums.
            state.loss_sum.zero_()
            state.wrong.zero_()
        manifest["resumed"] = [
            *manifest.get("resumed", []),
            {"iteration": state.iteration, "at": now()},
        ]
    step = build_step(
        processes.together(network),
        optimizer,
        config.precision,
        state,
        data.batches.assemble,
        1 / processes.size,
        ahead=AHEAD if config.data.streamed else None,
    )
    outputs = Outputs()
    if processes.first:
        begun = state.iteration - row_pending(config.schedule, state)
        outputs = FolderOutputs(
            folder, config, manifest, checkpoints, saved, begun, device, reporter
        )

    def interrupted(iteration: int) -> Interrupted:
        number = request.signal_number or signal.SIGTERM
        return Interrupted(number, iteration, config.schedule.iterations)

    def heeding(chunks: Generator[Chunk]) -> Iterator[Chunk]:
        """Hears a stop within an evaluation, too, where no other process takes part in it."""
        with closing(chunks):
            for chunk in chunks:
                if processes.size == 1 and request.requested:
                    if row_pending(config.schedule, state):
                        save()
                    raise interrupted(state.iteration)
                yield chunk

    def score(chunks: Generator[Chunk]) -> Scores:
        return evaluate(network, heeding(chunks), config.precision, processes)

    def evaluation(images: Images) -> Evaluation:
        def measure() -> Scores:
            processes.average_statistics(network, config.batch_norm_parts)
            return score(images.chunks(data.chunk, processes.turns))

        return measure

    evaluations = {"clean_train": evaluation(data.clean_train), "test": evaluation(data.test)}

    def note_unreadable() -> None:
        if isinstance(images, StreamedFolder):
            images.going_on(processes.union(images.unreadable.paths))

    def save() -> None:
        note_unreadable()
        processes.average_statistics(network, config.batch_norm_parts)
        loss_sum, wrong = processes.total(state.loss_sum), processes.total(state.wrong)
        outputs.save(network, optimizer, replace(state, loss_sum=loss_sum, wrong=wrong))

    def probe(iteration: int) -> None:
        # The last look is at the trained network, though a plateau may have ended it early.
        last = config.schedule.iterations if ended(config.schedule, state) else iteration
        if not config.probes.active or not {iteration, last} & {*config.probes.at}:
            return
        processes.average_statistics(network, config.batch_norm_parts)

        def find() -> Iterator[Measurement]:
            whole = network
            if seen_in_parts:
                whole = build(in_parts=False)
                whole.load_state_dict(network.state_dict())
                whole.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            sample = data.clean_train.spread(config.probes.images)
            everything = data.train.chunks(data.chunk)
            return look(config.probes, whole, sample, everything)

        outputs.probe(iteration, find)

    def completed(iteration: int) -> None:
        outputs.iteration(iteration)
        probe(iteration)
        if processes.asked(request.requested, iteration):
            save()
            raise interrupted(iteration)
        if iteration % config.checkpoint.every == 0:
            save()

    def read() -> Generator[Tensors]:
        try:
            yield from data.batches.starting_at(state.iteration, processes.share)
        except ImageError:
            # Between two iterations; of several processes the others do not know of it.
            if processes.size == 1:
                save()
            raise

    batches = read()
    with closing(outputs), closing(batches), naming_deaths(config.data.stream.workers):
        if saved is None:
            if config.start != StartConfig():
                outputs.row(first_row(evaluations))
            probe(0)
        outcome = train(
            step,
            batches,
            evaluations,
            config.schedule,
            len(images.train_labels),
            state,
            on_row=outputs.row,
            on_iteration=completed,
            processes=processes,
        )
        if outcome == "finished" and state.iteration % config.checkpoint.every:
            save()
        if outcome == "finished" and data.views:
            manifest["evaluation"] = {
                view: asdict(score(chunks(processes.turns))) for view, chunks in data.views.items()
            }
            note_unreadable()
        outputs.finish()
    return outcome


def prepare(config: RunConfig) -> tuple[torch.device, ImageSet | StreamedFolder]:
    """Finds out whether a run can begin, and loads its data, before anything is created.

    Raises:
        StudyError: The device is not there, `runs_dir` cannot be written, or the data are
            missing or unfit.
    """
    processes = World.here()
    processes.check(config.schedule.batch_size, config.batch_norm_parts)
    device = machine.choose_device(processes.device(config.device))
    check_logger(config.logger)
    check_start(config)
    check_writable(Path(config.runs_dir))
    # Compiled here if need be, before many processes would do so at once.
    kernels_for(device, config.kernels)
    images = open_data(config.data)
    if config.schedule.batch_size > len(images.train_labels):
        allowed = f"allowed is at most the {len(images.train_labels)} training images"
        raise ConfigError("schedule.batch_size", config.schedule.batch_size, allowed)
    return device, images


def _train_start(
    config: RunConfig, reporter: Reporter, stop: StopRequest | None, request: StopRequest
) -> None:
    """Trains the shallower run that a run starts from, where that has not been done."""
    processes = World.here()
    shallower = config.shallower()
    if shallower is None or processes.from_first(RunFolder.of(config).checkpoint_file.exists):
        return
    record = processes.from_first(RunFolder.of(shallower).completed)
    if record is None:
        # Another worker may be at it; either way it is there before this run.
        with nullcontext() if stop else request:
            record = run(shallower, reporter, stop=request)
    if record.state != "finished":
        allowed = f"{record.folder} {record.state}; a finished run is needed"
        raise ConfigError("start.depth", config.start.depth, allowed)
