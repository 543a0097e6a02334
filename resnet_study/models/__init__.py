"""Networks: built from a `ModelConfig`, counted, and initialised in pairs."""

from __future__ import annotations

import torch
from torch import nn

from resnet_study.config import ModelConfig
from resnet_study.models import kernels
from resnet_study.models.blocks import ConvBN
from resnet_study.models.cifar import CifarNet
from resnet_study.models.deepen import deepen
from resnet_study.models.imagenet import ImageNetNet
from resnet_study.models.initialization import initialize
from resnet_study.models.parts import normalise_in_parts
from resnet_study.models.staged import StagedNet


def build_network(
    config: ModelConfig,
    classes: int,
    seed: int = 0,
    activation_checkpointing: bool = False,
    fused: bool = True,
) -> StagedNet:
    """Builds a network on the CPU with its initial weights.

    Args:
        config: The network's description.
        classes: Number of classes, the head's outputs.
        seed: Seed of the initial weights.
        activation_checkpointing: As in `StagedNet`.
        fused: Whether batch norm, addition and ReLU may be one on the CPU (`fused.py`).

    Returns:
        A module that maps images `(N, 3, H, W)`, float, to logits `(N, classes)`.
    """
    network: StagedNet
    if config.architecture == "imagenet":
        network = ImageNetNet(
            depth=config.depth,
            classes=classes,
            shortcut=config.shortcut,
            width=config.width,
            norm=config.norm,
            stride_on=config.bottleneck_stride,
            activation_checkpointing=activation_checkpointing,
        )
    else:
        network = CifarNet(
            depth=config.depth,
            classes=classes,
            shortcut=config.shortcut,
            width=config.width,
            layers_per_block=config.layers_per_block,
            norm=config.norm,
            activation_checkpointing=activation_checkpointing,
        )
    for module in network.modules():
        if isinstance(module, ConvBN):
            module.fused = fused
    initialize(network, config.init, seed)
    return network


def kernels_for(device: torch.device, setting: str) -> str:
    """Which kernels a run has, "fused" or "torch": its rounding depends on them.

    Args:
        device: What it trains on.
        setting: A config's "auto" or "torch".
    """
    available = setting == "auto" and device.type == "cpu" and kernels.load() is not None
    return "fused" if available else "torch"


def describe_kernels(used: str) -> dict[str, str | None]:
    """What a manifest says of a run's kernels: which, and the compiler that made them."""
    compiler = kernels.compiler_version() if used == "fused" else None
    return {"kernels": used, "compiler": compiler}


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters: convolutions, batch-norm affine and fully connected."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_multiply_adds(network: nn.Module, height: int, width: int) -> int:
    """Multiply-adds of convolutions and fully connected layers for one image.

    Batch norm, activations and additions are not counted, as in the paper's FLOPs
    (He et al. 2015, Table 1). The network is traced on the meta device: nothing is
    computed and the network is left as it was.

    Args:
        network: Any network of this package.
        height: Image height in pixels.
        width: Image width in pixels.
    """
    total = 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()

    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    meta = {name: tensor.to("meta") for name, tensor in tensors.items()}
    hooks = [module.register_forward_hook(count) for module in network.modules()]
    training = network.training
    network.eval()
    try:
        images = torch.empty(1, 3, height, width, device="meta")
        torch.func.functional_call(network, meta, (images,))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return total


__all__ = [
    "StagedNet",
    "build_network",
    "count_multiply_adds",
    "count_parameters",
    "deepen",
    "describe_kernels",
    "kernels_for",
    "normalise_in_parts",
]
