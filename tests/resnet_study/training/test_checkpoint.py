"""Checkpoints that are damaged, foreign or malicious are refused; resume is exact."""

import hashlib
import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from resnet_study.config import ModelConfig
from resnet_study.experiment import run
from resnet_study.system.errors import CheckpointError, StudyWarning
from resnet_study.training import checkpoint as checkpoints
from tests.comparison import assert_same_end, interrupted_at
from tests.damage import damaged, damages, given


def test_a_damaged_checkpoint_is_replaced_by_the_one_before_if_that_is_whole(config, undisturbed):
    config = config(every=1000)
    folder = interrupted_at(config, 11, 23)
    content = bytearray(folder.checkpoint_file.read_bytes())
    content[len(content) // 2] ^= 1
    before = folder.previous_checkpoint_file.read_bytes()
    folder.checkpoint_file.write_bytes(content)
    folder.previous_checkpoint_file.write_bytes(before[:-1])
    with pytest.raises(CheckpointError, match="is damaged and there is no other; delete"):
        run(config)
    folder.previous_checkpoint_file.write_bytes(before)
    with pytest.warns(StudyWarning, match="damaged: its checksum differs; resuming from the"):
        record = run(config)
    assert record.manifest["resumed"][-1]["iteration"] == 11
    assert_same_end(folder.path, undisturbed)


def test_a_checkpoint_that_cannot_be_read_now_is_kept(config, monkeypatch):
    config = config(every=1000)
    folder = interrupted_at(config, 11, 23)
    read = Path.read_bytes

    def stale(path):
        if path == folder.checkpoint_file:
            raise OSError(116, "Stale file handle")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", stale)
    with pytest.raises(CheckpointError, match="cannot be read \\(Stale file handle\\)"):
        run(config)
    monkeypatch.undo()
    assert run(config).manifest["resumed"][-1]["iteration"] == 23


def test_a_checkpoint_of_another_description_or_other_images_is_refused(config):
    other = config(every=1000, model=ModelConfig(depth=14, width=4))
    config = config(every=1000)
    folder = interrupted_at(config, 11)
    saved = vars(checkpoints.read(folder.checkpoint_file))

    def change(**fields):
        checkpoints.write(folder.checkpoint_file, checkpoints.Checkpoint(**(saved | fields)))

    change(config=other.canonical())
    with pytest.raises(CheckpointError, match=r"was made with model\.depth 14; this run has 8"):
        run(config)
    change(data="0" * 12)
    with pytest.raises(CheckpointError, match="was made with other images"):
        run(config)
    change(versions=saved["versions"] | {"torch": "1.0.0"})
    with pytest.warns(StudyWarning, match=r"was made with torch 1\.0\.0"):
        assert run(config).state == "finished"


@dataclass
class Payload:
    path: Path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_from_elsewhere_runs_no_code(tmp_path, config):
    marker, stream = tmp_path / "executed", io.BytesIO()
    torch.save({"network": Payload(marker)}, stream)
    content = stream.getvalue()
    digest = hashlib.sha256(content).hexdigest().encode()
    config = config(every=1000)
    folder = interrupted_at(config, 11)
    # A bare pickle, a file of torch's, and one with our magic and a checksum that fits.
    signed = checkpoints._MAGIC + digest + b"\n" + content
    for foreign in (pickle.dumps(Payload(marker)), content, signed):
        folder.checkpoint_file.write_bytes(foreign)
        with pytest.raises(CheckpointError):
            run(config)
        assert not marker.exists()
    # The payload is live: an unguarded load would have run it.
    torch.load(io.BytesIO(content), weights_only=False)
    assert marker.exists()


@given(damage=damages)
def test_a_damaged_checkpoint_is_refused_or_exact(damage, tmp_path):
    path = tmp_path / "checkpoint.pt"
    written = checkpoints.Checkpoint({}, "data", {}, {"a": torch.arange(6.0)}, {}, {}, "text")
    checkpoints.write(path, written)
    whole = path.read_bytes()
    content = damaged(whole, damage)
    path.write_bytes(content)
    try:
        read = checkpoints.read(path)
    except CheckpointError:
        assert content != whole
    else:
        assert content == whole
        assert read.network["a"].tolist() == [0, 1, 2, 3, 4, 5]
