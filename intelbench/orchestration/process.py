"""A process of our own: given one request, listened to, held to its limits, and ended with all that it has started.

The request goes in on stdin and answers come out on stdout, one JSON line each. Stdin stays open: its end tells the
process that its parent has died, and then it ends too.
"""

import os
import platform
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, NoReturn, Protocol, Self, TypeVar

import msgspec
import psutil

from intelbench.errors import UserError
from intelbench.orchestration import start
from intelbench.records.locks import HAS_FLOCK
from intelbench.records.types import FailureCause

_STDERR_KEPT = 4000
_GRACE_SECONDS = 3.0
"""Between asking a process group to end and ending it."""
_LOOK_SECONDS = 0.1
"""Between two looks at the memory of a process that has a limit."""
_DOZE_SECONDS = 2.0
"""Between two looks at any process: whether it still is, and how much it prints."""
_MOST_PRINTED = 2**24
"""Bytes on stderr at which what lies on the disk is dropped."""
MARK = "INTELBENCH_PROCESS"
"""Environment variable by which all that a process starts is found again, whatever session it has moved to."""
Request = TypeVar("Request")


@dataclass(frozen=True)
class Limits:
    """What a process may take; `None` is no limit."""

    seconds: float | None = None
    """Wall clock, start-up included."""
    memory_bytes: int | None = None
    """Resident memory of the process."""


def can_start() -> bool:
    """Whether this system has what a `Process` needs: groups of processes, and locks that a child inherits."""
    return hasattr(os, "fork") and hasattr(os, "killpg") and HAS_FLOCK


def require_start(command: str) -> None:
    """Raise a `UserError` where this system cannot start a `Process`, which the command needs."""
    if not can_start():
        raise UserError(
            f"intelbench {command}: {platform.system()} lacks the process groups and file locks that a run needs; use "
            "Linux, macOS, or Windows' Subsystem for Linux. report, compare, list and profile work here"
        )


class OverrunError(Exception):
    """A process has reached one of its limits; the message says which."""

    def __init__(self, cause: FailureCause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Started(Protocol):
    """A process that leads a session of its own, as `subprocess.Popen` shows one."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def poll(self) -> int | None:
        """Return its exit status (negative: a signal), or `None` while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status as soon as it has one.

        Raises:
            subprocess.TimeoutExpired: it still runs after so many seconds.
        """
        ...

    def clear(self) -> None:
        """End every process that it has started, once it has ended itself."""
        ...


class Starter(Protocol):
    """Starts processes that carry out a module's `main`."""

    def start(self, module: str, stderr: int, inherit: Collection[int]) -> Started:
        """Carry out the module's `main` in a new process.

        Args:
            module: Its full name.
            stderr: Descriptor of the file that takes its stderr.
            inherit: Further descriptors that it holds open for as long as it lives.
        """
        ...


class FreshPython:
    """Starts every process as a Python of its own, with these environment variables."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables

    def start(self, module: str, stderr: int, inherit: Collection[int]) -> Started:
        """Carry out the module's `main` in a Python of its own."""
        return Program([module], self.variables, stderr, inherit)


class Program(subprocess.Popen[bytes]):
    """`start.py` with these arguments.

    Nothing is imported from the working directory, in it or in what it starts with `multiprocessing`, and `intelbench`
    is this very package.
    """

    def __init__(
        self, arguments: Collection[str], variables: Mapping[str, str], stderr: int, inherit: Collection[int]
    ) -> None:
        self.mark = secrets.token_hex(8)
        super().__init__(
            [sys.executable, "-P", str(Path(start.__file__)), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**variables, MARK: self.mark},
            pass_fds=inherit,
            start_new_session=True,
        )

    def clear(self) -> None:
        """End every process that it has started, once it has ended itself."""
        end_marked(self.mark)


class Process:
    """A module of this package whose `main` runs in a process of its own; to be used as a context, which ends it.

    It leads a group of its own: Ctrl-C reaches its parent alone, which then ends the whole group.
    """

    def __init__(
        self,
        module: str,
        request: msgspec.Struct,
        starter: Starter,
        limits: Limits,
        inherit: Collection[int] = (),
    ) -> None:
        self.last_words = ""
        """The end of what it has written to stderr, once the context has ended."""
        self._limits = limits
        self._started = time.monotonic()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        self._process = starter.start(module, self._stderr.fileno(), inherit)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died before it read: its exit status and stderr say why

    def __enter__(self) -> Self:
        """The process is running."""
        return self

    def __exit__(self, *error: object) -> None:
        """End it, and all that it started: asked first, then forced."""
        for ending in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, ending)
                self._process.wait(_GRACE_SECONDS)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()
        self._process.clear()
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - _STDERR_KEPT))
        self.last_words = self._stderr.read().decode(errors="replace").strip("\0 \n")
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            assert pipe is not None
            pipe.close()

    def answers(self) -> Iterator[bytes]:
        """Its answers, line by line, until it has ended.

        Raises:
            OverrunError: it has reached a limit; it goes on until the context ends.
        """
        assert self._process.stdout is not None
        unread = b""
        with DefaultSelector() as selector:
            selector.register(self._process.stdout, EVENT_READ)
            while True:
                has_ended = self._process.poll() is not None  # what it has started may still hold its stdout
                if not selector.select(0 if has_ended else self._patience()):
                    if has_ended:
                        break
                    continue
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    break
                *lines, unread = (unread + chunk).split(b"\n")
                yield from lines
        while True:  # a network may have closed stdout and still be at work
            try:
                self._process.wait(self._patience())
            except subprocess.TimeoutExpired:
                continue
            return

    @property
    def returncode(self) -> int:
        """Its exit status; negative is a signal."""
        return self._process.wait()

    def _patience(self) -> float:
        """How long to wait before the limits are to be looked at again.

        Raises:
            OverrunError: one of them has been reached.
        """
        seconds, most = self._limits.seconds, self._limits.memory_bytes
        left = None if seconds is None else self._started + seconds - time.monotonic()
        if left is not None and left <= 0:
            raise OverrunError("timeout", f"not finished after {seconds:g} s")
        if os.fstat(self._stderr.fileno()).st_blocks * 512 > _MOST_PRINTED:
            self._stderr.truncate(0)  # it goes on where it was, behind a hole that takes no room
        if most is None:
            return _DOZE_SECONDS if left is None else min(left, _DOZE_SECONDS)
        try:
            taken = psutil.Process(self._process.pid).memory_info().rss
        except psutil.Error:
            taken = 0  # it has just ended
        if taken > most:
            raise OverrunError(
                "out_of_memory", f"its process took {taken / 1e9:.3g} GB, and {most / 1e9:.3g} GB is the memory limit"
            )
        return _LOOK_SECONDS if left is None else min(left, _LOOK_SECONDS)


def take_request(kind: type[Request]) -> tuple[Request, Callable[[object], None]]:
    """In the process itself: its request, and what it answers with. From now on it ends with its parent."""
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=kind)
    lifeline, nothing, process = os.dup(0), os.open(os.devnull, os.O_RDONLY), os.getpid()
    os.dup2(nothing, 0)  # a network that reads stdin finds its end
    os.close(nothing)
    mark = psutil.Process().environ()[MARK]
    threading.Thread(target=_end_with_parent, args=(lifeline, mark), daemon=True).start()
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a plug-in prints is not mistaken for an answer

    def answer(value: object) -> None:
        if os.getpid() != process:
            os._exit(0)  # a copy that a network has forked, which would do everything twice
        try:
            channel.write(msgspec.json.encode(value) + b"\n")
        except BrokenPipeError:  # nobody listens any more, and that is no failure to be recorded
            _end_group()

    return request, answer


def carry_out(main: Callable[[], None]) -> NoReturn:
    """Be the program of a process, to the end: threads that a network has left are not waited for."""
    try:
        main()
    finally:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, SystemExit):
            sys.excepthook(type(error), error, error.__traceback__)
        sys.stderr.flush()
        status = error.code if isinstance(error, SystemExit) else error is not None
        os._exit(status if isinstance(status, int) else 1)


def _end_with_parent(lifeline: int, mark: str) -> None:
    while os.read(lifeline, 1):
        pass
    end_marked(mark)
    _end_group()


def end_marked(mark: str, *, spared: int | None = None) -> None:
    """Kill every process with the mark but this one and the spared one, until there is none left."""
    found, given_up = True, time.monotonic() + _GRACE_SECONDS
    while found and time.monotonic() < given_up:
        found = False
        for process in psutil.process_iter():
            try:
                if process.pid not in (os.getpid(), spared) and process.environ().get(MARK) == mark:
                    process.kill()
                    found = True
            except psutil.Error:  # another user's, or it has just ended
                continue


def _end_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)
