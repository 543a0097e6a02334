"""A stop is heard between iterations and within evaluations, and no run ends differently for it."""

import itertools
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

from resnet_study.config import PlateauConfig, ProbesConfig
from resnet_study.experiment import run
from resnet_study.system.interruption import Interrupted, StopRequest
from tests.comparison import assert_same_end

pytestmark = pytest.mark.slow


class StopWhenAsked(StopRequest):
    """Comes as a run asks for it for the so-many-th time."""

    def __init__(self, time: int) -> None:
        super().__init__(worker=True)
        self.left = time

    @property
    def requested(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self.signal_number = signal.SIGTERM
        return self.signal_number is not None


def stops_of(config, tmp_path) -> Counter[int]:
    """Stops a run at each of its chances, a copy for each, and lets it go on.

    Returns:
        How many of these stops were at each iteration.
    """
    whole = run(replace(config, runs_dir=str(tmp_path / "whole")))
    stops: Counter[int] = Counter()
    for time in itertools.count(1):
        copy = replace(config, runs_dir=str(tmp_path / f"stopped-{time}"))
        try:
            run(copy, stop=StopWhenAsked(time))
        except Interrupted as interruption:
            stops[interruption.iteration] += 1
        else:
            return stops
        # Stopped anew at its first chance; it may have none left.
        with suppress(Interrupted):
            run(copy, stop=StopWhenAsked(1))
        record = run(copy)
        assert record.state == "finished"
        assert_same_end(record.folder, whole.folder)
        assert record.manifest.get("evaluation") == whole.manifest.get("evaluation")
        if config.probes.active:
            found = (record.folder / "probes.csv").read_text()
            assert found == (whole.folder / "probes.csv").read_text()
    raise AssertionError


def test_in_training_and_in_its_evaluations(tiny, tmp_path):
    plateau = PlateauConfig(patience=1, improvement=50.0)
    schedule = {"iterations": 4, "milestones": (), "eval_every": 2, "plateau": plateau}
    probes = ProbesConfig(gradients=True, at=(0, 2, 4), images=16)
    often = replace(tiny().checkpoint, every=2)
    chances = stops_of(tiny(schedule, probes=probes, checkpoint=often), tmp_path)
    # After each iteration, and in evaluations before each chunk of images, training and test.
    assert chances[1] == chances[3] == 1
    assert chances[2] == chances[4] > 2


def test_in_the_several_views_of_the_trained_network(streamed, tmp_path):
    stops = stops_of(streamed(schedule={"iterations": 1, "eval_every": 1}), tmp_path)
    assert stops.keys() == {1}
    assert stops[1] > 5
