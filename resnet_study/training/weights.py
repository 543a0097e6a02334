"""Weights from a file, a checkpoint or a published state dict; no code in it is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet_study.system.errors import CheckpointError, ConfigError
from resnet_study.system.files import storage
from resnet_study.training.checkpoint import Checkpoint, is_checkpoint, read

# Keys under which training scripts keep a network's weights.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "network", "model_ema")
# Counters beside the weights of averaged networks.
_COUNTERS = ("n_averaged",)


@dataclass(frozen=True)
class Weights:
    """The weights in a file.

    Attributes:
        path: The file.
        tensors: Weights by name.
        checkpoint: The whole checkpoint, if the file is one of a run.
    """

    path: Path
    tensors: Mapping[str, torch.Tensor]
    checkpoint: Checkpoint | None = None

    @property
    def classes(self) -> int | None:
        """Number of classes: outputs of the head, the only weights with two dimensions."""
        matrices = [t for t in self.tensors.values() if t.ndim == 2]
        return len(matrices[-1]) if matrices else None

    @property
    def projects(self) -> bool:
        """Whether shortcuts have weights, by torchvision's names."""
        return any(".downsample." in name for name in self.tensors)

    def put_into(self, network: nn.Module) -> None:
        """Puts all weights into a network.

        Raises:
            ConfigError: They belong to another network.
        """
        wanted = network.state_dict()
        if unknown := [name for name in self.tensors if name not in wanted]:
            raise self._misfit(f"this network has no {unknown[0]}")
        for name, tensor in wanted.items():
            # Batch norm has counted mini-batches only since torch 0.4.1.
            if name not in self.tensors and name.endswith("num_batches_tracked"):
                continue
            if name not in self.tensors:
                raise self._misfit(f"they have no {name}")
            if (shape := tuple(self.tensors[name].shape)) != tuple(tensor.shape):
                raise self._misfit(f"{name} is {shape}, in this network {tuple(tensor.shape)}")
        network.load_state_dict(dict(self.tensors), strict=False)

    def _misfit(self, why: str) -> ConfigError:
        return ConfigError("weights", self.path, f"do not fit the network of model.*: {why}")


def read_weights(path: Path) -> Weights:
    """Reads a run's checkpoint, or a state dict as `torch.save` writes it.

    A state dict may lie beside an optimiser's state, and may be that of a network in a wrapper,
    such as `DataParallel` or a compiled module.

    Raises:
        StudyError: The file is missing, damaged, or holds something else.
    """
    with storage("weights", path, "cannot be read"):
        if is_checkpoint(path):
            checkpoint = read(path)
            return Weights(path, checkpoint.network, checkpoint)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged file can raise almost anything.
        raise CheckpointError(
            "weights", path, "is damaged, or holds more than numbers and text"
        ) from error
    tensors = _tensors(content)
    if tensors is None:
        raise CheckpointError("weights", path, "holds no network's state dict")
    return Weights(path, tensors)


def _tensors(content: Any) -> dict[str, torch.Tensor] | None:
    """The only state dict in a file's content, without the prefix that a wrapper adds to names."""
    if not isinstance(content, Mapping):
        return None
    for name in _WRAPPERS:
        if isinstance(content.get(name), Mapping):
            return _tensors(content[name])
    tensors = {str(name): value for name, value in content.items() if name not in _COUNTERS}
    if not tensors or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        return None
    # "module." of DataParallel, "_orig_mod." of torch.compile, the attribute of a Lightning module.
    while len(firsts := {name[: name.find(".") + 1] for name in tensors}) == 1 and any(firsts):
        tensors = {name.removeprefix(min(firsts)): tensor for name, tensor in tensors.items()}
    return tensors
