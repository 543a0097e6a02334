"""Plans of runs on disk: what is finished, what is begun, what is left, and what it takes."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace

import pytest

from resnet_study.config import CheckpointConfig, ModelConfig, StartConfig
from resnet_study.experiment import run
from resnet_study.interruption import Interrupted
from resnet_study.plan.estimate import PROCESS_START, START
from resnet_study.plan.mapping import as_mapping
from resnet_study.plan.place import Place
from resnet_study.plan.plan import make_plan
from resnet_study.plan.text import rows_of, show, span
from resnet_study.runs import RunFolder, check_space, estimated_bytes, kept_bytes
from resnet_study.sweep import Job
from tests.comparison import Stop


@pytest.fixture
def plan(benchmark_file, place):
    given = str(benchmark_file())

    def make(configs, where=place, benchmark=given):
        jobs = [Job((), config) for config in configs]
        return make_plan(jobs, where, benchmark, "An Abacus")

    return make


def finish(config, seconds=100.0, **changes):
    """A finished run, as its folder would be."""
    folder = RunFolder.of(config)
    folder.path.mkdir(parents=True)
    folder.write_config(config)
    manifest = {
        "run_id": config.run_id, "state": "finished", "seconds": seconds, "threads": 1,
        "device_name": "An Abacus", "kernels": "fused", "resumed": [],
    }  # fmt: skip
    folder.write_manifest(manifest | changes)


def test_each_distinct_run_counts_once(plan, tiny):
    plain = [ModelConfig("plain", 8, shortcut, width=4) for shortcut in "AB"]
    residual = [ModelConfig("residual", 8, shortcut, width=4) for shortcut in "AB"]
    configs = [tiny(model=model, seed=seed) for model in plain + residual for seed in (0, 1)]
    found = plan(configs)
    assert len(found.runs) == 6
    rows = {row.config.model.family: len(row.runs) for row in rows_of(found)}
    assert rows == {"plain": 2, "residual-A": 2, "residual-B": 2}


def test_what_is_finished_takes_no_time(plan, tiny):
    configs = [tiny(seed=seed) for seed in range(4)]
    whole = plan(configs)
    run(configs[0])
    finish(configs[1], state="diverged")
    left = plan(configs)
    assert [r.config.seed for r in left.left] == [2, 3]
    assert left.run_seconds == pytest.approx(whole.run_seconds / 2)
    assert left.wall_seconds == pytest.approx(whole.wall_seconds / 2)
    assert left.core_hours == pytest.approx(left.run_seconds / 3600)
    assert plan(configs[:2]).wall_seconds == 0


def test_a_run_that_was_stopped_goes_on_from_where_it_was_saved(plan, config):
    stopped = config(every=100)
    with pytest.raises(Interrupted):
        run(stopped, Stop(31, signal.SIGTERM))
    (found,) = plan([stopped]).runs
    assert found.state == "running"
    # Rows are written each third iteration, and at evaluations.
    assert (found.iteration, found.saved) == (30, 30)
    whole = found.estimate.seconds - START
    assert found.seconds_left == pytest.approx(START + whole * 10 / 40)
    RunFolder.of(stopped).checkpoint_file.unlink()
    (found,) = plan([stopped]).runs
    assert (found.iteration, found.saved) == (30, 0)
    assert found.seconds_left == found.estimate.seconds


def test_a_damaged_run_is_named_and_not_counted(plan, tiny, capsys):
    damaged = RunFolder.of(tiny())
    damaged.path.mkdir(parents=True)
    damaged.manifest_file.write_text("{")
    found = plan([tiny(), tiny(seed=1)])
    assert [r.config.seed for r in found.left] == [1]
    show(found, as_json=False)
    text = capsys.readouterr().out
    assert "0 finished, 1 damaged, 1 not begun" in text
    assert f"damaged: {damaged.path}" in text


def test_finished_runs_of_the_same_network_are_the_best_evidence(plan, tiny):
    for seed, seconds in enumerate((100.0, 104.0, 130.0)):
        finish(tiny(seed=seed), seconds)
    finish(tiny(seed=3), 9999.0, device_name="Another")
    finish(tiny(seed=4), 9999.0, threads=2)
    finish(tiny(seed=5, activation_checkpointing=True), 9999.0)
    finish(tiny(seed=6, model=ModelConfig(depth=8, width=4, init="xavier")), 9999.0)
    (found,) = plan([tiny(seed=9)], benchmark=None).left
    assert found.estimate.seconds == pytest.approx(104 + START)
    assert found.estimate.basis == "3 runs"
    assert found.estimate.spread == pytest.approx(30)
    # A file that is named comes before runs; another network has no run on record.
    assert plan([tiny(seed=9)]).left[0].estimate.basis == "scaled"
    other = tiny(seed=9, model=ModelConfig(depth=14, width=4))
    assert plan([other], benchmark=None).left[0].estimate.basis == "scaled"


def test_on_a_cluster_runs_of_any_machine_count_and_are_named(plan, tiny):
    finish(tiny(), 50.0, device_name="A Node")
    where = Place("slurm", 4, 1, cluster=True, own_process=True)
    (found,) = plan([tiny(seed=1)], where, None).left
    assert found.estimate.seconds == pytest.approx(50 + START + PROCESS_START)
    assert found.estimate.notes == ("the runs on record were trained on A Node",)


def test_the_run_that_others_start_from_is_added_and_waited_for(plan, tiny):
    deep = ModelConfig(depth=14, width=4)
    configs = [tiny(model=deep, start=StartConfig(depth=8), seed=0)]
    found = plan(configs)
    shallow, deeper = found.runs
    assert (shallow.config.model.depth, shallow.asked, deeper.asked) == (8, False, True)
    assert found.wall_seconds == pytest.approx(shallow.seconds_left + deeper.seconds_left)
    assert as_mapping(found)["runs"] == 1
    # Asked for, it is one of the runs; finished, it is no part of the plan.
    both = plan([*configs, shallow.config])
    assert [r.asked for r in both.runs] == [True, True]
    assert both.wall_seconds == pytest.approx(found.wall_seconds)
    finish(shallow.config)
    assert [r.config.model.depth for r in plan(configs).runs] == [14]


def test_disk_is_what_the_sweep_will_ask_for(plan, tiny, monkeypatch, capsys):
    configs = [tiny(seed=seed) for seed in range(3)]
    finish(configs[0])
    found = plan(configs)
    assert found.bytes_while == 2 * estimated_bytes(configs[0])
    assert found.bytes_kept == 2 * kept_bytes(configs[0])
    usage = shutil.disk_usage("/")
    for free, enough in ((found.bytes_while, True), (found.bytes_while - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, f=free: usage._replace(free=f))
        show(plan(configs), as_json=False)
        assert ("the sweep will not start" not in capsys.readouterr().out) == enough
        if enough:
            check_space(configs[1:])


def test_what_a_run_leaves_is_no_more_than_the_plan_says(tiny):
    config = tiny(checkpoint=CheckpointConfig(every=4))
    folder = run(config).folder
    left = sum(file.stat().st_size for file in folder.rglob("*"))
    assert left < kept_bytes(config) < estimated_bytes(config)


@pytest.mark.parametrize(
    "minutes, again, words",
    [
        (10_000, 0, None),
        (1, 20, "reaches timeout_min=1 "),
        (1, 0, "with max_num_timeout=0 allow 60 s: it will not finish"),
    ],
)
def test_a_limit_that_is_too_short_is_said(plan, tiny, capsys, minutes, again, words):
    config = tiny(schedule={"iterations": 5000, "milestones": (), "eval_every": 1000})
    where = Place("slurm", 1, 1, cluster=True, own_process=True, minutes=(minutes, again))
    found = plan([config], where)
    assert 60 < found.wall_seconds < 60 * 20
    show(found, as_json=False)
    text = capsys.readouterr().out
    assert (words in text) if words else ("limit " not in text)


def test_gpu_hours_are_shared_here_and_each_runs_own_on_a_cluster(plan, tiny):
    configs = [tiny(seed=seed) for seed in range(4)]
    here = plan(configs, Place("local", 2, 1, gpus=1, cores=2))
    assert here.gpu_hours == pytest.approx(here.wall_seconds / 3600)
    there = plan(configs, Place("slurm", 4, 1, gpus=2, cluster=True))
    assert there.gpu_hours == pytest.approx(2 * there.run_seconds / 3600)
    assert there.wall_seconds == pytest.approx(there.run_seconds / 4)


def test_words_that_tell_runs_apart_stand_in_the_table(plan, tiny, capsys):
    models = [ModelConfig(depth=8, width=4, norm=norm) for norm in ("batch", "none")]
    found = plan([tiny(model=model, seed=seed) for model in models for seed in (0, 1)])
    show(found, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split()[:4] for line in lines if line.startswith("residual-A")]
    assert rows == [["residual-A", "8", "2", "0"], ["residual-A", "nonorm", "8", "2"]]
    assert not any(line != line.rstrip() for line in lines)


def test_json_has_all_of_it(plan, tiny, capsys):
    configs = [tiny(seed=seed) for seed in range(2)]
    run(configs[0])
    found = plan(configs)
    show(found, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], told["finished"]) == (2, 1)
    assert told["wall_seconds"] == pytest.approx(found.wall_seconds, abs=0.1)
    by_seed = {each["run_id"]: each for each in told["each"]}
    assert by_seed[configs[0].run_id]["seconds_left"] == 0
    assert by_seed[configs[1].run_id]["state"] == "left"
    assert by_seed[configs[1].run_id]["seconds_left"] > 0


def test_settings_of_the_run_itself_count(plan, tiny):
    one, two = plan([tiny(threads=1)]), plan([tiny(threads=2)])
    assert two.core_hours == pytest.approx(2 * two.run_seconds / 3600)
    assert one.core_hours == pytest.approx(one.run_seconds / 3600)
    assert replace(one, runs=()).core_hours == 0


@pytest.mark.parametrize(
    "seconds, words",
    [(42, "42 s"), (5400, "1 h 30 min"), (47 * 3600, "47 h 00 min"), (100 * 3600, "4 d 4 h")],
)
def test_spans(seconds, words):
    assert span(seconds) == words
