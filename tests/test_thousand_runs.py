"""A thousand runs on 64 workers: training is a stand-in, locks, manifests and files are real."""

from __future__ import annotations

import functools
import random
import signal
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from resnet_study import experiment
from resnet_study.interruption import Interrupted, StopRequest
from resnet_study.outputs import now
from resnet_study.runs import RunFolder
from resnet_study.sweep import Job, execute

RUNS, WORKERS, ITERATIONS = 1000, 64, 10
# Drawn anew by no one: the same runs fail and are preempted in each test run.
_CHOSEN = random.Random(7)
FAILING = set(_CHOSEN.sample(range(RUNS), RUNS // 20))
PREEMPTED = set(_CHOSEN.sample(range(RUNS), RUNS // 10))


class Cluster:
    """Jobs, workers that take them, and a record of what was trained when."""

    def __init__(self) -> None:
        self.attempts: Counter[int] = Counter()
        self.training: set[int] = set()
        self.jobs: deque[Future[None]] = deque()
        self.most = 0
        self.lock = threading.Lock()

    def train(self, config, device, images, folder, manifest, *_):
        """Stands in for training: a line for each iteration, saved with each."""
        seed = config.seed
        with self.lock:
            assert seed not in self.training, "a run is trained by two at once"
            self.training.add(seed)
            self.most = max(self.most, len(self.training))
            self.attempts[seed] += 1
            first = self.attempts[seed] == 1
        try:
            done = 0
            if folder.metrics_file.exists():
                done = len(folder.metrics_file.read_text().splitlines())
                manifest["resumed"].append({"iteration": done, "at": now()})
                folder.write_manifest(manifest)
            for iteration in range(done, ITERATIONS):
                with folder.metrics_file.open("a") as stream:
                    stream.write(f"{iteration}\n")
                time.sleep(0.03)
                if first and iteration == 3 and seed in FAILING:
                    raise MemoryError("a fault of this node")
                if first and iteration == 5 and seed in PREEMPTED:
                    # The job is taken up again before this process has let go.
                    self.jobs.append(self.again.submit(self.work, config))
                    time.sleep(0.1)
                    raise Interrupted(signal.SIGUSR2, iteration + 1, ITERATIONS)
            return "finished"
        finally:
            with self.lock:
                self.training.remove(seed)

    def work(self, config) -> None:
        try:
            experiment.run(config, wait=True, stop=StopRequest(worker=True))
        except Interrupted:
            pass
        except MemoryError as error:
            self.failures[config.run_id] = f"MemoryError: {error}"

    def launch(self, jobs, stop) -> dict[str, str]:
        """What a launcher does: each job on some worker, requeued ones too, until all ended."""
        self.launched = {job.config.seed for job in jobs}
        self.failures: dict[str, str] = {}
        with ThreadPoolExecutor(WORKERS) as workers, ThreadPoolExecutor(WORKERS) as self.again:
            for job in jobs:
                self.jobs.append(workers.submit(self.work, job.config))
            while self.jobs:
                self.jobs.popleft().result()
        return self.failures


@pytest.mark.slow
def test_a_thousand_runs_complete_when_restarted_and_none_is_trained_twice(
    tiny, monkeypatch, capsys
):
    cluster = Cluster()
    monkeypatch.setattr(experiment, "_train", cluster.train)
    monkeypatch.setattr(experiment, "open_data", functools.cache(experiment.open_data))
    configs = [tiny(seed=seed) for seed in range(RUNS)]
    jobs = [Job((f"seed={config.seed}",), config) for config in configs]

    assert execute(jobs, cluster.launch) == 1
    assert len(cluster.launched) == RUNS
    assert cluster.most > WORKERS // 2, "the workers did not work side by side"
    states = Counter(RunFolder.of(c).read_manifest()["state"] for c in configs)
    assert states == {"finished": RUNS - len(FAILING), "failed": len(FAILING)}
    errors = capsys.readouterr().err
    assert f"{len(FAILING)} of {RUNS} runs are not finished; the same command goes on" in errors

    assert execute(jobs, cluster.launch) == 0
    assert cluster.launched == FAILING
    errors = capsys.readouterr().err
    assert f"{RUNS - len(FAILING)} finished, {len(FAILING)} to train" in errors
    assert execute(jobs, lambda *_: pytest.fail("launched again")) == 0

    for config in configs:
        folder = RunFolder.of(config)
        manifest = folder.read_manifest()
        assert manifest["state"] == "finished"
        # Every iteration once: what was saved before a stop was not trained again.
        assert folder.metrics_file.read_text().split() == [str(i) for i in range(ITERATIONS)]
        stops = config.seed in FAILING | PREEMPTED
        assert cluster.attempts[config.seed] == 1 + stops
        assert len(manifest["resumed"]) == stops
        assert not folder.failure_file.exists()
        expected = {".lock", "config.yaml", "manifest.json", "metrics.csv"}
        assert {path.name for path in folder.path.iterdir()} == expected
