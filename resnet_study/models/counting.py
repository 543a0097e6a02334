"""Sizes of networks: trainable parameters and multiply-adds."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


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
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    meta = {name: tensor.to("meta") for name, tensor in tensors.items()}
    images = torch.empty(1, 3, height, width, device="meta")
    training = network.training
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        torch.func.functional_call(network, meta, (images,))
    network.train(training)
    # A multiply-add is two operations.
    return int(counter.get_total_flops()) // 2
