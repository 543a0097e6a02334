"""One run, from its description to its finished folder."""

from __future__ import annotations

import os
import tempfile
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
from resnet_study.data.loader import to_device
from resnet_study.errors import ConfigError, DataError, StorageError
from resnet_study.events import EventLog, check_logger
from resnet_study.files import reason, write_text
from resnet_study.interruption import Interrupted, StopRequest
from resnet_study.models import build_network, count_multiply_adds, count_parameters
from resnet_study.probes import look
from resnet_study.progress import Reporter
from resnet_study.runs import MetricsLog, ProbeLog, RunFolder, RunRecord, check_space
from resnet_study.start import check_start, put_start
from resnet_study.training.checkpoint import Checkpoints, restore
from resnet_study.training.loop import (
    EVALUATION_BATCH,
    Row,
    TrainingState,
    build_optimizer,
    first_row,
    train,
)


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
    if (shallower := config.shallower()) is not None:
        # Another worker may be at it; either way it is there before this run begins.
        with nullcontext() if stop else request:
            run(shallower, reporter, stop=request)
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
            network = build_network(
                config.model, data.classes, config.seed, config.activation_checkpointing
            )
            manifest |= machine.describe(device, threads)
            manifest["data"] = _describe_data(config, images)
            manifest["parameters"] = count_parameters(network)
            manifest["multiply_adds"] = count_multiply_adds(network, *data.side)

            if start := put_start(config, network):
                manifest["start"] = start
            # Convolutions with few channels run faster with the channels innermost.
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            optimizer = build_optimizer(network, config.schedule)
            state = TrainingState.initial(config.schedule, config.model.depth, device)
            checkpoints = Checkpoints(
                folder.checkpoint_file,
                folder.previous_checkpoint_file,
                config,
                manifest["data"]["fingerprint"],
                manifest["versions"] | {"device": manifest["device_name"], "threads": str(threads)},
            )
            if saved := checkpoints.load(device):
                state = restore(saved, network, optimizer, device)
                manifest["resumed"].append({"iteration": state.iteration, "at": _now()})
            metrics = MetricsLog(folder.metrics_file, saved.metrics if saved else "")
            events = opened.enter_context(
                closing(EventLog(config.logger, folder.path, metrics.text))
            )
            probes = ProbeLog(folder.probes_file, state.iteration)
            evaluations = {
                "clean_train": lambda: data.clean_train.chunks(EVALUATION_BATCH),
                "test": lambda: data.test.chunks(EVALUATION_BATCH),
            }
            folder.write_manifest(manifest)

            def save() -> None:
                checkpoints.save(network, optimizer, state, metrics.text)
                manifest["metrics"] = metrics.seal()
                manifest["seconds"] = state.seconds
                manifest["peak_memory_bytes"] = machine.peak_memory(device)
                folder.write_manifest(manifest)

            def log(row: Row) -> None:
                metrics.append(row)
                events.append(row)
                reporter.row(row)

            def probe(iteration: int) -> None:
                if not config.probes.active or iteration not in config.probes.at:
                    return
                began = time.perf_counter()
                sample = data.clean_train.spread(config.probes.images)
                everything = data.batches.source.chunks(EVALUATION_BATCH)
                found = look(config.probes, network, sample, everything)
                probes.write(iteration, [astuple(measurement) for measurement in found])
                spent = manifest.get("probe_seconds", 0.0)
                manifest["probe_seconds"] = spent + time.perf_counter() - began

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
                if start:
                    log(first_row(network, evaluations, config.precision))
                probe(0)
            outcome = train(
                network,
                optimizer,
                data.batches.starting_at(state.iteration),
                evaluations,
                config.schedule,
                config.precision,
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
    _check_writable(Path(config.runs_dir))
    images = load_images(config.data)
    if config.schedule.batch_size > len(images.train_labels):
        raise ConfigError(
            "schedule.batch_size",
            config.schedule.batch_size,
            f"allowed is at most the {len(images.train_labels)} training images",
        )
    return device, images


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
    if record is not None and config.probes.active and not folder.probes_file.exists():
        raise ConfigError(
            "probes.at",
            list(config.probes.at),
            f"{folder.path} was trained without probes; allowed is another experiment_name, or "
            "to delete it and train anew",
        )
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


def _check_writable(folder: Path) -> None:
    existing = folder
    try:
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        # Asking the system beats reading permissions: root and read-only disks differ.
        with tempfile.TemporaryFile(dir=existing):
            pass
        if not os.access(existing, os.X_OK):
            raise PermissionError(1, "Permission denied")
    except OSError as error:
        raise StorageError(
            "runs_dir", folder, f"cannot be written ({reason(error)}); a writable folder is needed"
        ) from error


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
