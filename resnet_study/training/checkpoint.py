"""Checkpoints: whole or absent, checked when read, and unable to run code."""

import hashlib
import io
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet_study.config import RunConfig
from resnet_study.config.fields import first_difference
from resnet_study.system.errors import CheckpointError, warn
from resnet_study.system.files import reason, sync_folder, writing
from resnet_study.training.state import TrainingState

_MAGIC = b"resnet_study checkpoint 1\n"
_DIGEST = 64


@dataclass(frozen=True)
class Checkpoint:
    """A run's state after some iteration.

    No random state is saved: order, crops and flips are functions of seed and epoch, and nothing
    else is drawn while a network trains.

    Attributes:
        config: The run's canonical description.
        data: Fingerprint of the data set.
        versions: What rounding depends on, from `Session.rounding`.
        network: The network's state dict.
        optimizer: The optimiser's state dict.
        state: The fields of `TrainingState`.
        metrics: Text of metrics.csv up to this iteration, from which a resume restores the file.
    """

    config: dict[str, Any]
    data: str
    versions: dict[str, str]
    network: dict[str, Any]
    optimizer: dict[str, Any]
    state: dict[str, Any]
    metrics: str


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint file: a line that identifies it, a SHA-256, and torch's format.

    Raises:
        StorageError: The file cannot be written; an older one is intact.
    """
    stream = io.BytesIO()
    torch.save({field: getattr(checkpoint, field) for field in _FIELDS}, stream)
    content = stream.getbuffer()
    with writing(path) as target:
        target.write(_MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n")
        target.write(content)


_FIELDS = tuple(Checkpoint.__dataclass_fields__)


def read(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Reads a checkpoint file; no code in it is run.

    Raises:
        CheckpointError: The file is damaged, or is no checkpoint.
        FileNotFoundError: There is none.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CheckpointError("checkpoint", path, f"cannot be read ({reason(error)})") from error
    start = len(_MAGIC) + _DIGEST + 1
    if content[: len(_MAGIC)] != _MAGIC:
        raise CheckpointError("checkpoint", path, "is damaged, or not a checkpoint of resnet_study")
    body = memoryview(content)[start:]
    if content[len(_MAGIC) : start] != hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise CheckpointError("checkpoint", path, "is damaged: its checksum differs")
    try:
        values = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
        return Checkpoint(**values)
    except (pickle.UnpicklingError, RuntimeError, TypeError, ValueError, EOFError) as error:
        allowed = "is not a checkpoint of resnet_study: it holds more than numbers and text"
        raise CheckpointError("checkpoint", path, allowed) from error


def is_checkpoint(path: Path) -> bool:
    """Whether a file begins like a checkpoint; raises OSError if it cannot be read."""
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


@dataclass
class Checkpoints:
    """The last two checkpoints of a run.

    Attributes:
        last: Path of the last checkpoint.
        before: Path of the one before.
        config: The run.
        data: Fingerprint of its data set.
        versions: What rounding depends on, from `Session.rounding`.
    """

    last: Path
    before: Path
    config: RunConfig
    data: str
    versions: dict[str, str]

    @property
    def fresh(self) -> Path:
        """Path of a new checkpoint before it becomes the last one."""
        return self.last.with_suffix(".new")

    def save(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        state: TrainingState,
        metrics: str,
    ) -> None:
        """Saves the state; the last checkpoint becomes the one before.

        Raises:
            StorageError: It cannot be written; the older ones are intact.
        """
        checkpoint = Checkpoint(
            self.config.canonical(),
            self.data,
            self.versions,
            network.state_dict(),
            optimizer.state_dict(),
            asdict(state),
            metrics,
        )
        write(self.fresh, checkpoint)
        # A kill between any two of these lines leaves a whole file for `load`.
        self._rotate()

    def _rotate(self) -> None:
        if self.last.exists():
            self.last.replace(self.before)
        self.fresh.replace(self.last)
        sync_folder(self.last.parent)

    def load(self, device: torch.device) -> Checkpoint | None:
        """The last checkpoint that is intact and belongs to this run; None if there is none.

        Raises:
            CheckpointError: All of them are damaged, one cannot be read, or the last belongs to
                another run or to other images.
        """
        damaged = None
        for path in (self.fresh, self.last, self.before):
            try:
                checkpoint = read(path, device)
            except FileNotFoundError:
                continue
            except CheckpointError as error:
                # What cannot be read now, perhaps for a fault of a network, may be whole.
                if isinstance(error.__cause__, OSError):
                    raise
                damaged = error
                continue
            self._check(path, checkpoint)
            if damaged is not None:
                warn(f"{damaged}; resuming from the one before")
                # The next rotation would put it in place of this intact one.
                Path(str(damaged.value)).unlink(missing_ok=True)
            if path == self.fresh:
                self._rotate()
            return checkpoint
        if damaged is not None:
            allowed = "is damaged and there is no other; delete the run's folder and train again"
            raise CheckpointError("checkpoint", damaged.value, allowed)
        return None

    def _check(self, path: Path, checkpoint: Checkpoint) -> None:
        if (ours := self.config.canonical()) != checkpoint.config:
            field, *values = first_difference(checkpoint.config, ours)
            allowed = "was made with {} {}; this run has {}".format(field, *values)
            raise CheckpointError("checkpoint", path, allowed)
        if checkpoint.data != self.data:
            allowed = f"was made with other images (fingerprint {checkpoint.data}, now {self.data})"
            raise CheckpointError("checkpoint", path, allowed)
        for package, version in self.versions.items():
            former = checkpoint.versions.get(package, "1" if package == "processes" else None)
            if former != version:
                warn(
                    f"{path} was made with {package} {former}, resuming with {version}: "
                    "the curve may differ in rounding"
                )


def restore(
    checkpoint: Checkpoint,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> TrainingState:
    """Puts weights and the optimiser's tensors back in place; returns the loop's state."""
    network.load_state_dict(checkpoint.network)
    # Rates and other settings are this run's own: on another device a rate that was a number may
    # be a tensor, and older versions of torch had fewer settings.
    own = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict(checkpoint.optimizer | {"param_groups": own})
    state = TrainingState(**checkpoint.state)
    state.loss_sum = state.loss_sum.to(device)
    state.wrong = state.wrong.to(device)
    return state
