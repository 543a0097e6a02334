"""docs/weights.md: its example fits weights of networks that pad option A on both sides."""

import re

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.conftest import CHECKOUT


class Block(nn.Module):
    """A block under the published names; new channels on both sides of the copied ones."""

    def __init__(self, before, after):
        super().__init__()
        self.added = (after - before) // 2
        self.stride = 1 if after == before else 2
        self.conv1 = nn.Conv2d(before, after, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return F.relu(out + F.pad(shortcut, (0, 0, 0, 0, self.added, self.added)))


class Published(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [16] * blocks, [16] + [32] * (blocks - 1), [32] + [64] * (blocks - 1)
        for stage, before in enumerate(widths):
            layers = [Block(width, 16 * 2**stage) for width in before]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean(dim=(2, 3)))


def test_the_example_gives_the_outputs_of_the_published_network(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    published = Published(blocks=3)
    for norm in (m for m in published.modules() if isinstance(m, nn.BatchNorm2d)):
        for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            nn.init.uniform_(value, 0.5, 1.5)
    published.eval()
    state = {f"module.{name}": value for name, value in published.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "resnet20.th")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)

    class Images:
        data, targets = pixels, [0] * 12

        def __init__(self, root, train):
            assert (root, train) == ("data", False)

    monkeypatch.setattr("torchvision.datasets.CIFAR10", Images)
    monkeypatch.chdir(tmp_path)
    page = (CHECKOUT / "docs" / "weights.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    found = {}
    exec(code, found)
    with torch.inference_mode():
        theirs, ours = (model(found["images"]) for model in (published, found["network"]))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert ours.std() > 0.01
    error = 100 * (theirs.argmax(dim=1) != 0).float().mean()
    assert capsys.readouterr().out == f"test error {error:.2f} %\n"
