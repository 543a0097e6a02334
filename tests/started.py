"""A sweep in a process of its own, as it is started from a shell."""

import subprocess
import sys
import time
from pathlib import Path

from resnet_study.store.folder import RunFolder
from tests.comparison import CHECKOUT, hear_ctrl_c
from tests.conftest import TINY


class Sweep:
    """Starts a sweep of tiny runs.

    Args:
        folder: Where its experiment's folder, named "sweep", lies.
        cache: The data cache.
        arguments: Overrides.
        environment: Variables; None for this process's own.
    """

    def __init__(self, folder: Path, cache: Path, *arguments: str, environment=None) -> None:
        self.runs = folder / "sweep"
        places = (f"runs_dir={folder}", "experiment_name=sweep", f"data.cache={cache}")
        line = [sys.executable, "-m", "resnet_study", "-m", *TINY, *places, *arguments]
        self.process = subprocess.Popen(
            line, cwd=CHECKOUT, env=environment, stderr=subprocess.PIPE, text=True,
            start_new_session=True, preexec_fn=hear_ctrl_c,
        )  # fmt: skip

    def end(self, status: int) -> str:
        """Waits for its end, with an exit status; what it printed."""
        _, errors = self.process.communicate(timeout=240)
        assert "Traceback" not in errors, errors
        assert self.process.returncode == status, errors
        return errors

    def until(self, ready) -> None:
        deadline = time.monotonic() + 120
        while not ready():
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def until_saved(self, count: int) -> list[str]:
        """Waits until so many runs have a checkpoint; their ids."""
        self.until(lambda: len(list(self.runs.glob("*/checkpoint.pt"))) >= count)
        return sorted(path.parent.name for path in self.runs.glob("*/checkpoint.pt"))

    def manifests(self) -> dict[str, dict]:
        """Manifests by run id, of all runs that have one yet."""
        found = {path.name: RunFolder(path).read_manifest() for path in self.runs.glob("*-s*")}
        return {run: manifest for run, manifest in found.items() if manifest is not None}
