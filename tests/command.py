"""The command line as tests call it: in their own process, with processes of runs that start in a moment.

Importing PyTorch takes longer than a small run. A command that is called here finds it imported, and so do the
processes of its runs, which are copies of servers that all tests of a session share.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

import psutil
import pytest

import intelbench.orchestration.session
import intelbench.results.metrics  # noqa: F401 - all registries are made before they are copied
from intelbench.cli.main import main
from intelbench.orchestration import forkserver, suite
from intelbench.orchestration.forkserver import ForkServer
from intelbench.orchestration.job import Progress
from intelbench.orchestration.listeners import RunListener, listener
from intelbench.orchestration.process import Starter
from intelbench.plugins.registry import Registry
from intelbench.profiling.processors import own_processors
from tests import quick_server

REPOSITORY = Path(__file__).parent.parent
Command = Callable[..., subprocess.CompletedProcess[str]]
"""Call with the arguments of the command, and `env=` for further environment variables."""
_OF_THE_COMMAND = ("COLUMNS", "INTELBENCH_CACHE", "PYTEST_CURRENT_TEST")
"""Environment variables that no process of a run reads."""


def start(arguments: Sequence[str | Path], folder: Path, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start the command in a process of its own, as users do, in a folder and with further environment variables."""
    return subprocess.Popen(
        [sys.executable, "-m", "intelbench", *map(str, arguments)],
        cwd=folder, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(text: str, process: subprocess.Popen[str]) -> str:
    """Read the stderr of a command until it has said a text, and return what it has said."""
    said = ""
    assert process.stderr is not None
    while text not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def wait_until_ended(*processes: int) -> None:
    """Fail unless all processes with these ids end within a minute: a killed one is gone when the system gets to it."""
    deadline = time.monotonic() + 60
    while any(map(_is_running, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_running(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def at_phase(phase: str, act: Callable[[], object], index: int = 0) -> None:
    """Act once, when a run of a later command that the test calls comes to a phase; `index` is that of the run."""

    @listener("acting")
    class Acting(RunListener):
        has_acted = False

        def run_updated(self, updated: int, progress: Progress) -> None:
            if (index, phase) == (updated, progress.phase) and not self.has_acted:
                self.has_acted = True
                act()


def quick(variables: Mapping[str, str]) -> ForkServer:
    """Start a server of processes with these variables, whose reference kernels take a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forkserver, "__name__", quick_server.__name__)
        return ForkServer({**variables, "PYTHONPATH": str(REPOSITORY)})


class Servers:
    """The servers of a session of tests, by environment variables and processors; they find the tests' modules too."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[tuple[frozenset[tuple[str, str]], tuple[int, ...]], ForkServer] = {}

    def server(self, variables: Mapping[str, str]) -> ForkServer:
        """Return the server of processes with these variables on the processors of this one; start it if need be."""
        variables = {name: value for name, value in variables.items() if name not in _OF_THE_COMMAND}
        key = frozenset(variables.items()), tuple(own_processors())
        if key not in self._servers:
            self._servers[key] = self._stack.enter_context(quick(variables))
        return self._servers[key]

    def starter(self, variables: Mapping[str, str]) -> AbstractContextManager[Starter]:
        """Return a server in place of one that ends with the command."""
        return nullcontext(self.server(variables))

    def close(self) -> None:
        """End the servers."""
        self._stack.close()


@contextmanager
def own_registries() -> Iterator[None]:
    """Use copies of the registries, and of the loaded plug-ins, in the block."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for each in Registry.every:
            patch.setattr(each, "entries", dict(each.entries))
        yield
    for name in set(sys.modules) - before:
        if name.startswith("intelbench_plugin_"):
            del sys.modules[name]


def call(
    arguments: Sequence[str | Path], folder: Path, variables: Mapping[str, str], starter: Callable[..., object] | None
) -> int:
    """Call the command in a folder, and return its exit status; what it prints is for the caller to capture.

    It looks at its runs more often than that of users.

    Args:
        arguments: Of the command.
        folder: Its working directory.
        variables: Environment variables in addition to those of this process.
        starter: In place of `forkserver.starter`.
    """
    before, on_sigterm = dict(os.environ), signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch, own_registries():
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["intelbench", *map(str, arguments)])
        os.environ.update(variables)
        patch.setattr(suite, "LOOK_SECONDS", 0.02)
        patch.setattr(suite, "_BUSY_SECONDS", 0.1)
        if starter:
            patch.setattr(forkserver, "starter", starter)
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
        finally:
            signal.signal(signal.SIGTERM, on_sigterm)
            os.environ.clear()
            os.environ.update(before)
    raise AssertionError("the command has not exited")
