"""A process that has imported PyTorch once, and starts the processes of runs as copies of itself.

Importing PyTorch and torchvision takes some seconds, a copy of a process a hundredth of one. The server computes
nothing, draws no random number and touches no GPU, so that a copy of it is in the state of a process that has just
imported them. It makes one copy at a time, and a copy makes no other.
"""

import gc
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from select import select
from types import TracebackType
from typing import IO, Self

import msgspec
from msgspec import Struct

from intelbench.orchestration.process import FreshPython, Program, Started, Starter, carry_out, end_marked

_MODULES = (
    "torchvision",
    "torch.utils.flop_counter",
    "torch._subclasses.fake_tensor",
    "intelbench.orchestration.child",
    "intelbench.orchestration.preflight",
    "intelbench.orchestration.probe",
    "intelbench.orchestration.verify",
)
"""What its copies have imported."""
_MESSAGE_BYTES = 4096
_MOST_DESCRIPTORS = 16


class _Order(Struct, frozen=True):
    """What the server is asked for, with descriptors for stdin, stdout and stderr and those to hold open."""

    module: str


class ForkServer:
    """The server, begun when this is made and ended with its context; it imports while its parent does other things."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables` are the environment variables of the processes."""
        self._fresh = FreshPython(variables)
        self._channel, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = (__name__, str(end.fileno()))
        with end, open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a path has no descriptor
            self._program = Program(arguments, variables, nowhere.fileno(), [end.fileno()])

    def __enter__(self) -> Self:
        """It is on its way."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it, and every copy."""
        self._program.kill()
        end_marked(self._program.mark)
        self._channel.close()
        with self._program:
            pass  # closes its pipes and waits for it

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._program.pid

    def start(self, module: str, stderr: int, inherit: Collection[int]) -> Started:
        """Carry out the module's `main` in a copy of the server; where that has ended, in a Python of its own."""
        (stdin, to_stdin), (from_stdout, stdout) = os.pipe(), os.pipe()
        try:
            socket.send_fds(self._channel, [msgspec.json.encode(_Order(module))], [stdin, stdout, stderr, *inherit])
            pid = int(self._channel.recv(_MESSAGE_BYTES))
        except (OSError, ValueError):  # at the end of a stream there is no number
            os.close(to_stdin)
            os.close(from_stdout)
            return self._fresh.start(module, stderr, inherit)
        finally:
            os.close(stdin)
            os.close(stdout)
        return _Copy(pid, os.fdopen(to_stdin, "wb"), os.fdopen(from_stdout, "rb"), self._channel, self._program)


class _Copy:
    """A copy of the server, at work."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes], channel: socket.socket, server: Program) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout
        self._channel = channel
        self._server = server
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its exit status (negative: a signal), or `None` while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status as soon as it has one, or raise `subprocess.TimeoutExpired`."""
        status = self._look(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return status

    def clear(self) -> None:
        """End every process that it has started. Until then no other process has its process id or group."""
        end_marked(self._server.mark, spared=self._server.pid)
        with suppress(OSError):  # the server has ended, and starts no further process
            self._channel.send(b"cleared")

    def _look(self, timeout: float | None) -> int | None:
        if self._status is None and select([self._channel], [], [], timeout)[0]:
            message = self._channel.recv(_MESSAGE_BYTES)
            self._status = int(message) if message else self._of_an_orphan()
        return self._status

    def _of_an_orphan(self) -> int:
        """End it, because nobody will tell how it ends: the server is no more."""
        end_marked(self._server.mark)
        return self._server.wait()


def starter(variables: Mapping[str, str]) -> AbstractContextManager[Starter]:
    """Return what starts processes with these environment variables here, as a context.

    Outside Linux every process is a Python of its own: a copy of a process with frameworks of macOS may not go on.
    """
    return ForkServer(variables) if sys.platform == "linux" else nullcontext(FreshPython(variables))


def main() -> None:
    """Serve until the parent has ended."""
    import torch  # the parent's side does without

    from intelbench.profiling.environment import process_seconds

    channel = socket.socket(fileno=int(sys.argv[2]))
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # a library's threads, which do not survive a copy
    for module in _MODULES:
        import_module(module)
    process_seconds(torch.device("cpu"))  # its copies count the imports as their own
    gc.collect()
    gc.freeze()  # a collection in a copy would write to all that they share
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, _MOST_DESCRIPTORS)
        if not message:
            return
        order = msgspec.json.decode(message, type=_Order)
        pid = os.fork()
        if pid == 0:
            _lead(descriptors)
            channel.send(str(os.getpid()).encode())
            channel.close()
            sys.argv[1:] = [order.module]
            carry_out(import_module(order.module).main)
        for descriptor in descriptors:
            os.close(descriptor)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        channel.send(str(status).encode())
        channel.recv(_MESSAGE_BYTES)
        os.waitpid(pid, 0)


def _lead(descriptors: list[int]) -> None:
    """Lead a session of one's own, with the first three descriptors as stdin, stdout and stderr."""
    os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
        os.close(descriptor)
