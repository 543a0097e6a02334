"""The deeper sibling by construction: a trained network plus identity layers.

He et al. 2015, §1: if a shallow network has been trained, a deeper one exists that is no
worse, namely the shallow one with identity layers added. Here it is built.
"""

import torch

from resnet_study.models.blocks import Block
from resnet_study.models.staged import StagedNet


@torch.no_grad()
def deepen(shallow: StagedNet, deep: StagedNet) -> None:
    """Makes a deeper network compute the shallow one's function, in place.

    The shallow network's layers are copied to the same places of the deeper one, and the
    blocks that each stage has beyond them become identities. Their input comes from a ReLU,
    so it is not negative and passes their own ReLUs unchanged.

    - Plain block: each convolution becomes a Dirac kernel, and its batch norm passes: running
      mean 0, running variance 1, and a scale that cancels the epsilon.
    - Residual block: the last batch norm's scale and offset become 0, so the residual is
      zero. Its other layers keep their initial weights. A projection (option C) becomes an
      identity like a plain layer.

    It is exact in evaluation mode only, to rounding. In training mode batch norm uses the
    statistics of the batch in place of the running ones, and so a plain layer does not pass
    its input but normalises it. A zero residual stays zero in either mode.

    A plain bottleneck cannot be an identity: its first layer keeps a quarter of the channels.

    Args:
        shallow: The trained network.
        deep: A network that differs in depth alone; any weights.

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
    for shallow_stage, deep_stage in zip(shallow.stages, deep.stages, strict=True):
        for block in list(deep_stage.children())[len(list(shallow_stage.children())) :]:
            assert isinstance(block, Block)
            block.become_identity()
