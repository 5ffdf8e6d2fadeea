"""A server that imports PyTorch once and starts the processes of runs as forks of itself.

Importing PyTorch and torchvision takes some seconds, a fork 10 ms. The server computes nothing, draws no random number
and touches no GPU, so a fork is in the state of a process that has just imported them. It has one fork at a time.
"""

import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from select import select
from typing import IO, Self

from intelbench.orchestration.process import (
    FreshPython,
    Program,
    Started,
    Starter,
    end_marked,
    execute_and_exit,
    import_frozen,
)

_MODULES = (
    "torchvision",
    "torch.utils.flop_counter",
    "torch._subclasses.fake_tensor",
    "intelbench.orchestration.child",
    "intelbench.orchestration.preflight",
    "intelbench.orchestration.probe",
    "intelbench.orchestration.verify",
)
_MESSAGE_BYTES = 4096
_MAX_DESCRIPTORS = 16


class ForkServer:
    """The server: it starts when this is created, imports while its parent works, and ends with the context."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Start the server; `variables` are the environment variables of all processes."""
        self._fresh = FreshPython(variables)
        self._has_fork = False
        self._channel, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = (__name__, str(end.fileno()))
        with end, open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a path has no descriptor
            self._program = Program(arguments, variables, nowhere.fileno(), [end.fileno()])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Kill the server and every fork."""
        self._program.kill()
        end_marked(self._program.mark)
        self._channel.close()
        with self._program:
            pass  # closes its pipes and waits for it

    def start(self, module: str, stderr: int, inherit: Collection[int]) -> Started:
        """Execute the module's `main` in a fork; in a new Python if the server has died or has a fork already."""
        if self._has_fork:
            return self._fresh.start(module, stderr, inherit)
        (stdin, to_stdin), (from_stdout, stdout) = os.pipe(), os.pipe()
        try:
            socket.send_fds(self._channel, [module.encode()], [stdin, stdout, stderr, *inherit])
            pid = int(self._channel.recv(_MESSAGE_BYTES))
        except (OSError, ValueError):  # the server has died
            os.close(to_stdin)
            os.close(from_stdout)
            return self._fresh.start(module, stderr, inherit)
        finally:
            os.close(stdin)
            os.close(stdout)
        self._has_fork = True
        return _Fork(pid, os.fdopen(to_stdin, "wb"), os.fdopen(from_stdout, "rb"), self)

    def look(self, timeout: float | None) -> int | None:
        """Return the exit status of the fork if it ends within `timeout`."""
        if not select([self._channel], [], [], timeout)[0]:
            return None
        if message := self._channel.recv(_MESSAGE_BYTES):
            return int(message)
        end_marked(self._program.mark)  # the server has died, and nobody else can tell how the fork ends
        return self._program.wait()

    def clear(self) -> None:
        """Kill what the fork has started. Until then no other process has its process id or group."""
        end_marked(self._program.mark, spared=self._program.pid)
        with suppress(OSError):  # the server has died, and forks no more
            self._channel.send(b"cleared")
        self._has_fork = False


class _Fork:
    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes], server: ForkServer) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.clear = server.clear
        self._server = server
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            self._status = self._server.look(0)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None:
            self._status = self._server.look(timeout)
        status = self._status
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return status


def starter(variables: Mapping[str, str]) -> AbstractContextManager[Starter]:
    """Return a context of a starter of processes with these environment variables.

    Only Linux has a server: a fork of a process that has loaded frameworks of macOS may crash.
    """
    return ForkServer(variables) if sys.platform == "linux" else nullcontext(FreshPython(variables))


def main() -> None:
    """Serve until the parent has ended."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which a scheduler sends to every process: the parent decides
    channel = socket.socket(fileno=int(sys.argv[1]))
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # a library has threads, which a fork does not have
    import_frozen(*_MODULES)
    import torch  # the parent's side does not need it

    from intelbench.profiling.environment import process_seconds

    process_seconds(torch.device("cpu"))  # forks count the imports as their own
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, _MAX_DESCRIPTORS)
        if not message:
            return
        module = message.decode()
        pid = os.fork()
        if pid == 0:
            _lead(descriptors)
            channel.send(str(os.getpid()).encode())
            channel.close()
            sys.argv[:] = [module]
            execute_and_exit(import_module(module).main)
        for descriptor in descriptors:
            os.close(descriptor)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        channel.send(str(status).encode())
        channel.recv(_MESSAGE_BYTES)
        os.waitpid(pid, 0)


def _lead(descriptors: list[int]) -> None:
    """Lead a new session, with the first three descriptors as stdin, stdout and stderr."""
    os.setsid()
    for standard, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, standard)
        os.close(descriptor)
