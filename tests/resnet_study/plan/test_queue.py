"""The queue, gone through: wall times against those worked out by hand or second by second."""

import random

import pytest

from resnet_study.plan.queue import Task, wall_time


def second_by_second(tasks, workers):
    """The same, simulated: at each second each free worker takes the next task."""
    waiting, running, ended, now = list(tasks), [], set(), 0
    while waiting or running:
        while waiting and len(running) < workers:
            running.append([waiting.pop(0), None])
        for entry in running:
            task = entry[0]
            if entry[1] is None and (task.after is None or task.after in ended):
                entry[1] = now + task.seconds
        now += 1
        ended |= {task.name for task, end in running if end is not None and end <= now}
        running = [entry for entry in running if entry[1] is None or entry[1] > now]
    return now


@pytest.mark.parametrize(
    "seconds, workers, expected",
    [
        ([5, 4, 3, 3, 3], 1, 18),
        ([5, 4, 3, 3, 3], 2, 10),
        ([5, 4, 3, 3, 3], 5, 5),
        ([7], 3, 7),
        ([], 2, 0),
    ],
)
def test_by_hand(seconds, workers, expected):
    tasks = [Task(str(number), each) for number, each in enumerate(seconds)]
    assert wall_time(tasks, workers) == expected


def test_a_run_waits_for_the_one_it_starts_from_and_holds_its_worker():
    tasks = [Task("shallow", 10), Task("deep", 5, "shallow"), Task("other", 4)]
    assert wall_time(tasks, 3) == 15
    # The second worker waits with "deep" from 0 to 10; the first takes "other" at 10.
    assert wall_time(tasks, 2) == 15
    assert wall_time([tasks[0], tasks[2], tasks[1]], 2) == 15
    assert wall_time([*tasks, Task("more", 9)], 2) == 23


def test_random_queues():
    rng = random.Random(1)
    for _ in range(200):
        tasks = []
        for number in range(rng.randint(1, 12)):
            after = rng.choice(tasks).name if tasks and rng.random() < 0.3 else None
            tasks.append(Task(str(number), rng.randint(1, 9), after))
        workers = rng.randint(1, 5)
        assert wall_time(tasks, workers) == second_by_second(tasks, workers)
