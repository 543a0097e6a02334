"""A sweep in a process of its own, as it is started from a shell."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import NamedTemporaryFile

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
        folder.mkdir(exist_ok=True)
        # A file can be read while the sweep is running.
        with NamedTemporaryFile(dir=folder, delete=False) as errors:
            self._errors = Path(errors.name)
            self.process = subprocess.Popen(
                line, cwd=CHECKOUT, env=environment, stderr=errors,
                start_new_session=True, preexec_fn=hear_ctrl_c,
            )  # fmt: skip

    @property
    def errors(self) -> str:
        """What it has written to stderr so far."""
        return self._errors.read_text()

    def end(self, status: int) -> str:
        """Waits for its end, with an exit status; what it wrote to stderr."""
        returned = self.process.wait(timeout=240)
        assert "Traceback" not in self.errors, self.errors
        assert returned == status, self.errors
        return self.errors

    def kill(self) -> None:
        """Ends it at once, if it has not ended."""
        self.process.kill()
        self.process.wait()

    def until(self, ready):
        """Waits for what `ready` returns once that is true."""
        deadline = time.monotonic() + 120
        while not (found := ready()):
            assert time.monotonic() < deadline, self.errors
            assert self.process.poll() is None, self.errors
            time.sleep(0.02)
        return found

    def until_saved(self, count: int) -> list[str]:
        """Waits until so many runs have a checkpoint; their ids."""
        # Looked for once: while checkpoints are rotated, a run has none of this name.
        return self.until(lambda: found if len(found := self._saved()) >= count else [])

    def _saved(self) -> list[str]:
        return sorted(path.parent.name for path in self.runs.glob("*/checkpoint.pt"))

    def manifests(self) -> dict[str, dict]:
        """Manifests by run id, of all runs that have one yet."""
        found = {path.name: RunFolder(path).read_manifest() for path in self.runs.glob("*-s*")}
        return {run: manifest for run, manifest in found.items() if manifest is not None}
