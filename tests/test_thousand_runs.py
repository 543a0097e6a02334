"""A thousand runs on 64 workers: training is a stand-in, locks, manifests and files are real."""

import functools
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from resnet_study import experiment
from resnet_study.store.folder import RunFolder
from resnet_study.sweep import execute
from resnet_study.system.interruption import Interrupted, StopRequest
from resnet_study.training import session

RUNS, WORKERS, ITERATIONS = 1000, 64, 10
# The same runs fail and are preempted whenever this is tested.
_CHOSEN = random.Random(7)
FAILING = set(_CHOSEN.sample(range(RUNS), RUNS // 20))
PREEMPTED = set(_CHOSEN.sample(range(RUNS), RUNS // 10))


class Cluster:
    """Workers that take jobs, those that were requeued too."""

    def __init__(self) -> None:
        self.trained: list[int] = []

    def train(self, session, journal, *_):
        """Stands in for training: writes a line for each iteration."""
        config, folder = session.config, journal.folder
        self.trained.append(config.seed)
        first = self.trained.count(config.seed) == 1
        with folder.metrics_file.open("a+") as stream:
            stream.seek(0)
            for iteration in range(len(stream.readlines()), ITERATIONS):
                stream.write(f"{iteration}\n")
                time.sleep(0.03)
                if first and iteration == 3 and config.seed in FAILING:
                    raise OSError("a fault of this node")
                if first and iteration == 5 and config.seed in PREEMPTED:
                    # The job is taken up again before this process has let go.
                    self.again.submit(self.work, config)
                    time.sleep(0.1)
                    raise Interrupted(signal.SIGUSR2, iteration + 1, ITERATIONS)
        journal.manifest["state"] = "finished"

    def work(self, config) -> None:
        with suppress(Interrupted, OSError):
            experiment.run(config, stop=StopRequest(worker=True))

    def launch(self, jobs, stop) -> dict[str, str]:
        """What a launcher does: each job on some worker, requeued ones too, until all ended."""
        self.launched = {job.seed for job in jobs}
        with ThreadPoolExecutor(WORKERS) as workers, ThreadPoolExecutor(WORKERS) as self.again:
            list(workers.map(self.work, jobs))
        return {}


@pytest.mark.slow
def test_a_thousand_runs_complete_when_restarted_and_none_is_trained_twice(
    tiny, monkeypatch, capsys
):
    cluster = Cluster()
    monkeypatch.setattr(experiment, "_train", cluster.train)
    monkeypatch.setattr(session, "open_dataset", functools.cache(session.open_dataset))
    jobs = [tiny(seed=seed) for seed in range(RUNS)]
    folders = [RunFolder.of(job) for job in jobs]

    assert execute(jobs, cluster.launch) == 1
    assert len(cluster.launched) == RUNS
    states = Counter(folder.read_manifest()["state"] for folder in folders)
    assert states == {"finished": RUNS - len(FAILING), "failed": len(FAILING)}
    errors = capsys.readouterr().err
    assert (
        f"{len(FAILING)} of {RUNS} runs are not finished; type the same command again to retry"
        in errors
    )

    assert execute(jobs, cluster.launch) == 0
    assert cluster.launched == FAILING
    errors = capsys.readouterr().err
    assert f"{RUNS - len(FAILING)} finished, {len(FAILING)} to train" in errors
    assert execute(jobs, lambda *_: pytest.fail("launched again")) == 0

    assert Counter(cluster.trained) == Counter([*range(RUNS), *(FAILING | PREEMPTED)])
    for folder in folders:
        assert folder.read_manifest()["state"] == "finished"
        # Every iteration once: nobody else trained it, and what was saved was not trained again.
        assert folder.metrics_file.read_text().split() == [str(i) for i in range(ITERATIONS)]
        expected = {".lock", "config.yaml", "manifest.json", "metrics.csv"}
        assert {path.name for path in folder.path.iterdir()} == expected
