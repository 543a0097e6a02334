"""Trains the same runs with two commits and compares them bit for bit.

`python -m tests.golden.compare_commits COMMIT [RUN...]` compares an older commit with the files
of this checkout as they are, on this machine and with this Python: metrics without times, probes
and the weights of checkpoints. Both are driven by their command line alone, so that the code may
change its shape in between. The exit status is 1 where anything differs.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import torch

from resnet_study.training import checkpoint as checkpoints
from tests.comparison import CHECKOUT, curve
from tests.golden.descriptions import COMPARED
from tests.pictures import make_folder


def train(tree: Path, name: str, folder: Path) -> Path:
    """Trains a run with the code of a checkout; returns the run's folder.

    Args:
        tree: The checkout.
        name: One of `COMPARED`.
        folder: Where its data and runs are put.
    """
    make_folder(folder / "pictures", 60, 24, largest=120, classes=4)
    module = ["resnet_study"]
    if name == "processes":
        module = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", *module]
    command = [sys.executable, "-m", *module, *COMPARED[name]]
    output = folder / "output.txt"

    def start() -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        with output.open("wb") as stream:
            streams = {"stdout": stream, "stderr": stream}
            return subprocess.Popen(command, cwd=folder, env=environment, **streams)

    if name == "resumed":
        process = start()
        while process.poll() is None and not any(
            file.read_text().count("\n") > 1 for file in folder.glob("runs/*/*/metrics.csv")
        ):
            time.sleep(0.01)
        process.terminate()
        process.wait()
        if "interrupted:" not in output.read_text("utf-8"):
            sys.exit(f"{name} could not be interrupted with {tree}: {output.read_text('utf-8')}")
    with start() as process:
        pass
    if process.returncode:
        sys.exit(f"{name} failed with {tree}: {output.read_text('utf-8')}")
    # The deeper one, where a run has trained another to start from.
    return max(path.parent for path in folder.glob("runs/*/*/checkpoint.pt"))


def rows(folder: Path) -> list[str]:
    """The rows of a run's metrics, without times, and of its probes."""
    probes = folder / "probes.csv"
    return [*map(str, curve(folder)), *(probes.read_text().splitlines() if probes.exists() else ())]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Weights and momentum of a run's checkpoint."""
    saved = checkpoints.read(folder / "checkpoint.pt")
    momenta = saved.optimizer["state"].items()
    return saved.network | {f"momentum {n}": entry["momentum_buffer"] for n, entry in momenta}


def first_difference(one: Path, two: Path) -> str | None:
    """The first thing in which two run folders differ; None where they are the same."""
    if one.name != two.name:
        return f"the id was {one.name} and is {two.name}"
    for was, now in zip_longest(rows(one), rows(two)):
        if was != now:
            return f"a row was {was} and is {now}"
    before, after = tensors(one), tensors(two)
    for name in {**before, **after}:
        if not (name in before and name in after and torch.equal(before[name], after[name])):
            return f"{name} in checkpoint.pt differs"
    return None


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """A commit's files, in a folder that is removed at the end."""
    git = ["git", "-C", str(CHECKOUT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def compare(older: Path, newer: Path, name: str) -> bool:
    """Trains a run with two checkouts, prints what was found, and returns whether it is the same.

    Args:
        older: A checkout.
        newer: Another.
        name: One of `COMPARED`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        was, now = (
            train(tree, name, Path(temporary, part))
            for part, tree in (("older", older), ("newer", newer))
        )
        difference = first_difference(was, now)
        same = f"the same, {len(rows(now))} rows, {len(tensors(now))} tensors"
    print(f"{name} ({now.name}): {difference or same}", flush=True)
    return difference is None


def main() -> int:
    """Entry point."""
    if len(sys.argv) < 2 or not COMPARED.keys() >= set(sys.argv[2:]):
        print(f"{__doc__}\nRUN is one of {', '.join(COMPARED)}; by default all.", file=sys.stderr)
        return 2
    # Asked to end, it removes its checkout, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory() as folder, checked_out(sys.argv[1], Path(folder, "x")) as x:
        return int(sum(not compare(x, CHECKOUT, name) for name in sys.argv[2:] or COMPARED) > 0)


if __name__ == "__main__":
    sys.exit(main())
