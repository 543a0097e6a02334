"""Sizes of networks: trainable parameters and multiply-adds."""

import torch
from torch import nn


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
