"""What the code did when the golden data were made, it does still; see `make.py`."""

import json
import shutil

import numpy as np
import pytest

from resnet_study.config import RunConfig
from resnet_study.experiment import run
from resnet_study.store.folder import RunFolder
from tests.comparison import curve
from tests.golden import training

NUMBERS = json.loads(training.NUMBERS.read_text("utf-8"))
# How far losses may be from those that are stored. Other kernels, processors and versions round
# otherwise: 1e-6 apart after ten iterations, 1e-4 where that moves an input of a ReLU across
# zero. A rate that is 10 % off makes 1e-2.
LOSS = 1e-3
# Versions of Pillow round a pixel's level otherwise, too: 5e-3 apart.
STREAMED_LOSS = 2e-2
# Percent: one image of the smallest batch, of 16.
ERROR = 6.3

# A checkpoint says where it was made.
elsewhere = pytest.mark.filterwarnings("ignore:.* was made with .*, resuming with")


def assert_close(found: training.Curve, stored: training.Curve, loss: float = LOSS) -> None:
    assert len(found) == len(stored) >= 10
    for row, golden in zip(found, stored, strict=True):
        assert row.keys() == golden.keys()
        for name, value in golden.items():
            if not value or not name.endswith(("loss", "error")):
                assert row[name] == value, name
            else:
                limits = {"rel": loss} if name.endswith("loss") else {"abs": ERROR}
                where = f"{name} at iteration {golden['iteration']}"
                assert float(row[name]) == pytest.approx(float(value), **limits), where


def test_a_default_is_what_it_was():
    """A setting may be added, with a default that means what was done before."""
    stored = json.loads(training.DEFAULTS.read_text("utf-8"))
    now = RunConfig().to_mapping()
    assert training.merged(now, stored) == now


def test_a_description_has_the_id_that_it_had():
    defaults = json.loads(training.DEFAULTS.read_text("utf-8"))
    lines = training.IDS.read_text("utf-8").splitlines()
    assert len(lines) >= 188
    for run_id, canonical in map(json.loads, lines):
        mapping = training.merged(defaults, canonical)
        if "folder" in mapping["data"]["name"]:
            # Where the images are is no part of a run.
            mapping["data"]["root"] = "anywhere"
        config = RunConfig.from_mapping(mapping)
        assert config.canonical() == canonical
        assert config.run_id == run_id


def test_an_epoch_is_drawn_as_it_was():
    for name, parts in training.draws().items():
        for found, stored in zip(parts, NUMBERS["draws"][name], strict=True):
            np.testing.assert_allclose(found, stored, rtol=1e-6)


@elsewhere
@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "residual-B",
        "resumed",
        "streamed",
        pytest.param("processes", marks=pytest.mark.slow),
    ],
)
def test_ten_iterations_are_what_they_were(name, cache, tmp_path):
    if name == "streamed":
        training.make_pictures(tmp_path / "pictures")
    folder = training.trained(training.described(name, tmp_path, cache), name)
    loss = STREAMED_LOSS if name == "streamed" else LOSS
    assert_close(curve(folder), NUMBERS["curves"][name], loss)


@pytest.fixture
def interrupted(tmp_path, cache):
    """A copy of the stored run, which ended in the middle of an epoch, and its description."""
    config = training.moved(RunFolder(training.INTERRUPTED).read_config(), tmp_path, cache)
    folder = RunFolder.of(config).path
    shutil.copytree(training.INTERRUPTED, folder)
    return folder, config


@elsewhere
def test_an_interrupted_run_of_the_past_is_resumed(interrupted):
    folder, config = interrupted
    before = curve(folder)
    record = run(config)
    assert record.folder == folder
    assert [entry["iteration"] for entry in record.manifest["resumed"]] == [training.STOPPED_AT]
    assert curve(folder)[: training.STOPPED_AT] == before
    assert_close(curve(folder), NUMBERS["curves"]["interrupted"])


def test_a_checkpoint_of_the_past_is_evaluated(interrupted):
    ((view, found),) = training.evaluated(*interrupted).items()
    stored = NUMBERS["scores"][view]
    assert found["images"] == stored["images"]
    assert found["loss"] == pytest.approx(stored["loss"], rel=LOSS)
    assert found["error"] == pytest.approx(stored["error"], abs=ERROR)


def test_a_run_starts_from_a_checkpoint_of_the_past(interrupted):
    started = training.started_from(*interrupted)
    assert_close(curve(started), NUMBERS["curves"]["from-unfinished"])
