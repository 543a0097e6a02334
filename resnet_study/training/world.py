"""The processes that train one run together, as torchrun starts them; usually just one."""

from __future__ import annotations

import functools
import inspect
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from resnet_study.system.errors import ConfigError, DeviceError, StudyError

if TYPE_CHECKING:
    import torch
    from torch import nn

T = TypeVar("T")
# The first process may look into the network, or wait for the run, while the others wait.
_TIMEOUT = timedelta(hours=12)
# Iterations between two questions whether anyone was asked to stop.
_ASK_EVERY = 10


@dataclass(frozen=True)
class World:
    """A process's place among those that train a run together.

    Each has the same network and takes its share of each mini-batch; gradients are averaged
    (`DistributedDataParallel`). All call the methods below at the same points, in the same
    order. Only the first one writes.

    Attributes:
        rank: This process, counted from 0.
        size: How many there are.
        local_rank: This process among those of its host.
        local_size: How many of them are on its host.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def here(cls) -> World:
        """What the environment says, in torchrun's variables; one process without them."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        if not all(os.environ.get(name, "").isdecimal() for name in names):
            return cls()
        return cls(*(int(os.environ[name]) for name in names))

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    @contextmanager
    def connected(self, device: str) -> Iterator[None]:
        """Connects the processes for as long as the context lasts; may be nested.

        Args:
            device: As in a config.
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
        # What is agreed on lives on the CPU: no one waits for a GPU to hear of a signal.
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(backend, timeout=_TIMEOUT)
        # After an error the others may be anywhere: this process is about to end, and what it
        # would say to them in parting could wait for them for ever.
        yield
        # Nobody leaves while another is still to be heard.
        self._barrier()
        _groups.cache_clear()
        dist.destroy_process_group()

    def device(self, name: str) -> str:
        """The device of this process, where a config says "auto", "cpu" or "cuda".

        Raises:
            ConfigError: One GPU is named for several processes.
            DeviceError: There are too few.
        """
        if self.size == 1 or name == "cpu":
            return name
        if ":" in name:
            raise ConfigError(
                "device", name, f"{self.size} processes take a GPU each; allowed are cuda, cpu"
            )
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if name == "auto" and not count:
            return "cpu"
        if count < self.local_size:
            raise DeviceError(
                "device", name, f"{self.local_size} processes take a GPU each, {count} are there"
            )
        return f"cuda:{self.local_rank}"

    def check(self, batch_size: int, batch_norm_parts: int) -> None:
        """Finds out whether a mini-batch can be shared out.

        Raises:
            ConfigError: It cannot, evenly.
        """
        if batch_size % self.size:
            raise ConfigError(
                "schedule.batch_size", batch_size, f"allowed is a multiple of {self.size} processes"
            )
        if self.size % batch_norm_parts and batch_norm_parts % self.size:
            allowed = f"allowed is a divisor or a multiple of {self.size} processes"
            raise ConfigError("batch_norm_parts", batch_norm_parts, allowed)

    def only_first(self, context: AbstractContextManager[T], other: T) -> AbstractContextManager[T]:
        """The context in the first process, and in the others `other` alone."""
        return context if self.first else nullcontext(other)

    def from_first(self, call: Callable[[], T]) -> T:
        """What the first process finds when it calls, in all of them; its errors too."""
        if self.size == 1:
            return call()
        import torch.distributed as dist

        told: list[Any] = list(_tried(call)) if self.first else [None, None]
        dist.broadcast_object_list(told, src=0)
        found, error = told
        if error is not None:
            raise error
        return found  # type: ignore[no-any-return]

    def first_first(self, call: Callable[[], T]) -> T:
        """Each calls, the others when the first is done: it may download what they read.

        Where one of them finds an error, all raise it.
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
        # Not dist.barrier: on a GPU it would be the device's.
        self.from_first(lambda: None)

    def asked(self, here: bool, iteration: int) -> bool:
        """Whether a stop was requested of anyone, so that all stop after one iteration."""
        if self.size == 1:
            return here
        if iteration % _ASK_EVERY:
            return False
        import torch

        return bool(self.total(torch.tensor(int(here))))

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of everyone's tensor; the given one is left as it is."""
        if self.size == 1:
            return tensor
        import torch.distributed as dist

        result = tensor.clone()
        dist.all_reduce(result)
        return result

    def union(self, texts: list[str]) -> list[str]:
        """Everyone's texts, each once, sorted."""
        if self.size == 1:
            return texts
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, texts)
        return sorted(set().union(*found))

    def share(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """This process's share of what is drawn for a mini-batch: consecutive images."""

        def part(length: int) -> slice:
            return slice(self.rank * length // self.size, (self.rank + 1) * length // self.size)

        return tuple(tensor[part(len(tensor))] for tensor in tensors)

    def turns(self, items: Iterable[T]) -> Iterator[T]:
        """Every so many-th item, so that all items are someone's."""
        return (item for number, item in enumerate(items) if number % self.size == self.rank)

    def together(self, network: nn.Module) -> nn.Module:
        """The network, with gradients that are averaged over the processes.

        All begin with the weights of the first.
        """
        if self.size == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        # Statistics are averaged where they are needed, see `average_statistics`. What
        # leaves them alone has another name in newer versions of torch.
        known = inspect.signature(DistributedDataParallel).parameters
        name = next(n for n in ("forward_sync_buffers", "broadcast_buffers") if n in known)
        left_alone: dict[str, Any] = {name: False}
        return DistributedDataParallel(network, **left_alone)

    def parts_here(self, parts: int) -> tuple[int, Any]:
        """How batch norm sees a mini-batch in so many parts.

        Returns:
            The parts that this process's share consists of, and, where a part is shared with
            other processes, their group.
        """
        if self.size <= parts:
            return parts // self.size, None
        return 1, _groups(self.size, parts)[self.rank * parts // self.size]

    def average_statistics(self, network: nn.Module, parts: int) -> None:
        """Averages batch norm's running statistics over processes that saw other parts.

        A running mean of averages is the average of running means: so it makes no difference
        how many processes there are, nor how often this is done.
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
        if self.size == 1:
            return [socket.gethostname()]
        import torch.distributed as dist

        names: list[Any] = [None] * self.size
        dist.all_gather_object(names, socket.gethostname())
        return sorted(set(names))


def _tried(call: Callable[[], T]) -> tuple[T | None, StudyError | None]:
    try:
        return call(), None
    except StudyError as error:
        return None, error


ALONE = World()


@functools.cache
def _groups(size: int, parts: int) -> list[Any]:
    """A group for each part of a mini-batch, of the processes that have it together."""
    import torch.distributed as dist

    if parts == 1:
        return [dist.group.WORLD]
    each = size // parts
    return [dist.new_group(list(range(p * each, (p + 1) * each))) for p in range(parts)]
