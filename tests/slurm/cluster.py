"""A real Slurm of one node on this machine, started by tests and ended with them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scontrol", "scancel")
# slurmctld, slurmd and munged lie where only root's PATH leads on some systems.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
CPUS = 2

# Processes are found through /proc and nothing is confined, so that neither systemd nor
# control groups are needed. Scheduling intervals are short. Arrays are small, so that a sweep of
# six takes two.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
MinJobAge=3600
MaxArraySize=5
KillWait=10
InactiveLimit=0
Waittime=0
JobRequeue=1
MailProg=/bin/true
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> list[str]:
    """Programs of Slurm that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]


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
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": SEARCH,
        }

    def start(self) -> None:
        """Starts the daemons and waits until the node takes jobs."""
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(parents=True, mode=0o755)
        key = self.folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                folder=self.folder,
                controller_port=_free_port(),
                node_port=_free_port(),
                cpus=CPUS,
            )
        )
        munge = self.folder / "munge"
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={key}",
            f"--socket={munge / 'socket'}", f"--pid-file={munge / 'pid'}",
            f"--log-file={munge / 'log'}", f"--seed-file={munge / 'seed'}",
        )  # fmt: skip
        self._wait(lambda: (munge / "socket").exists(), "munged")
        self._daemon("slurmctld", "-D")
        self._daemon("slurmd", "-D")
        self._wait(lambda: "idle" in self.call("sinfo", "--noheader", "--format=%t"), "the node")

    def _daemon(self, *command: str) -> None:
        program = shutil.which(command[0], path=SEARCH)
        assert program is not None
        with (self.folder / f"{command[0]}.out").open("wb") as log:
            self.processes.append(
                subprocess.Popen([program, *command[1:]], env=self.environment,
                                 stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            )  # fmt: skip

    def _wait(self, ready, what: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not ready():
            dead = [p.args for p in self.processes if p.poll() is not None]
            if dead or time.monotonic() > end:
                logs = "\n".join(p.read_text()[-2000:] for p in self.folder.glob("*.[ol][uo]*"))
                raise RuntimeError(f"{what} is not ready; ended: {dead}\n{logs}")
            time.sleep(0.05)

    def call(self, *command: str, check: bool = False) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=check, timeout=60
        )
        return done.stdout

    def stop(self) -> None:
        """Ends all jobs and the daemons."""
        if len(self.processes) == 3:
            self.call("scancel", "--user=root")
            end = time.monotonic() + 20
            while self.call("squeue", "--noheader").strip() and time.monotonic() < end:
                time.sleep(0.2)
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
