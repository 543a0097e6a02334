"""The fused kernels: torch's results, in fewer passes; and torch's own where there are none."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.experiment import run
from resnet_study.models import fused, kernels
from resnet_study.system.errors import StudyWarning
from tests.comparison import assert_same_end, curve

# Not where there are no kernels: a compiler that makes none is a failure.
pytestmark = pytest.mark.skipif(kernels._compiler() is None, reason="needs a C++ compiler")

# Channels that divide 64 and that do not, blocks cut short, and a single channel.
SHAPES = [(3, 8, 5, 7), (7, 64, 4, 4), (2, 100, 3, 5), (128, 16, 16, 16), (1, 1, 2, 3)]
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
    for mine, true in zip(ours.buffers(), theirs.buffers(), strict=True):
        close(mine, true, torch.float32)


def test_the_mean_is_taken_off_before_squares_are_summed():
    x, norm = drawn((64, 8, 16, 16), 0, offset=1000.0), norm_of(8)
    fused.normalise_add_relu(norm, x)
    true = x.double().var(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_var.double(), 0.9 + 0.1 * true, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_what_is_not_a_number_stays_so(dtype):
    # Else a run that diverges would go on unseen.
    x = drawn(IMAGES, 0, dtype)
    x[0, 3, 0, 0] = float("nan")
    y = fused.normalise_add_relu(norm_of(8), x)
    assert y[:, 3].isnan().all()


def test_the_number_of_threads_does_not_matter(monkeypatch):
    def found(threads: int) -> list[torch.Tensor]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        norm, x = norm_of(16), drawn((64, 16, 16, 16), 8).requires_grad_()
        y = fused.normalise_add_relu(norm, x)
        y.backward(drawn((64, 16, 16, 16), 0))
        return [y, x.grad, norm.weight.grad, norm.running_var]

    torch.testing.assert_close(found(3), found(1), rtol=0, atol=0)


def test_the_kernels_are_left_alone_where_they_do_not_fit():
    norm, x = norm_of(8), drawn(IMAGES, 0)
    assert fused.applies(norm, x, None)
    assert not fused.applies(norm, x.contiguous(), None), "channels outermost"
    assert not fused.applies(norm, x.double(), None)
    assert not fused.applies(norm, x, x.bfloat16())
    assert not fused.applies(norm, x[:1, :, :1, :1], None), "one pixel has no variance"
    assert not fused.applies(norm_of(8).bfloat16(), x.bfloat16(), None), "weights in bfloat16"
    assert not fused.applies(norm.eval(), x, None), "with gradients torch's own is taken"


@pytest.mark.slow
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
    without, used, _ = trained("without")
    assert used == "torch"
    assert_same_end(slow.folder, without.folder)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty cache folder, where `kernels.load.__wrapped__` puts what it compiles."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "resnet_study"


@pytest.mark.slow
def test_they_are_compiled_once_and_anew_where_they_are_damaged(home, monkeypatch):
    # A compiler may have arguments.
    monkeypatch.setenv("CXX", f"{kernels._compiler()[0]} -Wall")
    library = kernels._compiled(kernels._compiler())
    before = library.stat().st_mtime_ns
    assert kernels._compiled(kernels._compiler()) == library
    assert library.stat().st_mtime_ns == before
    library.write_text("")
    assert kernels.load.__wrapped__()
    assert library.stat().st_size > 0


def test_without_a_compiler_there_are_none(home, monkeypatch):
    monkeypatch.setenv("CXX", "/no/compiler")
    assert kernels.load.__wrapped__() is kernels.compiler_version() is None
    assert not home.exists()


@pytest.mark.parametrize("compiler", ["false", "true", "g++ '", None])
def test_kernels_that_cannot_be_made_are_told(compiler, home, monkeypatch):
    """By a compiler that fails, that makes none, or is misspelt, and where they cannot be kept."""
    if compiler:
        monkeypatch.setenv("CXX", compiler)
    else:
        home.write_text("")
    with pytest.warns(StudyWarning, match="the kernels cannot be compiled"):
        assert kernels.load.__wrapped__() is None
    assert not list(home.glob("*"))


def test_on_macos_the_compiler_is_one_that_the_user_names(monkeypatch):
    """Apple's has no OpenMP, and a warning in each run would help nobody."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("CXX", raising=False)
    assert kernels.load.__wrapped__() is None
    monkeypatch.setenv("CXX", "sh -c")
    assert kernels._compiler() == ["sh", "-c"]
