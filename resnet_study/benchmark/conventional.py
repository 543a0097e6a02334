"""The conventional recipe, for comparison: what most implementations of this network do.

Images are transformed one by one with torchvision in a DataLoader, the network is eager, in
float32 and with channels outermost, and SGD is torch's by default. It is as fast as that goes:
on a GPU the loss is not read in each iteration, and the best number of loader processes counts.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from resnet_study.benchmark.networks import NEVER
from resnet_study.benchmark.pool import Window
from resnet_study.config import RunConfig
from resnet_study.data import load_images
from resnet_study.models import build_network
from resnet_study.system import machine


class Images(Dataset[tuple[torch.Tensor, int]]):
    """Images as torchvision's CIFAR has them: an array, and a PIL image for each access.

    Args:
        images: uint8 `(N, 3, H, W)`.
        labels: int64 `(N,)`.
        padding: Zero pixels on each side before the random crop.
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], padding: int) -> None:
        self.images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        self.labels = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(images.shape[2:], padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def conventional(config: RunConfig, window: Window, loader_processes: int) -> float:
    """Trains the network of `config` in the conventional way until the window is over.

    Returns:
        Images per second.
    """
    device = machine.choose_device(config.device)
    on_gpu = device.type == "cuda"
    machine.set_up(config.threads)
    # torch's own defaults.
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = on_gpu
    images = load_images(config.data)
    batch_size = config.schedule.batch_size
    dataset = Images(images.train_images, images.train_labels, config.data.augment.padding)
    # An endless epoch: with a small data set the loader processes would start again and again.
    sampler = RandomSampler(dataset, num_samples=batch_size * NEVER)
    loader = DataLoader(
        dataset, batch_size, sampler=sampler, num_workers=loader_processes, pin_memory=on_gpu
    )
    network = build_network(config.model, len(images.classes), fused=False).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    for iteration, (inputs, labels) in enumerate(loader, start=1):
        inputs = inputs.to(device, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        loss = F.cross_entropy(network(inputs), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not on_gpu or iteration % 50 == 0:
            # Waits for a GPU, which runs behind the loop.
            loss.item()
            window.mark(iteration)
        if window.over:
            break
    return batch_size / window.seconds_per_iteration()
