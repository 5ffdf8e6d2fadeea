"""A Slurm cluster of two nodes on this machine: the daemons of Debian's packages, as they are on a real one."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.cluster.packages import Programs

PACKAGES = "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "libhwloc15"
NODES = "n1", "n2"
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
PluginDir={plugins}
AuthType=auth/none
CredType=cred/none
# A job that is requeued may start again when its credential has expired, by default after two minutes.
AuthInfo=cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdTimeout=6
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=1 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=1 RealMemory=2000
PartitionName=tests Nodes=n1,n2 Default=YES MaxTime=INFINITE
"""


def free_ports(number: int) -> list[int]:
    """Return ports on which nothing listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    """Return when a condition holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


class SlurmCluster:
    """The daemons, and the commands of users."""

    def __init__(self, folder: Path) -> None:
        if os.getuid():
            pytest.skip("Slurm's daemons start jobs, for which they must be root")
        self.folder = folder
        self._configuration = folder / "slurm.conf"
        self._programs = Programs(folder, PACKAGES, f"SLURM_CONF={self._configuration}")
        self.bin = self._programs.bin
        for name in ("sbatch", "scancel", "scontrol", "sinfo", "squeue"):
            self._programs.script(name, f"usr/bin/{name}")
        for name in ("slurmctld", "slurmd"):
            self._programs.script(name, f"usr/sbin/{name}-wlm")
        (folder / "state").mkdir()
        host, (port, first, second) = socket.gethostname(), free_ports(3)
        plugins = self._programs.root / "usr/lib/x86_64-linux-gnu/slurm-wlm"
        self._configuration.write_text(
            CONFIGURATION.format(folder=folder, host=host, port=port, first=first, second=second, plugins=plugins)
        )
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._start("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self._start_node(node)
        wait(lambda: self.states() == ["idle", "idle"])

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen([self.bin / command[0], *command[1:]], stdout=log, stderr=log)

    def _start_node(self, node: str) -> None:
        (self.folder / node).mkdir()
        steps = self._programs.root / "usr/sbin/slurmstepd-wlm"
        self._start(node, "slurmd", "-D", "-N", node, "-d", str(steps))

    def lose_node(self) -> None:
        """Kill everything on a node at once, as a power cut does; when Slurm has noticed, a new one takes its place."""
        node = NODES[0]
        self._daemons[node].kill()
        self._daemons.pop(node).wait()
        jobs = [process for process in psutil.process_iter() if self._runs_on(process, node)]
        steps = {process.parent() for process in jobs}
        for process in [*(step for step in steps if step and step.name().startswith("slurmstepd")), *jobs]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wait(lambda: self.states()[0].startswith("down"))
        shutil.rmtree(self.folder / node)
        self._start_node(node)

    def call(self, *command: str) -> str:
        """Return what a command of Slurm prints."""
        return subprocess.run(
            [self.bin / command[0], *command[1:]], check=True, capture_output=True, text=True
        ).stdout.strip()

    def states(self) -> list[str]:
        """Return the state of each node."""
        done = subprocess.run([self.bin / "sinfo", "-hNo", "%t"], check=False, capture_output=True, text=True)
        return done.stdout.split()

    def close(self) -> None:
        """Cancel all jobs and end the daemons."""
        self.call("scancel", "--user=root")
        wait(lambda: not self.call("squeue", "-h"))
        for daemon in self._daemons.values():
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons.values():
            daemon.wait(30)

    def _runs_on(self, process: psutil.Process, node: str) -> bool:
        """Return whether a process belongs to a job on a node of this cluster."""
        try:
            variables = process.environ()
        except psutil.Error:
            return False
        return (str(self._configuration), node) == (variables.get("SLURM_CONF"), variables.get("SLURMD_NODENAME"))
