"""Activation checkpointing: activations computed again rather than kept."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def forward_again_in_backward(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A block's output, for which training keeps only the input `x`.

    Outputs, gradients and running statistics of batch norm are those of a plain call.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _without_statistics(block)

    out: torch.Tensor = checkpoint(
        block, x, use_reentrant=False, context_fn=contexts, preserve_rng_state=False
    )
    return out


@contextmanager
def _without_statistics(block: nn.Module) -> Iterator[None]:
    """Keeps the second forward pass from updating the running statistics a second time."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    former = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, former, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
