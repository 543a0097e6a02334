"""The fused kernels: torch's results, in fewer passes; and torch's own where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.config import ModelConfig
from resnet_study.errors import StudyWarning
from resnet_study.experiment import run
from resnet_study.models import build_network, fused, kernels, kernels_for
from tests.comparison import assert_same_end, curve

# Not where there are no kernels: a compiler that makes none is a failure.
pytestmark = pytest.mark.skipif(kernels._compiler() is None, reason="needs a C++ compiler")

# Rows of one pixel and of many, channels that divide 64 and that do not, blocks cut short.
SHAPES = [(4, 16, 8, 8), (3, 8, 5, 7), (2, 12, 3, 3), (7, 64, 4, 4), (2, 100, 3, 5),
          (64, 4, 16, 16), (128, 16, 16, 16), (1, 1, 2, 3)]  # fmt: skip
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}
IMAGES = (4, 8, 6, 6)


def drawn(shape, seed, dtype=torch.float32, offset=0.0):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + offset
    return values.to(dtype, memory_format=torch.channels_last)


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    generator = torch.Generator().manual_seed(1)
    nn.init.uniform_(norm.weight, 0.5, 1.5, generator=generator)
    nn.init.normal_(norm.bias, generator=generator)
    return norm


def close(one: torch.Tensor, two: torch.Tensor, dtype: torch.dtype) -> None:
    atol = TOLERANCE[dtype] * (float(two.detach().abs().max()) or 1.0)
    torch.testing.assert_close(one.double(), two.double(), rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("with_shortcut", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forwards_and_backwards_are_torchs_in_double_precision(shape, with_shortcut, dtype):
    inputs = [drawn(shape, 2, dtype, offset=3.0), drawn(shape, 4, dtype)][: 1 + with_shortcut]
    exact = [tensor.double().requires_grad_() for tensor in inputs]
    inputs, gradient = [tensor.requires_grad_() for tensor in inputs], drawn(shape, 3, dtype)
    ours, theirs = norm_of(shape[1]), norm_of(shape[1]).double()
    assert fused.applies(ours, inputs[0], inputs[1] if with_shortcut else None)
    y = fused.normalise_add_relu(ours, *inputs)
    y.backward(gradient)

    reference = theirs(exact[0]) + sum(exact[1:])
    # Where the sum is zero to rounding, either side of the ReLU is right: ours is taken.
    (reference * (y > 0)).backward(gradient.double())
    close(y, F.relu(reference), dtype)
    leaves = zip([*inputs, *ours.parameters()], [*exact, *theirs.parameters()], strict=True)
    for mine, true in leaves:
        close(mine.grad, true.grad, dtype)
    assert all(tensor.grad.dtype == dtype for tensor in inputs)
    for mine, true in zip(ours.buffers(), theirs.buffers(), strict=True):
        close(mine, true, torch.float32)


def test_the_mean_is_taken_off_before_squares_are_summed():
    x, norm = drawn((64, 8, 16, 16), 0, offset=1000.0), norm_of(8)
    fused.normalise_add_relu(norm, x)
    true = x.double().var(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_var.double(), 0.9 + 0.1 * true, rtol=1e-5, atol=0)


def test_evaluation_uses_the_running_statistics_and_leaves_them():
    norm, x, shortcut = norm_of(8), drawn(IMAGES, 6), drawn(IMAGES, 7)
    norm(drawn(IMAGES, 5))
    norm.eval()
    before = norm.running_mean.clone()
    assert not fused.applies(norm, x, shortcut), "with gradients torch's own is taken"
    with torch.no_grad():
        assert fused.applies(norm, x, shortcut)
        y = fused.normalise_add_relu(norm, x, shortcut)
        torch.testing.assert_close(y, F.relu(norm(x) + shortcut))
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_what_is_not_a_number_stays_so(dtype):
    # Else a run that diverges would go on unseen.
    x = drawn(IMAGES, 0, dtype)
    x[0, 3, 0, 0] = float("nan")
    y = fused.normalise_add_relu(norm_of(8), x)
    assert y.isnan().any(dim=(0, 2, 3)).nonzero().tolist() == [[3]]
    assert y[:, 3].isnan().all()


def test_the_number_of_threads_does_not_matter(monkeypatch):
    def found(threads: int) -> list[torch.Tensor]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        norm, x = norm_of(16), drawn((64, 16, 16, 16), 8).requires_grad_()
        y = fused.normalise_add_relu(norm, x)
        y.backward(drawn((64, 16, 16, 16), 0))
        return [y, x.grad, norm.weight.grad, norm.running_var]

    one = found(1)
    for threads in (2, 3):
        torch.testing.assert_close(found(threads), one, rtol=0, atol=0)


def test_the_kernels_are_left_alone_where_they_do_not_fit():
    norm, x = norm_of(8), drawn(IMAGES, 0)
    assert fused.applies(norm, x, None)
    assert not fused.applies(norm, x.contiguous(), None), "channels outermost"
    assert not fused.applies(norm, x.double(), None)
    assert not fused.applies(norm, x.to("meta"), None)
    assert not fused.applies(norm, x, x.bfloat16())
    assert not fused.applies(norm, x[:1, :, :1, :1], None), "one pixel has no variance"
    assert not fused.applies(nn.Identity(), x, None)
    assert not fused.applies(norm, x, x[:, :, :3])
    assert not fused.applies(norm_of(8).bfloat16(), x.bfloat16(), None), "weights in bfloat16"
    assert not fused.applies(nn.BatchNorm2d(8, affine=False), x, None)
    assert not fused.applies(nn.BatchNorm2d(8, track_running_stats=False), x, None)


@pytest.mark.parametrize("shortcut", [None, "A", "B", "C"])
def test_a_network_is_the_same_with_and_without_them(shortcut):
    config = ModelConfig("residual" if shortcut else "plain", 20, shortcut, 8)
    images = drawn((32, 3, 16, 16), 9)
    found = []
    for on in (True, False):
        network = build_network(config, 10, fused=on).to(memory_format=torch.channels_last)
        loss = F.cross_entropy(network(images), torch.arange(32) % 10)
        loss.backward()
        with torch.no_grad():
            found.append((loss, network.eval()(images), [p.grad for p in network.parameters()]))
    (loss, outputs, gradients), (torchs_loss, torchs_outputs, torchs_gradients) = found
    torch.testing.assert_close(loss, torchs_loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(outputs, torchs_outputs, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(gradients, torchs_gradients, strict=True):
        # Responses that are zero to rounding fall either way.
        assert (ours - theirs).norm() < 0.1 * theirs.norm()


def test_hooks_see_the_response_and_bfloat16_weights_are_torchs():
    network = build_network(ModelConfig(depth=8, width=4), 10).to(memory_format=torch.channels_last)
    images = drawn((4, 3, 8, 8), 0)
    plain, seen = network(images), []
    for module in (network.stem, network.stem.bn):
        hook = module.register_forward_hook(lambda *arguments: seen.append(arguments[2]))
        torch.testing.assert_close(network(images), plain, rtol=1e-4, atol=1e-5)
        hook.remove()
    assert len(seen) == 2
    network.to(torch.bfloat16)
    F.cross_entropy(network(images.bfloat16()), torch.arange(4)).backward()
    assert network.stem.conv.weight.grad.dtype == torch.bfloat16


def test_a_run_begins_as_with_torchs_kernels_and_without_them_it_is_torchs(
    tiny, tmp_path, monkeypatch
):
    # The documented tolerance: the first loss to 1e-6, the first ten to a tenth. Responses
    # that are zero to rounding make two roundings part within iterations, as they do with
    # torch's kernels on one thread and on two.
    settings = {"iterations": 10, "milestones": (), "log_every": 1, "eval_every": 10}

    def trained(name: str, **changes):
        record = run(tiny(settings, runs_dir=str(tmp_path / name), **changes))
        losses = [float(row["train_loss"]) for row in curve(record.folder)]
        return record, record.manifest["kernels"], losses

    (fast, used, ours), (slow, torchs, theirs) = trained("auto"), trained("torch", kernels="torch")
    assert (used, torchs) == ("fused", "torch")
    assert fast.run_id == slow.run_id
    assert ours != theirs
    assert ours[0] == pytest.approx(theirs[0], rel=1e-6)
    assert ours == pytest.approx(theirs, rel=0.1)

    monkeypatch.setattr(kernels, "load", lambda: None)
    assert kernels_for(torch.device("cpu"), "auto") == "torch"
    without, used, _ = trained("without")
    assert used == "torch"
    assert_same_end(slow.folder, without.folder)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty cache folder, where `kernels.load.__wrapped__` puts what it compiles."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "resnet_study"


@pytest.mark.slow
def test_they_are_compiled_once_and_anew_where_they_are_damaged(home, tmp_path, monkeypatch):
    # A compiler may have arguments.
    monkeypatch.setenv("CXX", f"{kernels._compiler()[0]} -Wall")
    assert kernels.load.__wrapped__()
    (library,) = home.iterdir()
    before = library.stat().st_mtime_ns
    assert kernels.load.__wrapped__()
    assert library.stat().st_mtime_ns == before
    # Elsewhere: what this process has loaded it does not load again.
    damaged = tmp_path / "other/resnet_study" / library.name
    damaged.parent.mkdir(parents=True)
    damaged.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert kernels.load.__wrapped__()
    assert damaged.stat().st_size > 0


def test_without_a_compiler_there_are_none(home, monkeypatch):
    monkeypatch.setenv("CXX", "/no/compiler")
    assert kernels.load.__wrapped__() is kernels.compiler_version() is None
    assert not home.exists()


@pytest.mark.parametrize("compiler", ["false", "true", None])
def test_kernels_that_cannot_be_made_are_told(compiler, home, monkeypatch):
    """By a compiler that fails, by one that makes none, and where they cannot be kept."""
    if compiler:
        monkeypatch.setenv("CXX", compiler)
    else:
        home.write_text("")
    with pytest.warns(StudyWarning, match="the kernels cannot be compiled"):
        assert kernels.load.__wrapped__() is None
    assert not list(home.glob("*"))
