"""One run, from its description to its finished folder."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from resnet_study import machine
from resnet_study.config import RunConfig
from resnet_study.data import ImageSet, load_images
from resnet_study.data.loader import DeviceImages, to_device
from resnet_study.errors import ConfigError, DataError, StorageError
from resnet_study.events import EventLog, check_logger
from resnet_study.files import check_writable, write_text
from resnet_study.interruption import Interrupted, StopRequest
from resnet_study.logs import MetricsLog, ProbeLog
from resnet_study.models import (
    build_network,
    count_multiply_adds,
    count_parameters,
    kernels_for,
)
from resnet_study.probes import look, measures
from resnet_study.progress import Reporter
from resnet_study.runs import RunFolder, RunRecord, check_space
from resnet_study.start import check_start, put_start
from resnet_study.training.checkpoint import Checkpoints, restore
from resnet_study.training.loop import EVALUATION_BATCH, Evaluation, Row, evaluate, first_row, train
from resnet_study.training.state import TrainingState
from resnet_study.training.step import build_optimizer, build_step


def run(
    config: RunConfig,
    reporter: Reporter | None = None,
    wait: bool = True,
    stop: StopRequest | None = None,
) -> RunRecord:
    """Trains one run to its end, from its last checkpoint on if there is one.

    A run whose folder holds it finished already is not trained again.

    Args:
        config: The run's description.
        reporter: Told of iterations and rows as they come.
        wait: Whether to wait where another process trains this run. Without it such a run
            is left alone and returned in the state "running".
        stop: Asked after each iteration. By default SIGINT, SIGTERM and SIGUSR2 stop.

    Returns:
        The record of the run's folder: finished, or diverged.

    Raises:
        StudyError: The description cannot be carried out here (then nothing has been
            created), or a file cannot be read or written.
        Interrupted: A stop was requested, and the state has been saved.
    """
    reporter = reporter or Reporter()
    request = stop or StopRequest()
    folder = RunFolder.of(config)
    if record := folder.completed():
        check_finished(config)
        return record
    device, images = prepare(config)
    check_space([config])
    _train_start(config, reporter, stop, request)
    threads = machine.set_up(config.threads)

    def may_wait() -> bool:
        reporter.waiting()
        return wait and not request.requested

    with nullcontext() if stop else request, folder.lock(may_wait) as held:
        if not held and request.signal_number is not None:
            raise Interrupted(request.signal_number, 0, config.schedule.iterations)
        if not held:
            return RunRecord(folder.path, {"state": "running"})
        if record := folder.completed():
            return record
        with _recorded(folder, config) as manifest, ExitStack() as opened:
            machine.reset_peak_memory(device)
            data = to_device(
                images,
                device,
                config.schedule.batch_size,
                config.seed,
                config.data.augment,
                config.schedule.eval_train_images,
            )
            kernels = kernels_for(device, config.kernels)
            network = build_network(
                config.model,
                data.classes,
                config.seed,
                config.activation_checkpointing,
                fused=kernels == "fused",
            )
            manifest |= machine.describe(device, threads) | {"kernels": kernels}
            manifest["data"] = _describe_data(config, images)
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
                },
            )
            saved = checkpoints.load(device)
            if saved is None and (start := put_start(config, network)):
                manifest["start"] = start
            # Convolutions with few channels run faster with the channels innermost.
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            optimizer = build_optimizer(network, config.schedule)
            state = TrainingState.initial(config.schedule, config.model.depth, device)
            if saved:
                state = restore(saved, network, optimizer, device)
                manifest["resumed"].append({"iteration": state.iteration, "at": _now()})
            metrics = MetricsLog(folder.metrics_file, saved.metrics if saved else "")
            events = opened.enter_context(
                closing(EventLog(config.logger, folder.path, metrics.text))
            )
            probes = ProbeLog(folder.probes_file, state.iteration)
            if saved:
                _check_probes(config, folder, probes, state.iteration)
            step = build_step(network, optimizer, config.precision, state, data.batches.assemble)

            def evaluation(images: DeviceImages) -> Evaluation:
                return lambda: evaluate(network, images.chunks(EVALUATION_BATCH), config.precision)

            evaluations = {
                "clean_train": evaluation(data.clean_train),
                "test": evaluation(data.test),
            }
            folder.write_manifest(manifest)

            def note_memory() -> None:
                peak = max(manifest.get("peak_memory_bytes", 0), machine.peak_memory(device))
                manifest["peak_memory_bytes"] = peak

            def save() -> None:
                checkpoints.save(network, optimizer, state, metrics.text)
                manifest["metrics"] = metrics.seal()
                manifest["seconds"] = state.seconds
                note_memory()
                folder.write_manifest(manifest)

            def log(row: Row) -> None:
                metrics.append(row)
                events.append(row)
                reporter.row(row)

            def probe(iteration: int) -> None:
                if not config.probes.active or iteration not in config.probes.at:
                    return
                note_memory()
                began = time.perf_counter()
                sample = data.clean_train.spread(config.probes.images)
                everything = data.batches.source.chunks(EVALUATION_BATCH)
                found = look(config.probes, network, sample, everything)
                probes.write(iteration, [astuple(measurement) for measurement in found])
                spent = manifest.get("probe_seconds", 0.0)
                manifest["probe_seconds"] = spent + time.perf_counter() - began
                # What the probe took is not what the run takes.
                machine.reset_peak_memory(device)

            def completed(iteration: int) -> None:
                reporter.iteration(iteration)
                probe(iteration)
                if request.requested:
                    save()
                    raise Interrupted(
                        request.signal_number or 0, iteration, config.schedule.iterations
                    )
                if iteration % config.checkpoint.every == 0:
                    save()

            reporter.start(config, state.iteration)
            if saved is None:
                if "start" in manifest:
                    log(first_row(evaluations))
                probe(0)
            outcome = train(
                step,
                data.batches.starting_at(state.iteration),
                evaluations,
                config.schedule,
                len(images.train_labels),
                state,
                on_row=log,
                on_iteration=completed,
            )
            if outcome == "finished" and state.iteration % config.checkpoint.every:
                save()
            manifest["metrics"] = metrics.seal()
            manifest["state"] = outcome
        checkpoints.finish()
    return RunRecord(folder.path, manifest)


def prepare(config: RunConfig) -> tuple[torch.device, ImageSet]:
    """Finds out whether a run can begin, and loads its data, before anything is created.

    Raises:
        StudyError: The device is not there, `runs_dir` cannot be written, or the data are
            missing or unfit.
    """
    device = machine.choose_device(config.device)
    check_logger(config.logger)
    check_start(config)
    check_writable(Path(config.runs_dir))
    # Compiled here if need be, before many processes would do so at once.
    kernels_for(device, config.kernels)
    images = load_images(config.data)
    if config.schedule.batch_size > len(images.train_labels):
        raise ConfigError(
            "schedule.batch_size",
            config.schedule.batch_size,
            f"allowed is at most the {len(images.train_labels)} training images",
        )
    return device, images


def _train_start(
    config: RunConfig, reporter: Reporter, stop: StopRequest | None, request: StopRequest
) -> None:
    """Trains the shallower run that a run starts from, where that has not been done."""
    shallower = config.shallower()
    if shallower is None or RunFolder.of(config).checkpoint_file.exists():
        return
    record = RunFolder.of(shallower).completed()
    if record is None:
        # Another worker may be at it; either way it is there before this run.
        with nullcontext() if stop else request:
            record = run(shallower, reporter, stop=request)
    if record.state != "finished":
        raise ConfigError(
            "start.depth",
            config.start.depth,
            f"{record.folder} {record.state}; a finished run is needed",
        )


def _check_probes(config: RunConfig, folder: RunFolder, log: ProbeLog, iteration: int) -> None:
    """Finds out whether a run that has come so far has what the probes are to find.

    Raises:
        ConfigError: It has not, and cannot have it any more.
    """
    wanted = {
        (at, m) for at in config.probes.at if at <= iteration for m in measures(config.probes)
    }
    if lacking := sorted(wanted - log.recorded):
        at, measure = lacking[0]
        raise ConfigError(
            "probes.at",
            list(config.probes.at),
            f"{folder.path} was trained without {measure} at iteration {at}; allowed is another "
            "experiment_name, or to delete it and train anew",
        )


def check_finished(config: RunConfig) -> None:
    """Finds out whether a finished run is what is now asked for: its probes and its images.

    An image folder is known by its title, so another folder of the same title would find
    the finished runs of the first. Where the path differs, the images are compared.

    Raises:
        ConfigError: It was trained without the probes.
        DataError: The images are others.
    """
    folder = RunFolder.of(config)
    record = folder.completed()
    if record is not None and record.state == "finished":
        end = config.schedule.iterations
        _check_probes(config, folder, ProbeLog(folder.probes_file, end), end)
    if record is None or config.data.name != "image_folder":
        return
    former = folder.read_config().data.root
    if former is not None and Path(former).resolve() == Path(config.data.root or "").resolve():
        return
    made_with = record.manifest.get("data", {}).get("fingerprint")
    if load_images(config.data).fingerprint() != made_with:
        raise DataError(
            "data.root",
            config.data.root,
            f"{record.folder} was made with other images of the same name, from {former}; "
            "allowed is a data.label, or experiment_name, of its own",
        )


@contextmanager
def _recorded(folder: RunFolder, config: RunConfig) -> Iterator[dict[str, Any]]:
    """Keeps the folder's manifest true from the start of a run to its end, good or bad."""
    folder.remove_temporaries()
    former = folder.read_manifest() or {}
    manifest: dict[str, Any] = {
        "run_id": config.run_id,
        "state": "running",
        "started": former.get("started") or _now(),
        "ended": None,
        "resumed": former.get("resumed") or [],
        **{key: former[key] for key in ("start", "probe_seconds") if key in former},
    }
    folder.failure_file.unlink(missing_ok=True)
    folder.write_config(config)
    folder.write_manifest(manifest)
    try:
        yield manifest
    except Exception:
        # On a full disk even this may fail; what went wrong first is what counts.
        with suppress(StorageError):
            folder.write_manifest(manifest | {"state": "failed", "ended": _now()})
            write_text(folder.failure_file, traceback.format_exc())
        raise
    manifest["ended"] = _now()
    folder.write_manifest(manifest)


def _describe_data(config: RunConfig, images: ImageSet) -> dict[str, Any]:
    return {
        "title": config.data.title,
        "fingerprint": images.fingerprint(),
        "train_images": len(images.train_labels),
        "test_images": len(images.test_labels),
        "evaluated_on": "validation" if config.data.validation_images else "test",
        "classes": len(images.classes),
        "height": images.train_images.shape[2],
        "width": images.train_images.shape[3],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
