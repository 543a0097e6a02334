"""One run from Python: same description, same curve; finished once, trained once."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from multiprocessing import get_context

import pytest

from resnet_study import experiment
from resnet_study.config import DataConfig, ModelConfig
from resnet_study.errors import DataError, StorageError
from resnet_study.experiment import run
from resnet_study.interruption import Interrupted
from resnet_study.progress import Reporter
from resnet_study.runs import METRICS

TIMES = {"seconds", "images_per_second"}


def curve(record):
    with (record.folder / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def test_a_run_leaves_its_config_manifest_and_metrics(tiny):
    config = tiny()
    record = run(config)
    assert record.state == "finished"
    assert record.folder.name == config.run_id
    rows = curve(record)
    assert list(rows[0]) == [name for name in METRICS if name not in TIMES]
    assert [int(row["iteration"]) for row in rows] == [3, 6, 9, 12]
    assert [row["test_error"] != "" for row in rows] == [False, True, False, True]
    manifest = record.manifest
    assert manifest["parameters"] == 5006
    assert manifest["data"]["title"] == "embedded shapes"
    assert manifest["data"]["train_images"] == 200
    assert manifest["versions"]["torch"]
    assert manifest["peak_memory_bytes"] > 10_000_000
    assert manifest["started"] <= manifest["ended"]


def test_a_finished_run_leaves_one_checkpoint_and_nothing_else(undisturbed):
    expected = {".lock", "checkpoint.pt", "config.yaml", "manifest.json", "metrics.csv"}
    assert {path.name for path in undisturbed.iterdir()} == expected


def test_the_same_description_gives_the_same_curve_bit_for_bit(tiny, tmp_path):
    one = run(tiny(runs_dir=str(tmp_path / "one")))
    two = run(tiny(runs_dir=str(tmp_path / "two")))
    other = run(tiny(runs_dir=str(tmp_path / "one"), seed=1))
    assert curve(one) == curve(two)
    assert curve(one) != curve(other)


def test_progress_does_not_move_the_curve(tiny, tmp_path):
    class Counting(Reporter):
        seen = 0

        def iteration(self, completed):
            self.seen = completed

    reporter = Counting()
    watched = run(tiny(runs_dir=str(tmp_path / "watched")), reporter)
    assert reporter.seen == 12
    assert curve(watched) == curve(run(tiny()))


def test_a_finished_run_is_not_trained_again(tiny, monkeypatch):
    first = run(tiny())
    before = (first.folder / "metrics.csv").stat().st_mtime_ns
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    again = run(tiny())
    assert again.manifest == first.manifest
    assert (first.folder / "metrics.csv").stat().st_mtime_ns == before


def test_a_run_cut_short_is_trained_anew(tiny, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tiny())
    whole = run(tiny(runs_dir=str(tmp_path / "whole")))
    assert curve(run(tiny())) == curve(whole)


def test_a_failed_run_keeps_its_traceback_and_may_be_tried_again(tiny, monkeypatch):
    config = tiny()

    def broken(*_, **__):
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "train", broken)
        with pytest.raises(RuntimeError):
            run(config)
    folder = experiment.RunFolder.of(config)
    manifest = folder.read_manifest()
    assert manifest is not None
    assert manifest["state"] == "failed"
    assert "RuntimeError: a defect" in folder.failure_file.read_text()
    assert run(config).state == "finished"
    assert not folder.failure_file.exists()


def test_a_run_that_diverges_keeps_its_curve_and_is_complete(tiny):
    config = tiny(schedule={"learning_rate": 1e30})
    record = run(config)
    assert record.state == "diverged"
    assert curve(record)
    assert run(config).manifest == record.manifest


def _train_and_report(config, queue):
    record = run(config)
    queue.put((record.state, record.manifest["started"], record.manifest["seconds"]))


def test_two_processes_that_reach_one_run_train_it_once(tiny):
    context = get_context("spawn")
    queue = context.Queue()
    config = tiny(schedule={"iterations": 150, "milestones": ()})
    workers = [context.Process(target=_train_and_report, args=(config, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    first, second = queue.get(timeout=120), queue.get(timeout=120)
    for worker in workers:
        worker.join()
    # Equal times to the last digit: one process trained, the other read the record.
    assert first == second


def test_nothing_is_created_where_the_data_are_missing(tiny, tmp_path):
    config = tiny(data=DataConfig(name="image_folder", root=str(tmp_path / "nowhere")))
    with pytest.raises(DataError, match=r"data\.root"):
        run(config)
    assert not (tmp_path / "runs").exists()


def test_a_place_that_is_no_folder_is_refused(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"runs_dir=\S*file: cannot be written"):
        run(tiny(runs_dir=str(tmp_path / "file")))


def test_plain_and_residual_see_the_same_stream(tiny, monkeypatch):
    """Paired: the same images, crops and flips in the same order."""
    seen = {}

    def watch(step, batches, *_, **__):
        seen[len(seen)] = [step.assemble(*next(batches))[0] for _ in range(3)]
        return "diverged"

    monkeypatch.setattr(experiment, "train", watch)
    run(tiny(model=ModelConfig(kind="plain", depth=8, width=4)))
    run(tiny(model=ModelConfig(kind="residual", depth=14, width=4, shortcut="B")))
    assert all(a.equal(b) for a, b in zip(seen[0], seen[1], strict=True))


def test_finished_runs_of_a_namesake_folder_are_not_taken_for_ours(tiny, tmp_path, cache):
    from PIL import Image

    def photos(where, colour):
        root = tmp_path / where / "photos"
        for part in ("train", "test"):
            for name in ("cat", "dog"):
                (root / part / name).mkdir(parents=True)
                for i in range(16):
                    image = Image.new("RGB", (8, 8), colour)
                    image.save(root / part / name / f"{i}.png")
        return DataConfig(name="image_folder", root=str(root), cache=str(cache))

    first = run(tiny(data=photos("a", "red")))
    assert first.state == "finished"
    shutil.copytree(tmp_path / "a", tmp_path / "moved")
    moved = DataConfig(
        name="image_folder", root=str(tmp_path / "moved" / "photos"), cache=str(cache)
    )
    assert run(tiny(data=moved)).manifest == first.manifest
    with pytest.raises(DataError, match="was made with other images of the same name"):
        run(tiny(data=photos("b", "blue")))


def test_a_request_to_stop_ends_the_wait_for_a_run(tiny):
    config = tiny()
    told = []

    class Impatient(Reporter):
        def waiting(self):
            told.append(1)
            os.kill(os.getpid(), signal.SIGTERM)

    program = (
        "import sys; from pathlib import Path; from resnet_study.runs import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).lock(lambda: False):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    folder = experiment.RunFolder.of(config).path
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Interrupted):
            run(config, Impatient())
        assert run(config, wait=False).state == "running"
        holder.communicate("")
    assert told
    assert run(config).state == "finished"
