"""Worker processes that decode and crop a streamed folder's images, through torch's DataLoader."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from resnet_study.config import StreamConfig
from resnet_study.data import pictures
from resnet_study.data.loader import Tensors
from resnet_study.data.stream import Files
from resnet_study.system.errors import ConfigError, DataError

# So many files in a row that cannot be read are a damaged folder, not some damaged images.
MOST_FAILURES = 100
# Seconds that a process outlives its run's request to end: the run may be saving its state.
GRACE = 60
# Batches that each process has ready.
PREFETCHED = 2
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Linux has what processes share

Failure = tuple[str, str]


class TrainingViews(Dataset[Any]):
    """Training images by what is drawn for them.

    Args:
        files: The training images.
        stream: How they are cut.
    """

    def __init__(self, files: Files, stream: StreamConfig) -> None:
        self.files = files
        self.stream = stream

    def __getitem__(self, draw: tuple[Any, ...]) -> tuple[Any, ...]:
        """The view that is drawn, or the one of the next image that can be read.

        Args:
            draw: Index of the image, shorter side, left, top, mirrored, colour shift.

        Returns:
            uint8 `(crop, crop, 3)`, label, colour shift `(3,)`, and path and reason of each
            image that could not be read; None in place of the view where these are too many.
        """
        index, short, left, top, mirrored, colour = draw
        failures: list[Failure] = []
        for place in range(index, index + min(len(self.files), MOST_FAILURES)):
            chosen = place % len(self.files)
            path = self.files.path(chosen)
            try:
                view = pictures.drawn_crop(
                    path, self.stream.upright, self.stream.crop, short, left, top, mirrored
                )
            except Exception as error:  # noqa: BLE001 - a damaged file can raise almost anything
                failures.append((path, _why(error)))
                continue
            return torch.from_numpy(view.copy()), int(self.files.labels[chosen]), colour, failures
        return None, 0, colour, failures


class TestViews(Dataset[Any]):
    """Images as they are tested, by their index.

    Args:
        files: The images.
        stream: How they are cut.
        kind: As in `pictures.test_views`.
    """

    __test__ = False  # pytest takes it for one of its own

    def __init__(self, files: Files, stream: StreamConfig, kind: str) -> None:
        self.files = files
        self.stream = stream
        self.kind = kind

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """The views, each uint8 `(H, W, 3)`, the label, and the failure; no views after one."""
        path, label = self.files.path(index), int(self.files.labels[index])
        stream = self.stream
        try:
            views = pictures.test_views(
                path, stream.upright, stream.crop, stream.test_scale, self.kind
            )
        except Exception as error:  # noqa: BLE001 - a damaged file can raise almost anything
            return None, label, [(path, _why(error))]
        return [torch.from_numpy(view.copy()) for view in views], label, []


def _why(error: Exception) -> str:
    """A decoder's reason in a few words, without the path, which is told beside it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split()).split(" '/")[0].split(" <_io")[0]
    return text[:80] or type(error).__name__


def collate_training(items: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Views `(N, crop, crop, 3)`, labels, colour shifts, and all failures of a batch.

    None in place of the views where one of them is missing.
    """
    views, labels, colours, failures = zip(*items, strict=True)
    return (
        None if any(view is None for view in views) else default_collate(list(views)),
        torch.tensor(labels),
        torch.from_numpy(np.stack(colours)),
        [failure for each in failures for failure in each],
    )


def collate_test(items: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Views, each `(n, H, W, 3)`, labels and failures; what could not be read is left out."""
    kept = [(views, label) for views, label, _ in items if views is not None]
    failures = [failure for _, _, each in items for failure in each]
    views = [default_collate(list(same)) for same in zip(*(v for v, _ in kept), strict=True)]
    return views, torch.tensor([label for _, label in kept], dtype=torch.int64), failures


def read(
    dataset: Dataset[Any],
    batches: Iterable[list[Any]],
    collate: Callable[[list[Any]], Any],
    workers: int,
    device: torch.device,
) -> Iterator[Any]:
    """Batches of a data set, read ahead by worker processes, in pinned memory for a GPU.

    Args:
        dataset: What is read.
        batches: The items of each batch; may be endless.
        collate: Makes a batch of its items.
        workers: Processes; 0 reads in this one.
        device: Where the batches will go.

    Raises:
        DataError: A worker process was killed.
    """
    pictures.quiet()
    on_gpu = device.type == "cuda"
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=on_gpu,
        worker_init_fn=_begin,
        prefetch_factor=PREFETCHED if workers else None,
        # Of its own: nothing here shall move the global one.
        generator=torch.Generator(),
    )
    # The thread that pins takes the device that is current now.
    with torch.cuda.device(device) if on_gpu else nullcontext():
        iterator = iter(loader)
    try:
        with naming_deaths(workers):
            yield from iterator
    finally:
        # Not when the iterator is collected: a traceback may hold it until the process ends.
        getattr(iterator, "_shutdown_workers", lambda: None)()


@contextmanager
def naming_deaths(workers: int | None) -> Iterator[None]:
    """Says in one line that a worker was killed: torch raises that wherever the run is just then.

    Raises:
        DataError: One was.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        # The latter two come from half a batch.
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        allowed = "a process that decodes was killed, perhaps for want of memory; allowed are fewer"
        raise DataError("data.stream.workers", workers, allowed) from error


def _begin(_: int) -> None:
    """A worker ends with its run, not at a signal that asks the run to save its state.

    SIGTERM from the run itself is Python's: a process ends that has not ended its workers, and
    waits for them. From elsewhere it has come to the run as well.
    """
    pictures.quiet()
    for name in ("SIGINT", "SIGUSR1", "SIGUSR2"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))
        return
    parent = os.getppid()

    def listen() -> None:
        while True:
            if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
                signal.alarm(GRACE)

    # Blocked in all threads, so that the one that waits for it is told who sent it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=listen, daemon=True).start()


def check_shared_memory(stream: StreamConfig, images: int, workers: int) -> None:
    """Finds out whether the batches that are read ahead fit where processes share memory.

    Args:
        stream: How large images are.
        images: Of a training batch and one of an evaluation, which are read side by side.
        workers: Processes that decode.

    Raises:
        ConfigError: They do not; a worker would be killed in mid-run.
    """
    try:
        place = os.statvfs(SHARED_MEMORY)
    except OSError:
        return
    needed = workers * (PREFETCHED + 1) * images * stream.crop**2 * 3
    free = place.f_bavail * place.f_frsize
    if needed > free:
        allowed = (
            f"they need {needed / 1e6:,.0f} MB of shared memory, and {SHARED_MEMORY} has "
            f"{free / 1e6:,.0f}; allowed are fewer, or 0"
        )
        raise ConfigError("data.stream.workers", workers, allowed)


def draws_of(tensors: Tensors) -> list[tuple[Any, ...]]:
    """What is drawn for a batch, image by image."""
    order, short, left, top, mirrored, colour = tensors
    columns = (t.tolist() for t in (order, short, left, top, mirrored))
    return list(zip(*columns, colour.numpy(), strict=True))
