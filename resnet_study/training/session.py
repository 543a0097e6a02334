"""What a network is trained or evaluated with: device, images, kernels and threads of a run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from resnet_study.config import RunConfig
from resnet_study.config.schedule import STATISTICS_IMAGES
from resnet_study.data import open_dataset
from resnet_study.data.dataset import Dataset, PreparedData
from resnet_study.models import build_network
from resnet_study.models.kernels import compiler_version, kernels_for
from resnet_study.models.parts import normalise_in_parts
from resnet_study.models.staged import StagedNet
from resnet_study.system import machine
from resnet_study.system.errors import ShortageError
from resnet_study.training.evaluation import Batch, Scores, evaluate, recompute_statistics
from resnet_study.training.step import Tensors
from resnet_study.training.world import World

# Matches torch's errors for a lack of memory.
_LACK = "(?i)allocate memory|out of memory|not enough memory|bad_alloc|alloc_failed"


@dataclass
class Session:
    """A run's config with all that it needs on this machine, shared by every use of a network.

    Attributes:
        config: The run.
        world: The processes that train it together.
        device: What this process trains on.
        dataset: Its images, in memory or in a folder.
        threads: CPU threads, once `prepare` has set them.
        data: Batches and evaluation images, on the device once `prepare` has put them there.
    """

    config: RunConfig
    world: World
    device: torch.device
    dataset: Dataset
    threads: int = field(init=False)
    data: PreparedData = field(init=False)

    @classmethod
    def open(cls, config: RunConfig, world: World, train: bool = True) -> Session:
        """Chooses the device and opens the data set; the device is not touched yet.

        Args:
            config: The run.
            world: The processes that train it together.
            train: Whether the training images are needed.

        Raises:
            StudyError: The device is missing, mini-batches cannot be shared out, or the data
                are missing or unfit.
        """
        world.check(config.schedule.batch_size, config.batch_norm_parts)
        device = machine.choose_device(world.device(config.device))
        # Compiles the kernels if needed, before many processes would at the same time.
        kernels_for(device, config.kernels)
        return cls(config, world, device, open_dataset(config.data, train))

    def prepare(self) -> None:
        """Sets threads and reproducible kernels, and prepares the data on the device."""
        self.threads = machine.set_up(self.config.threads, self.world.local_size, self.device)
        machine.reset_peak_memory(self.device)
        self.data = self.dataset.prepare(self.config, self.device, self.threads)

    @contextmanager
    def enough_memory(self) -> Iterator[None]:
        """Turns a lack of memory during training, on this machine or its GPU, into one line.

        Raises:
            ShortageError: A mini-batch does not fit.
        """
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not re.search(_LACK, str(error)):
                raise
            allowed = "needs too much memory; use a smaller one, activation_checkpointing=true, or "
            allowed += "fewer workers of a sweep (hydra.launcher.n_jobs)"
            size = self.config.schedule.batch_size
            raise ShortageError("schedule.batch_size", size, allowed) from error

    @cached_property
    def fingerprint(self) -> str:
        """The data set's fingerprint, which takes a pass over all images or files."""
        return self.dataset.fingerprint()

    @property
    def in_parts(self) -> bool:
        """Whether batch norm normalises parts of a mini-batch, or one part in several processes."""
        return self.world.batch_norm_parts(self.config.batch_norm_parts) != (1, None)

    @property
    def kernels(self) -> str:
        """Kernels of the run, "fused" or "torch"; its rounding depends on them."""
        # Only torch's kernels normalise in parts.
        return "torch" if self.in_parts else kernels_for(self.device, self.config.kernels)

    def build(self, in_parts: bool = False, depth: int | None = None) -> StagedNet:
        """Builds the network with its initial weights, on the device, in training mode.

        Args:
            in_parts: Whether to replace batch norm by one that normalises parts, if the config
                says so.
            depth: A depth other than the run's.
        """
        config = self.config
        network = build_network(
            replace(config.model, depth=depth or config.model.depth),
            self.data.classes,
            config.seed,
            config.activation_checkpointing,
            fused=self.kernels == "fused",
        )
        if in_parts and self.in_parts:
            normalise_in_parts(network, *self.world.batch_norm_parts(config.batch_norm_parts))
        # Convolutions with few channels run faster with the channels innermost.
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def evaluated(self, network: StagedNet, batches: Generator[Tensors]) -> StagedNet:
        """The network as it is evaluated: itself, or a copy with recomputed statistics.

        Args:
            network: Built by this session; it is left as it is.
            batches: This rank's mini-batches, from which the copy's statistics are computed.
        """
        config = self.config
        if not config.schedule.recomputes:
            return network
        copy = self.build(in_parts=True)
        copy.load_state_dict(network.state_dict())
        recompute_statistics(copy, self.augmented(batches), config.precision)
        self.world.average_statistics(copy, config.batch_norm_parts)
        return copy

    def augmented(self, batches: Generator[Tensors]) -> Iterator[torch.Tensor]:
        """Images of whole mini-batches, 10,000 over all ranks, or an epoch's if that has fewer.

        Args:
            batches: This rank's mini-batches, which are closed afterwards.
        """
        source = self.data.batches
        images = min(STATISTICS_IMAGES, source.images)
        with closing(batches):
            for batch in itertools.islice(batches, max(1, images // source.batch_size)):
                yield source.assemble(*batch)[0]

    def evaluate(self, network: StagedNet, batches: Iterable[Batch]) -> Scores:
        """Evaluates a network on this rank's batches; all processes call this together."""
        return evaluate(network, batches, self.config.precision, self.world)

    def rounding(self) -> dict[str, str]:
        """What the rounding of a curve depends on: versions, device, threads and the like."""
        return machine.versions() | {
            "device": machine.device_name(self.device),
            "threads": str(self.threads),
            "kernels": self.kernels,
            "processes": str(self.world.size),
        }

    def describe(self) -> dict[str, Any]:
        """The manifest's entries about machine and data; all processes call this together."""
        data = self.config.data
        about = {
            "title": data.title,
            "fingerprint": self.fingerprint,
            "evaluated_on": "validation" if data.validation_images else "test",
            **self.dataset.describe(),
        }
        return {
            **machine.describe(self.device, self.threads),
            "kernels": self.kernels,
            "compiler": compiler_version() if self.kernels == "fused" else None,
            "processes": self.world.size,
            "hosts": self.world.hosts(),
            "data": about,
        }
