"""Worker processes that decode a folder's images into batches, through torch's DataLoader."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from resnet_study.data import decoding
from resnet_study.data.folders import Files
from resnet_study.system.errors import ConfigError, DataError

if TYPE_CHECKING:
    from resnet_study.data.streamed import StreamedFolder

# This number of unreadable files in a row means a damaged folder, not some damaged images.
MOST_FAILURES = 100
# Seconds for which a worker outlives the request to end it: the run may be saving its state.
GRACE = 60
# Batches that each worker has ready.
PREFETCHED = 2
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Linux has what processes share

# Cuts views, each uint8 `(H, W, 3)`, from the file at a path, by what is drawn for it.
Cut = Callable[..., list[decoding.Pixels]]
# Path and reason of an image that cannot be read.
Failure = tuple[str, str]


@dataclass(frozen=True)
class Workers:
    """Processes that decode images of a folder.

    Attributes:
        folder: The data set, which notes images that cannot be read.
        count: How many; 0 decodes in this process.
        device: Where the batches go.
    """

    folder: StreamedFolder
    count: int
    device: torch.device

    def read(
        self,
        files: Files,
        cut: Cut,
        batches: Iterable[list[tuple[Any, ...]]],
        stand_in: bool = False,
    ) -> Generator[tuple[list[torch.Tensor], torch.Tensor]]:
        """Reads batches ahead, in pinned memory for a GPU.

        Args:
            files: The images.
            cut: Cuts the views of an image.
            batches: For each image of a batch its index and what else `cut` takes; may be
                endless.
            stand_in: Whether the next readable image replaces one that cannot be read. If not,
                such an image is left out.

        Yields:
            The views, each uint8 `(N, H, W, 3)`, and labels, `(N,)`, on the device.

        Raises:
            DataError: An image cannot be read and is not to be skipped, too many cannot, or a
                worker was killed.
        """
        decoding.quiet()
        on_gpu = self.device.type == "cuda"
        loader = DataLoader(
            _Images(files, cut, MOST_FAILURES if stand_in else 1),
            batch_sampler=batches,
            num_workers=self.count,
            collate_fn=_collate,
            pin_memory=on_gpu,
            worker_init_fn=_begin,
            prefetch_factor=PREFETCHED if self.count else None,
            # Its own generator: the global one must not advance.
            generator=torch.Generator(),
        )
        iterator = None
        readable = unreadable = 0
        try:
            # The pinning thread uses the device that is current now.
            with torch.cuda.device(self.device) if on_gpu else nullcontext():
                iterator = _begun(loader)
            for views, labels, missing, failures in iterator:
                self.folder.skip(failures)
                readable, unreadable = readable + len(labels), unreadable + missing
                if missing and stand_in:
                    break
                if len(labels):
                    moved = [view.to(self.device, non_blocking=True) for view in views]
                    yield moved, labels.to(self.device, non_blocking=True)
        except (RuntimeError, OSError, EOFError) as error:
            # The latter two: a batch was cut short, or no process can be started.
            if isinstance(error, RuntimeError) and "exited unexpectedly" not in str(error):
                raise
            allowed = "a worker process was killed or cannot start, perhaps for lack of memory; "
            allowed += "use fewer, or 0"
            raise DataError("data.stream.workers", self.count, allowed) from error
        finally:
            # Not when the iterator is collected: a traceback may hold it until the process ends.
            getattr(iterator, "_shutdown_workers", lambda: None)()
        if unreadable and (stand_in or not readable):
            allowed = "holds too many files that cannot be read"
            raise DataError("data.root", self.folder.root, allowed)

    def check_shared_memory(self, images: int) -> None:
        """Checks that the batches that are read ahead fit into shared memory.

        Args:
            images: Images of all batches that are read at the same time.

        Raises:
            ConfigError: They do not fit, so a worker would be killed during the run.
        """
        try:
            place = os.statvfs(SHARED_MEMORY)
        except OSError:
            return
        needed = self.count * (PREFETCHED + 1) * images * self.folder.config.stream.crop**2 * 3
        free = place.f_bavail * place.f_frsize * os.access(SHARED_MEMORY, os.W_OK)
        if needed > free:
            allowed = (
                f"they need {needed / 1e6:,.0f} MB of shared memory, and {SHARED_MEMORY} has "
                f"{free / 1e6:,.0f}; use fewer, or 0"
            )
            raise ConfigError("data.stream.workers", self.count, allowed)


def _begun(loader: DataLoader[Any]) -> Iterator[Any]:
    """Begins to read, with SIGTERM blocked in the workers and without torch's SIGCHLD handler.

    Before `_begin` is called, a forked worker starts threads of torch's own, which inherit the
    signal mask. One that does not block SIGTERM would take it and end the worker.

    When a worker dies, the handler raises an error at whatever point the run has reached. Without
    it, the iterator finds out within five seconds of waiting for a batch. So the error comes
    between two iterations, never in the middle of one or of a checkpoint.
    """
    blocked = {signal.SIGTERM} if hasattr(signal, "sigwaitinfo") else set()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    # Torch sets the handler in the main thread only.
    on_main = threading.current_thread() is threading.main_thread()
    former = signal.getsignal(signal.SIGCHLD)
    try:
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if on_main:
            signal.signal(signal.SIGCHLD, former or signal.SIG_DFL)


class _Images(Dataset[Any]):
    """Views of a folder's images, by index and what is drawn for each.

    Args:
        files: The images.
        cut: Cuts the views of an image.
        tries: How many images in a row are tried until one can be read.
    """

    def __init__(self, files: Files, cut: Cut, tries: int) -> None:
        self.files = files
        self.cut = cut
        self.tries = min(tries, len(files))

    def __getitem__(self, item: tuple[Any, ...]) -> tuple[list[torch.Tensor], int, list[Failure]]:
        """Views, the label, and the images that could not be read; no views after the last try."""
        start, *draws = item
        failures: list[Failure] = []
        for place in range(start, start + self.tries):
            index = place % len(self.files)
            path = self.files.path(index)
            try:
                views = self.cut(path, *draws)
            except Exception as error:  # noqa: BLE001 - a damaged file can raise almost anything
                failures.append((path, decoding.why(error)))
                continue
            # Copied, since torch takes no array that is mirrored in place.
            copies = [torch.from_numpy(view.copy()) for view in views]
            return copies, int(self.files.labels[index]), failures
        return [], -1, failures


def _collate(items: list[tuple[list[torch.Tensor], int, list[Failure]]]) -> tuple[Any, ...]:
    """Views and labels of the images that could be read, the number of others, and failures."""
    kept = [(views, label) for views, label, _ in items if views]
    return (
        [default_collate(list(same)) for same in zip(*(views for views, _ in kept), strict=True)],
        torch.tensor([label for _, label in kept], dtype=torch.int64),
        len(items) - len(kept),
        [failure for _, _, failures in items for failure in failures],
    )


def _begin(_: int) -> None:
    """Makes a worker end with its run, not at a signal that asks the run to save its state.

    SIGTERM from the run itself comes from Python: a process that ends while its workers still run
    sends it, and waits for them. SIGTERM from elsewhere has reached the run as well.
    """
    decoding.quiet()
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))
        return
    parent = os.getppid()

    def listen() -> None:
        while True:
            if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
                signal.alarm(GRACE)

    # Blocked in all threads, so that the thread that waits for it learns who sent it: `_begun` has
    # done so where workers are forked.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=listen, daemon=True).start()
