"""The processes that train one run together, as torchrun starts them; usually just one."""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from resnet_study.system.errors import ConfigError, DeviceError, StudyError

if TYPE_CHECKING:
    import torch
    from torch import nn

T = TypeVar("T")
# Rank 0 may probe the network or wait for the run's lock while the others wait for it.
_TIMEOUT = timedelta(hours=12)
# Iterations between two checks whether any process was asked to stop.
_ASK_EVERY = 10


@dataclass(frozen=True)
class World:
    """This process's place among those that train one run together.

    Every process has the same network and takes its share of each mini-batch; gradients are
    averaged (`DistributedDataParallel`). All processes call the methods below at the same
    points, in the same order. Only rank 0 writes files.

    Attributes:
        rank: This process, counted from 0.
        size: Number of processes.
        local_rank: This process among those on its host.
        local_size: Number of processes on its host.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def here(cls) -> World:
        """The world that torchrun's environment variables describe; one process without them."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        if not all(os.environ.get(name, "").isdecimal() for name in names):
            return cls()
        return cls(*(int(os.environ[name]) for name in names))

    @property
    def first(self) -> bool:
        """Whether this process is rank 0, which writes and prints for all."""
        return self.rank == 0

    @contextmanager
    def connected(self, device: str) -> Iterator[None]:
        """Connects the processes for as long as the context lasts; may be nested.

        Args:
            device: The config's `device`.
        """
        if self.size == 1:
            yield
            return
        import torch
        import torch.distributed as dist

        if dist.is_initialized():
            yield
            return
        on_gpu = self.device(device) != "cpu"
        if on_gpu:
            torch.cuda.set_device(self.device(device))
        # Processes agree through their CPUs, so that no signal has to wait for a GPU.
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(backend, timeout=_TIMEOUT)
        # No `finally`: after an error this process ends, and the others may be anywhere, so it
        # could wait for them forever.
        yield
        # No process leaves before all have arrived.
        self._barrier()
        _groups.cache_clear()
        dist.destroy_process_group()

    def device(self, name: str) -> str:
        """The device of this process, for a config's "auto", "cpu" or "cuda".

        Raises:
            ConfigError: One GPU is named for several processes.
            DeviceError: There are too few GPUs.
        """
        if self.size == 1 or name == "cpu":
            return name
        if ":" in name:
            raise ConfigError(
                "device", name, f"must be cuda or cpu: {self.size} processes need a GPU each"
            )
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if name == "auto" and not count:
            return "cpu"
        if count < self.local_size:
            raise DeviceError(
                "device", name, f"{self.local_size} processes need a GPU each, {count} found"
            )
        return f"cuda:{self.local_rank}"

    def check(self, batch_size: int, batch_norm_parts: int) -> None:
        """Checks that a mini-batch can be shared out evenly.

        Raises:
            ConfigError: It cannot.
        """
        if batch_size % self.size:
            raise ConfigError(
                "schedule.batch_size", batch_size, f"must be a multiple of {self.size} processes"
            )
        if self.size % batch_norm_parts and batch_norm_parts % self.size:
            allowed = f"must be a divisor or a multiple of {self.size} processes"
            raise ConfigError("batch_norm_parts", batch_norm_parts, allowed)

    def from_rank0(self, call: Callable[[], T]) -> T:
        """Calls in rank 0 and returns its result, or raises its `StudyError`, in all processes."""
        if self.size == 1:
            return call()
        import torch.distributed as dist

        told: list[Any] = list(_tried(call)) if self.first else [None, None]
        dist.broadcast_object_list(told, src=0)
        found, error = told
        if error is not None:
            raise error
        return found  # type: ignore[no-any-return]

    @contextmanager
    def held_by_rank0(self, context: AbstractContextManager[T]) -> Iterator[T]:
        """Enters a context in rank 0 only, and yields its value in all processes."""
        with ExitStack() as opened:
            yield self.from_rank0(lambda: opened.enter_context(context))

    def on_rank0_first(self, call: Callable[[], T]) -> T:
        """Calls in rank 0 first, then in the others: rank 0 may download what they read.

        An error of one process is raised in all.
        """
        if self.size == 1:
            return call()
        import torch.distributed as dist

        if not self.first:
            self._barrier()
        found, error = _tried(call)
        if self.first:
            self._barrier()
        errors: list[StudyError | None] = [None] * self.size
        dist.all_gather_object(errors, error)
        if any(errors):
            raise next(filter(None, errors))
        return found  # type: ignore[return-value]

    def _barrier(self) -> None:
        # Not dist.barrier, which would use the GPU if there is one.
        self.from_rank0(lambda: None)

    def any_requested(self, here: bool, iteration: int) -> bool:
        """Whether any process was asked to stop, so that all stop after the same iteration.

        Args:
            here: Whether this process was asked.
            iteration: Iterations completed; several processes agree on every tenth only.
        """
        if self.size == 1:
            return here
        return not iteration % _ASK_EVERY and self.any_of(here)[0]

    def any_of(self, *here: bool) -> list[bool]:
        """For each argument, whether it is true in any process; all call this together."""
        if self.size == 1:
            return list(here)
        import torch

        return [count > 0 for count in self.total(torch.tensor(here, dtype=torch.int)).tolist()]

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes; the argument is left as it is."""
        if self.size == 1:
            return tensor
        import torch.distributed as dist

        result = tensor.clone()
        dist.all_reduce(result)
        return result

    def average(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over all processes; the argument is left as it is."""
        return self.total(tensor) / self.size

    def union(self, texts: Iterable[str]) -> list[str]:
        """The texts of all processes, sorted, without repetitions."""
        if self.size == 1:
            return sorted(set(texts))
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, list(texts))
        return sorted(set().union(*found))

    def share(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """This rank's share of a mini-batch's draws: consecutive images."""

        def part(length: int) -> slice:
            return slice(self.rank * length // self.size, (self.rank + 1) * length // self.size)

        return tuple(tensor[part(len(tensor))] for tensor in tensors)

    def shard(self, items: Iterable[T]) -> Iterator[T]:
        """This rank's items, dealt round-robin."""
        return itertools.islice(items, self.rank, None, self.size)

    def data_parallel(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over the processes.

        All begin with rank 0's weights.
        """
        if self.size == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        # Statistics are averaged only where they are needed, see `average_statistics`. The
        # argument that leaves them alone has another name in newer versions of torch.
        known = inspect.signature(DistributedDataParallel).parameters
        name = next(n for n in ("forward_sync_buffers", "broadcast_buffers") if n in known)
        left_alone: dict[str, Any] = {name: False}
        return DistributedDataParallel(network, **left_alone)

    def batch_norm_parts(self, parts: int) -> tuple[int, Any]:
        """How this process normalises a mini-batch that batch norm sees in `parts` parts.

        Returns:
            The number of parts in this process's share, and the process group that shares one
            part; None where no part is shared.
        """
        if self.size <= parts:
            return parts // self.size, None
        return 1, _groups(self.size, parts)[self.rank * parts // self.size]

    def average_statistics(self, network: nn.Module, parts: int) -> None:
        """Averages batch norm's running statistics over processes that saw different parts.

        A running mean of averages is the average of running means, so neither the number of
        processes nor the number of calls makes a difference.
        """
        if self.size == 1 or parts == 1:
            return
        import torch.distributed as dist

        for buffer in network.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.size

    def hosts(self) -> list[str]:
        """The names of all hosts, sorted."""
        return self.union([socket.gethostname()])


def _tried(call: Callable[[], T]) -> tuple[T | None, StudyError | None]:
    try:
        return call(), None
    except StudyError as error:
        return None, error


@functools.cache
def _groups(size: int, parts: int) -> list[Any]:
    """For each part of a mini-batch, the group of the processes that share it."""
    import torch.distributed as dist

    if parts == 1:
        return [dist.group.WORLD]
    each = size // parts
    return [dist.new_group(list(range(p * each, (p + 1) * each))) for p in range(parts)]
