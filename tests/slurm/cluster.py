"""A real Slurm of one node on this machine, started by tests and ended with them."""

import os
import secrets
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scontrol", "scancel")
# slurmctld, slurmd and munged lie where only root's PATH leads on some systems.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Cluster:
    """Slurm's daemons, their files in a folder of their own.

    Args:
        folder: Where configuration, state and logs lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": SEARCH}

    def start(self) -> None:
        """Starts the daemons and waits until the node takes jobs."""
        munge = self.folder / "munge"
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o755)
        (munge / "key-file").write_bytes(secrets.token_bytes(128))
        (munge / "key-file").chmod(0o400)
        host, ports = socket.gethostname().partition(".")[0], (_free_port(), _free_port())
        template = Path(__file__).with_name("slurm.conf").read_text()
        filled = template.format(host=host, folder=self.folder, ports=ports)
        (self.folder / "slurm.conf").write_text(filled)
        files = ("key-file", "socket", "pid-file", "log-file", "seed-file")
        self._daemon("munged", "--foreground", "--force", *(f"--{f}={munge / f}" for f in files))
        self._wait((munge / "socket").exists, "munged")
        self._daemon("slurmctld", "-D")
        self._daemon("slurmd", "-D")
        self._wait(lambda: "idle" in self.call("sinfo", "--noheader", "--format=%t"), "the node")

    def _daemon(self, *command: str) -> None:
        with self.log.open("ab") as log:
            daemon = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self.processes.append(daemon)

    def _wait(self, ready, what: str) -> None:
        end = time.monotonic() + 30
        while not ready():
            dead = [p.args for p in self.processes if p.poll() is not None]
            if dead or time.monotonic() > end:
                raise RuntimeError(f"{what} is not ready; ended: {dead}\n{self.log.read_text()}")
            time.sleep(0.05)

    def call(self, *command: str, check: bool = False) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=check, timeout=60
        )
        return done.stdout

    def restarts(self, job: str) -> int:
        """How often a job was requeued."""
        shown = self.call("scontrol", "show", "job", job, check=True)
        return int(shown.partition("Restarts=")[2].split()[0])

    def stop(self) -> None:
        """Ends all jobs and the daemons."""
        if len(self.processes) == 3:
            self.call("scancel", "--user=root")
            with suppress(RuntimeError):
                self._wait(lambda: not self.call("squeue", "--noheader").strip(), "the queue")
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
