"""Plans of runs on disk: what is finished, what is begun, what is left, and what it takes."""

import shutil

import pytest

from resnet_study.config import ModelConfig, StartConfig
from resnet_study.experiment import run
from resnet_study.plan.place import Place
from resnet_study.plan.plan import make_plan
from resnet_study.plan.text import as_text, hours, size
from resnet_study.store.folder import RunFolder
from resnet_study.store.space import estimated_bytes, kept_bytes


@pytest.fixture
def plan(benchmark_file, place):
    measured = str(benchmark_file())
    return lambda *configs, where=place, named=measured: make_plan(list(configs), where, named)


def write(config, seconds=100.0, **changes):
    """Writes the manifest of a run, which is finished where nothing else is said."""
    manifest = {"state": "finished", "seconds": seconds, "threads": 1, "device_name": "An Abacus"}
    folder = RunFolder.of(config)
    folder.path.mkdir(parents=True)
    folder.write_manifest(manifest | changes)
    return folder


def test_each_distinct_run_counts_once_and_networks_stand_in_the_table(plan, tiny):
    kinds = [(kind, option) for kind in ("plain", "residual") for option in "AB"]
    models = [ModelConfig(kind, 8, option, width=4) for kind, option in kinds]
    text = as_text(plan(*(tiny(model=model, seed=seed) for model in models for seed in (0, 1))))
    rows = [line.split()[:3] for line in text.splitlines() if "-r8-" in line]
    families = ["plain", "residual-A", "residual-B"]
    assert rows == [[f"{name}-008-w4-shapes-r8-n200-i12", "2", "0"] for name in families]


def test_what_is_finished_or_saved_takes_no_time(plan, tiny):
    configs = [tiny(seed=seed) for seed in range(5)]
    for config, state in zip(configs, ("finished", "diverged", "damaged", "running"), strict=False):
        folder = write(config, state=state)
    folder.metrics_file.write_text("iteration,epoch\n6,0\n9,1\n")
    whole = plan(*configs)
    assert [run.seconds_left > 0 for run in whole.runs].count(True) == 2
    folder.checkpoint_file.touch()
    found, seconds = plan(*configs), whole.needs["run_seconds"] / 2
    assert found.needs["wall_seconds"] == pytest.approx(seconds)
    assert found.needs["core_hours"] == pytest.approx(seconds * (1 + 3 / 12) / 3600)
    text = as_text(found)
    assert ": 2 finished, 1 begun, 1 damaged, 1 not begun" in text
    assert f"damaged: {configs[2].run_id}, not counted" in text
    assert f"begun: {configs[3].run_id}, iteration 9 of 12" in text
    assert "nothing is left to train" in as_text(plan(*configs[:3]))


def test_finished_runs_of_the_same_network_are_the_best_evidence(plan, tiny):
    for seed, seconds in enumerate((100.0, 104.0, 130.0)):
        write(tiny(seed=seed), seconds)
    write(tiny(seed=3), 9999.0, device_name="Another")
    write(tiny(seed=4), 9999.0, threads=2)
    write(tiny(seed=5, schedule={"learning_rate": 0.5}), 9999.0)
    new, other = tiny(seed=9), tiny(model=ModelConfig(depth=14, width=4))
    scaled, known = [run.estimate for run in plan(new, other, named=None).runs]
    assert (known.seconds, known.basis, scaled.basis) == (2 + 104, "3 runs", "scaled")
    # A file that is named comes before runs. On a cluster runs of any machine count.
    assert plan(new).runs[0].estimate.basis == "scaled"
    there = plan(new, where=Place("slurm", 4, 1), named=None).runs[0].estimate
    assert (there.seconds, there.basis) == (2 + 5 + 117, "4 runs")


def test_the_run_that_others_start_from_is_added_and_waited_for(plan, tiny):
    deep = tiny(model=ModelConfig(depth=14, width=4), start=StartConfig(depth=8))
    found = plan(deep)
    assert [run.config.model.depth for run in found.runs] == [8, 14]
    assert found.notes[0] == "1 of the runs were not asked for: others start from them"
    assert found.needs["wall_seconds"] == found.needs["run_seconds"]
    write(deep)
    assert [run.config.model.depth for run in plan(deep).runs] == [14]


def test_each_free_worker_takes_the_longest_run_that_is_left(plan, tiny):
    depths = enumerate((44, 32, 20, 20, 20))
    found = plan(*(tiny(model=ModelConfig(depth=d, width=4), seed=seed) for seed, d in depths))
    one, two, *others = [run.seconds_left for run in found.runs]
    expected = max(one + others[1], two + others[0] + others[2])
    assert found.needs["wall_seconds"] == pytest.approx(expected)


def test_disk_is_what_the_sweep_will_ask_for_and_more_than_a_run_leaves(plan, tiny, monkeypatch):
    files = run(tiny()).folder.rglob("*")
    kept, needed = kept_bytes(tiny()), estimated_bytes(tiny())
    assert sum(file.stat().st_size for file in files) < kept < needed
    usage = shutil.disk_usage("/")
    for free in (needed - 1, needed):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        found = plan(tiny(seed=1))
        assert (found.needs["bytes_kept"], found.needs["bytes_while"]) == (kept, needed)
        assert ("will not start" in as_text(found)) == (free < needed)


def test_slurms_limit_is_reached_and_the_run_goes_on_or_never_finishes(plan, tiny):
    config = tiny({"iterations": 6000, "milestones": (), "eval_every": 5000})
    limits = {(1, 20): " 5 times and goes on", (1, 4): " 5 times; with max_num_timeout=4 it never"}
    for (minutes, again), words in limits.items():
        where = Place("slurm", 1, 1, timeout_min=minutes, max_num_timeout=again)
        assert f"reaches timeout_min=1{words}" in as_text(plan(config, where=where))
    assert "reaches" not in as_text(plan(config, where=Place("slurm", 1, 1, timeout_min=60)))


def test_hours_of_gpus_and_cores(plan, tiny):
    configs = [tiny(seed=seed, threads=2) for seed in range(4)]
    here = plan(*configs, where=Place("local", 2, 1, gpus=1, cores=2))
    there = plan(*configs, where=Place("slurm", 4, 1, gpus=2))
    run_hours = pytest.approx(there.needs["run_seconds"] / 3600)
    assert here.needs["gpu_hours"] == here.needs["wall_seconds"] / 3600
    assert there.needs["gpu_hours"] / 2 == there.needs["core_hours"] / 2 == run_hours
    assert "2 at a time, each on 1 core, sharing 1 GPU (launcher local)" in as_text(here)


def test_hours_and_sizes_have_the_digits_that_matter():
    assert [*map(hours, (2373.1, 2.37, 0.0234))] == ["2,373", "2.4", "0.02"]
    assert [*map(size, (999.4e6, 1e9, 68_203e6))] == ["999 MB", "1.0 GB", "68.2 GB"]
