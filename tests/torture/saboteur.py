"""A command that is killed, or finds the disk full, at a chosen moment.

Python tells an audit hook of every file that is opened, moved or removed. The hook stands in a `sitecustomize.py` that
every Python process of the command imports first; the package itself knows nothing of it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from tests.command import REPOSITORY, Servers, call, start

_HOOK = """
import os, re, signal, sys

moment, pattern, number, victim, once = os.environ["SABOTAGE"].split("|")
seen = 0

def hook(event, arguments):
    global seen
    if event != moment or not re.search(pattern, " ".join(map(str, arguments))):
        return
    seen += 1
    if seen != int(number):
        return
    try:
        os.rmdir(once)  # in one process alone, and once
    except OSError:
        return
    if victim == "disk":
        raise OSError(28, os.strerror(28), str(arguments[0]))
    if victim == "both" and "intelbench.orchestration.forkserver" in sys.orig_argv:  # a run is a copy of that process
        with open(f"/proc/{os.getppid()}/stat") as stat:
            os.kill(int(stat.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
"""
_MARK = "INTELBENCH_TORTURE"
"""Environment variable by which every process of a command is known."""

Victim = Literal["itself", "both", "disk"]
"""The process that comes to the moment; it and its parent; or none, but the disk is full."""


@dataclass(frozen=True)
class Moment:
    """The n-th time that one process of the command comes to do something to a file."""

    event: str
    """`open`, `os.rename`, `os.mkdir`, `os.remove`."""
    pattern: str
    """Regular expression for what it is done to."""
    number: int = 1
    victim: Victim = "itself"

    def __str__(self) -> str:
        return f"{self.event} {self.pattern} {self.number} {self.victim}"


@dataclass(frozen=True)
class Laboratory:
    """A folder in which commands are run and maltreated."""

    folder: Path
    servers: Servers
    captured: Callable[[], tuple[str, str]]
    """Gives what was printed to stdout and stderr since its last call."""

    def run(self, arguments: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a command that nobody disturbs, in this process."""
        self.captured()
        status = call(arguments, self.folder, self._variables, self.servers.starter)
        return subprocess.CompletedProcess(arguments, status, *self.captured())

    def sabotage(self, arguments: Sequence[str | Path], moment: Moment) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, natural or not.

        Raises:
            AssertionError: it never came to the moment.
        """
        with self.start(arguments, moment) as process:
            output, errors = process.communicate(timeout=300)
        assert not self._once.exists(), f"the command never came to {moment}: {errors}"
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def start(self, arguments: Sequence[str | Path], moment: Moment | None = None) -> subprocess.Popen[str]:
        """Begin a command in a process of its own."""
        hooks = self.folder / "hooks"
        variables = {**self._variables, _MARK: str(self.folder), "PYTHONPATH": str(REPOSITORY)}
        if moment:
            hooks.mkdir(exist_ok=True)
            (hooks / "sitecustomize.py").write_text(_HOOK)
            self._once.mkdir()
            sabotage = (moment.event, moment.pattern, moment.number, moment.victim, self._once)
            variables["PYTHONPATH"] = f"{hooks}{os.pathsep}{REPOSITORY}"
            variables["SABOTAGE"] = "|".join(map(str, sabotage))
        return start(arguments, self.folder, variables)

    def processes(self) -> list[psutil.Process]:
        """All that commands have left running, a moment after their ends."""
        deadline = time.monotonic() + 10
        while (left := [each for each in psutil.process_iter() if self._is_ours(each)]) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    @property
    def _variables(self) -> dict[str, str]:
        return {"COLUMNS": "120", "OMP_NUM_THREADS": "1", "INTELBENCH_CACHE": str(self.folder / "cache")}

    @property
    def _once(self) -> Path:
        return self.folder / "once"

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == str(self.folder)
        except psutil.Error:
            return False


def kill(process: subprocess.Popen[str], whom: Literal["parent", "child", "both"]) -> None:
    """Kill a command, or what it has started, or both."""
    parent = psutil.Process(process.pid)
    children = parent.children(recursive=True)
    for each in [*(children if whom != "parent" else []), *([parent] if whom != "child" else [])]:
        try:
            each.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
