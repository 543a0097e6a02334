"""The deeper sibling by construction: a trained network plus identity layers.

He et al. 2015, §1: if a shallow network has been trained, a deeper one exists that is no
worse, namely the shallow one with identity layers added. This module builds it.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from resnet_study.models.blocks import Block
from resnet_study.models.staged import StagedNet


@torch.no_grad()
def deepen(
    shallow: StagedNet,
    deep: StagedNet,
    batches: Iterable[torch.Tensor],
    average: Callable[[torch.Tensor], torch.Tensor] = torch.Tensor.clone,
) -> None:
    """Makes a deeper network compute the shallow one's function, in place.

    The shallow network's layers are copied to the same places of the deeper one, and the
    blocks that each stage has beyond them become identities. Their input comes from a ReLU,
    so it is not negative and passes their own ReLUs unchanged.

    - Plain block: each convolution becomes a Dirac kernel. Its batch norm gets the mean and
      variance of its input as running statistics, and as offset and scale, which undo the
      normalisation.
    - Residual block: the last batch norm's scale and offset become 0, so the residual is
      zero. Its other layers keep their initial weights. A projection (option C) becomes an
      identity like a plain layer.

    In evaluation mode each is an identity up to rounding. In training mode a zero residual still
    is, but a plain layer normalises by a mini-batch whose mean and variance differ a little from
    those it was given, so it is an identity only up to the noise of that mini-batch.

    A plain bottleneck cannot be an identity: its first layer keeps a quarter of the channels.

    Args:
        shallow: The trained network, in training mode; its running statistics change.
        deep: A network that differs only in depth, with any weights.
        batches: Training images `(N, 3, H, W)` as they are augmented, over which the input of
            the identities is measured.
        average: The mean of a tensor over the processes that each have a share of the batches.

    Raises:
        ValueError: The networks differ in more than depth, or the second is not deeper.
    """
    names = {name for name, _ in shallow.named_parameters()}
    target = dict(deep.named_parameters())
    for name, parameter in shallow.named_parameters():
        if name not in target or target[name].shape != parameter.shape:
            raise ValueError(f"{name} of the shallow network has no place in the deeper one")
    if len(target) <= len(names):
        raise ValueError("the second network is not deeper than the first")
    deep.load_state_dict(shallow.state_dict(), strict=False)
    statistics = _stage_statistics(shallow, batches)
    for shallow_stage, deep_stage, found in zip(
        shallow.stages, deep.stages, statistics, strict=True
    ):
        mean, variance = average(found.running_mean), average(found.running_var)
        for block in list(deep_stage.children())[len(list(shallow_stage.children())) :]:
            assert isinstance(block, Block)
            block.become_identity(mean, variance)


class _ChannelStatistics(nn.BatchNorm2d):
    """Measures the channels of a module's output, over all mini-batches that pass it."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int) -> None:
        # Without momentum, running statistics are means over mini-batches.
        super().__init__(channels, momentum=None, affine=False)

    def hook(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        """A forward hook, which leaves the output as it is."""
        self(output)


def _stage_statistics(
    network: StagedNet, batches: Iterable[torch.Tensor]
) -> list[_ChannelStatistics]:
    """Measures the outputs of a network's stages, normalised by each mini-batch's statistics."""
    measured, hooks = [], []
    for stage in network.stages:
        *_, last = stage.children()
        assert isinstance(last, Block)
        statistics = _ChannelStatistics(last.out_channels).to(network.head.weight.device)
        measured.append(statistics)
        hooks.append(last.register_forward_hook(statistics.hook))
    for images in batches:
        network(images)
    for hook in hooks:
        hook.remove()
    return measured
