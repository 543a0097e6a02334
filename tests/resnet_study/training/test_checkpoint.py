"""Checkpoints that are damaged, foreign or malicious are refused; resume is exact."""

from __future__ import annotations

import hashlib
import io
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from resnet_study.config import (
    ModelConfig,
)
from resnet_study.errors import CheckpointError, StudyWarning
from resnet_study.experiment import run
from resnet_study.training import checkpoint as checkpoints
from tests.comparison import (
    assert_same_end,
    interrupted_at,
)
from tests.damage import damaged, damages, given


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(config, undisturbed):
    config = config(every=1000)
    folder = interrupted_at(config, 11, 23)
    content = bytearray(folder.checkpoint_file.read_bytes())
    content[len(content) // 2] ^= 1
    folder.checkpoint_file.write_bytes(content)
    with pytest.warns(StudyWarning, match="damaged: its checksum differs; going on from the"):
        record = run(config)
    assert record.manifest["resumed"][-1]["iteration"] == 11
    assert_same_end(folder.path, undisturbed)


def test_with_all_checkpoints_damaged_the_run_is_refused(config):
    config = config(every=1000)
    folder = interrupted_at(config, 11, 23)
    for path in (folder.checkpoint_file, folder.previous_checkpoint_file):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is damaged and there is no other; delete"):
        run(config)


def test_a_checkpoint_of_another_description_is_refused_by_field(config):
    ours = config(every=1000)
    theirs = config(every=1000, model=ModelConfig(depth=14, width=4))
    source = interrupted_at(theirs, 11)
    target = interrupted_at(ours, 11)
    shutil.copy(source.checkpoint_file, target.checkpoint_file)
    with pytest.raises(CheckpointError, match=r"was made with model\.depth 14; this run has 8"):
        run(ours)


def test_a_checkpoint_of_other_images_is_refused(config, tmp_path):
    config = config(every=1000)
    folder = interrupted_at(config, 11)
    saved = checkpoints.read(folder.checkpoint_file)
    checkpoints.write(
        folder.checkpoint_file, checkpoints.Checkpoint(**{**vars(saved), "data": "0" * 12})
    )
    with pytest.raises(CheckpointError, match="was made with other images"):
        run(config)


def test_another_version_of_torch_is_warned_of(config):
    config = config(every=1000)
    folder = interrupted_at(config, 11)
    saved = checkpoints.read(folder.checkpoint_file)
    versions = {**saved.versions, "torch": "1.0.0"}
    changed = checkpoints.Checkpoint(**{**vars(saved), "versions": versions})
    checkpoints.write(folder.checkpoint_file, changed)
    with pytest.warns(StudyWarning, match=r"was made with torch 1\.0\.0"):
        assert run(config).state == "finished"


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("disguise", ["bare pickle", "torch file", "valid checksum"])
def test_a_checkpoint_from_elsewhere_runs_no_code(disguise, tmp_path, config):
    marker = tmp_path / "executed"
    stream = io.BytesIO()
    if disguise == "bare pickle":
        pickle.dump(Payload(marker), stream)
    else:
        torch.save({"network": Payload(marker)}, stream)
    content = stream.getvalue()
    if disguise == "valid checksum":
        digest = hashlib.sha256(content).hexdigest().encode()
        content = checkpoints._MAGIC + digest + b"\n" + content
    config = config(every=1000)
    folder = interrupted_at(config, 11)
    folder.checkpoint_file.write_bytes(content)
    with pytest.raises(CheckpointError):
        run(config)
    assert not marker.exists()
    # The payload is live: an unguarded load would have run it.
    if disguise == "torch file":
        torch.load(io.BytesIO(content), weights_only=False)
        assert marker.exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The bytes of a small checkpoint, and what they mean."""
    path = tmp_path_factory.mktemp("saved") / "checkpoint.pt"
    weights = {"weight": torch.arange(6.0)}
    checkpoints.write(
        path, checkpoints.Checkpoint({}, "data", {}, weights, {}, {"iteration": 3}, "text")
    )
    return path.read_bytes()


@given(damage=damages)
def test_a_damaged_checkpoint_is_refused_or_exact(damage, saved, tmp_path):
    content = damaged(saved, damage)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    try:
        read = checkpoints.read(path)
    except CheckpointError:
        assert content != saved
    else:
        assert content == saved
        assert read.network["weight"].tolist() == [0, 1, 2, 3, 4, 5]
