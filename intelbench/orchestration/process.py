"""A process that executes a module of this package, stays within limits, and ends with all that it has started.

It reads one request from stdin and writes answers to stdout, one JSON line each. Stdin stays open: another byte asks
the process to stop. When it closes, the parent has died, and the process ends too.
"""

import gc
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
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any, NoReturn, Protocol, Self, TypeVar

import msgspec
import psutil

from intelbench.errors import UserError
from intelbench.orchestration import start
from intelbench.records.locks import HAS_FLOCK
from intelbench.records.types import FailureCause

_STDERR_KEPT = 4000
_GRACE_SECONDS = 3.0
"""Time between SIGTERM and SIGKILL."""
_LOOK_SECONDS = 0.1
"""Time between two looks at the memory of a process with a memory limit."""
_DOZE_SECONDS = 2.0
"""Time between two looks at any process: whether it runs, and how much it prints."""
_MAX_STDERR_BYTES = 2**24
"""Size of the file with stderr at which the file is emptied."""
MARK = "INTELBENCH_PROCESS"
"""Environment variable that marks a process and all that it starts, whatever session they have moved to."""
Request = TypeVar("Request")


@dataclass(frozen=True)
class Limits:
    """Limits of a process; `None` is no limit."""

    seconds: float | None = None
    """Wall clock, including start-up."""
    memory_bytes: int | None = None
    """Resident memory of the process."""


def can_start() -> bool:
    """Return whether this system has what a `Process` needs: process groups, and locks that a child inherits."""
    return hasattr(os, "fork") and hasattr(os, "killpg") and HAS_FLOCK


def require_start(command: str) -> None:
    """Raise a `UserError` if this system cannot start a `Process`, which the command needs."""
    if not can_start():
        raise UserError(
            f"intelbench {command}: {platform.system()} lacks the process groups and file locks that a run needs; use "
            "Linux, macOS, or Windows' Subsystem for Linux. report, compare, list and profile work here"
        )


class OverrunError(Exception):
    """A process has exceeded the limit that the message names."""

    def __init__(self, cause: FailureCause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Started(Protocol):
    """A process that leads its own session, with the interface of `subprocess.Popen`."""

    pid: int
    stdin: IO[bytes]
    stdout: IO[bytes]

    def poll(self) -> int | None:
        """Return the exit status (negative: a signal), or `None` while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status when the process has ended, or raise `subprocess.TimeoutExpired`."""

    def clear(self) -> None:
        """Kill every process that the process has started, after its own end."""


class Starter(Protocol):
    """Starts processes that execute a module's `main`."""

    def start(self, module: str, stderr: int, inherit: Collection[int]) -> Started:
        """Execute `main` of a module in a new process, which keeps the descriptors `stderr` and `inherit` open."""


@dataclass(frozen=True)
class FreshPython:
    """Starts a new Python for every process, with the given environment variables."""

    variables: Mapping[str, str]

    def start(self, module: str, stderr: int, inherit: Collection[int]) -> Started:
        """Execute the module's `main` in a new Python."""
        return Program([module], self.variables, stderr, inherit)


def command_of(module: str, *arguments: str) -> list[str]:
    """Return the command that executes the module's `main` with arguments.

    Nothing is imported from the working directory, by the process itself or by its `multiprocessing` children, and
    `intelbench` is this package.
    """
    return [sys.executable, "-P", start.__file__, module, *arguments]


class Program(subprocess.Popen[bytes]):
    """A new Python that executes `command_of` its arguments."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def __init__(
        self, arguments: Collection[str], variables: Mapping[str, str], stderr: int, inherit: Collection[int]
    ) -> None:
        self.mark = secrets.token_hex(8)
        super().__init__(
            command_of(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**variables, MARK: self.mark},
            pass_fds=inherit,
            start_new_session=True,
        )

    def clear(self) -> None:
        """Kill every process that the process has started, after its own end."""
        end_marked(self.mark)


class Process:
    """A process that executes `main` of a module of this package. Use it as a context, which ends the process.

    It leads its own process group. Ctrl-C reaches the parent alone, which then ends the group.
    """

    def __init__(
        self, module: str, request: msgspec.Struct, starter: Starter, limits: Limits, inherit: Collection[int] = ()
    ) -> None:
        self.last_words = ""
        """The last characters of its stderr, after the context has ended."""
        self._limits = limits
        self._started = time.monotonic()
        self._unread = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        self._process = starter.start(module, self._stderr.fileno(), inherit)
        self._selector = DefaultSelector()
        self._selector.register(self._process.stdout, EVENT_READ)
        with suppress(BrokenPipeError):  # it died before it read: its exit status and stderr say why
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End the process and all that it has started: its stdin closes, SIGTERM ends one that starts, then SIGKILL."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
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
        for file in (self._selector, self._process.stdin, self._process.stdout, self._stderr):
            file.close()

    @property
    def reason(self) -> str:
        """Return the last line of what the process wrote, such as an exception; of a `UserError` the message alone."""
        return self.last_words.rpartition("\n")[2].removeprefix(f"{UserError.__module__}.{UserError.__name__}: ")

    def answers(self) -> Iterator[bytes]:
        """Yield the answers of the process, line by line, until it has ended.

        Raises:
            OverrunError: the process has exceeded a limit; it runs until the context ends.
        """
        while (lines := self.read(_DOZE_SECONDS)) is not None:
            yield from lines

    def read(self, seconds: float = 0) -> list[bytes] | None:
        """Return the answers that come within `seconds`, or `None` if the process has ended and all are read.

        Raises:
            OverrunError: the process has exceeded a limit and all its answers are read; it runs until the context ends.
        """
        has_ended = self._process.poll() is not None  # a process that it has started may still hold its stdout
        is_open = bool(self._selector.get_map())  # a network may have closed stdout and still be at work
        events = self._selector.select(0) if is_open else []
        if not events and not has_ended:
            patience = min(seconds, self._patience())
            if is_open:
                events = self._selector.select(patience)
            else:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
        if events:
            chunk = os.read(events[0][0].fd, 65536)
            if not chunk:
                self._selector.unregister(events[0][0].fileobj)
            *lines, self._unread = (self._unread + chunk).split(b"\n")
            return lines
        return None if has_ended else []

    def ask_to_stop(self) -> None:
        """Ask the process to stop by itself, which may be asked more than once."""
        with suppress(OSError, ValueError):  # it has ended
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()

    def stop(self, seconds: float) -> None:
        """Ask the process to stop by itself, and wait for that for at most `seconds`."""
        deadline = time.monotonic() + seconds
        self.ask_to_stop()
        with suppress(OverrunError):
            while self.read(deadline - time.monotonic()) is not None and time.monotonic() < deadline:
                pass

    @property
    def returncode(self) -> int:
        """Return the exit status; negative is a signal."""
        return self._process.wait()

    def _patience(self) -> float:
        """Return the time after which the limits must be checked again.

        Raises:
            OverrunError: the process has exceeded one of them.
        """
        seconds, memory = self._limits.seconds, self._limits.memory_bytes
        left = _DOZE_SECONDS if seconds is None else self._started + seconds - time.monotonic()
        if left <= 0:
            raise OverrunError("timeout", f"not finished after {seconds:g} s")
        if os.fstat(self._stderr.fileno()).st_blocks * 512 > _MAX_STDERR_BYTES:
            self._stderr.truncate(0)  # the process writes on at its old position, after a hole that takes no space
        if memory is None:
            return min(left, _DOZE_SECONDS)
        try:
            used = psutil.Process(self._process.pid).memory_info().rss
        except psutil.Error:
            used = 0  # it has just ended
        if used > memory:
            raise OverrunError(
                "out_of_memory", f"its process took {used / 1e9:.3g} GB, and {memory / 1e9:.3g} GB is the memory limit"
            )
        return min(left, _LOOK_SECONDS)


def take_request(
    kind: type[Request], on_stop: Callable[[], bool] = lambda: False
) -> tuple[Request, Callable[[object], None]]:
    """Read the request of this process; return it and the function that sends an answer.

    From now on this process ends with its parent. It ignores SIGTERM, which a scheduler sends to every process of a
    job: the parent decides what happens.

    Args:
        kind: Type of the request.
        on_stop: Called in another thread when the parent asks this process to stop; returns whether the process will
            end by itself. Otherwise it is killed at once.
    """
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=kind)
    lifeline, nothing, process = os.dup(0), os.open(os.devnull, os.O_RDONLY), os.getpid()
    os.dup2(nothing, 0)  # a network that reads stdin gets nothing
    os.close(nothing)
    mark = psutil.Process().environ()[MARK]
    threading.Thread(target=_obey_parent, args=(lifeline, mark, os.getppid(), on_stop), daemon=True).start()
    signal.signal(signal.SIGTERM, partial(_ignore_unless_forked, process))
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a plug-in prints is no answer

    def answer(value: object) -> None:
        if os.getpid() != process:
            os._exit(0)  # a fork of a network, which would do everything twice
        try:
            channel.write(msgspec.json.encode(value) + b"\n")
        except BrokenPipeError:  # the parent has died, which is not a failure of the run
            _end_group()

    return request, answer


def execute_and_exit(main: Callable[[], None]) -> NoReturn:
    """Execute `main` and exit as Python does, but without waiting for threads that a network has left."""
    status: object = None
    try:
        main()
    except SystemExit as error:
        status = error.code
    except BaseException as error:  # noqa: BLE001 - Python's own answer to it, which follows
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    if status is not None and not isinstance(status, int):
        sys.stderr.write(f"{status}\n")
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more, or a plug-in has closed it
            stream.flush()
    os._exit(status or 0)


def import_frozen(*names: str) -> list[Any]:
    """Import modules and return them. No garbage collection looks at their objects, now or later.

    Collections would take a third of the time in which PyTorch is imported, and each collection in a fork would copy
    the memory that the fork shares.
    """
    gc.disable()
    try:
        return [import_module(name) for name in names]
    finally:
        gc.freeze()
        gc.enable()


def _ignore_unless_forked(process: int, number: int, _: object) -> None:
    if os.getpid() != process:  # a fork that a network has started, which may be ended by SIGTERM
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _obey_parent(lifeline: int, mark: str, starter: int, on_stop: Callable[[], bool]) -> None:
    """End this process and all that it has started when the parent has died, or asks for it.

    The process that has started this one stays: a server, which has the same mark, starts the next run.
    """
    while os.read(lifeline, 1) and on_stop():
        pass
    end_marked(mark, spared=starter)
    _end_group()


def end_marked(mark: str, *, spared: int | None = None) -> None:
    """Kill every process with the mark except this one and `spared`, until no such process is left."""
    deadline, is_complete = time.monotonic() + _GRACE_SECONDS, False
    while not is_complete and time.monotonic() < deadline:
        is_complete = True
        for process in psutil.process_iter():
            try:
                if process.pid not in (os.getpid(), spared) and process.environ().get(MARK) == mark:
                    process.kill()
                    is_complete = False
            except psutil.Error:  # another user's, or it has just ended
                continue


def _end_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)
