"""Start the processes of `make gpu`, and stop them at the deadline.

This process never uses the GPU. Every measurement has its own process, so that a crash, a hang or full memory does not
affect other measurements, and each starts with the GPU's memory free.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import msgspec
from msgspec import Struct

from bench.gpu.results import Row
from bench.gpu.sizes import Sizes
from intelbench.errors import UserError
from intelbench.orchestration.process import Limits, OverrunError, Process, Starter
from intelbench.records.types import Environment

ROOT = Path(__file__).parents[2]
FAKE_DEVICE = "fake"
_MODULE = "bench.gpu.measuring"
_GRACE_SECONDS = {signal.SIGINT: 6.0, signal.SIGTERM: 2.0, signal.SIGKILL: 1.0}
"""How long a command may take to stop after a signal."""
_LOG = "log.txt"
Answer = TypeVar("Answer", bound=Struct)
Argument = str | float | int | None


class Task(Struct, frozen=True, kw_only=True):
    """The task of a measurement's process."""

    function: str
    """Name of the function in `bench.gpu.measuring`."""
    device: str
    sizes: Sizes
    arguments: dict[str, Argument]


class CutOffError(Exception):
    """The deadline is over, or an earlier stage must be done first; the message says which."""


class MeasurementError(Exception):
    """The process of a measurement has failed; the message is the last line that it wrote."""


def variables_of(variables: dict[str, str]) -> dict[str, str]:
    """Return environment variables with which a process imports this checkout."""
    others = [part for part in variables.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {**variables, "PYTHONPATH": os.pathsep.join([str(ROOT), *others])}


@dataclass(frozen=True, kw_only=True)
class Session:
    """The device, the folders and the deadline of one call of `make gpu`."""

    device: str
    """Name of the device in `--device`."""
    sizes: Sizes
    folder: Path
    """Folder of the results."""
    work: Path
    """A temporary folder, for example for the records of the study."""
    data: str | None
    """Data set for the study; `None` for the suite's own."""
    starter: Starter
    deadline: float
    """Value of `time.monotonic` at the deadline, minus the closing seconds."""

    @property
    def is_fake(self) -> bool:
        """Return whether the device is the fake GPU of the tests."""
        return self.device == FAKE_DEVICE

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline, negative after it."""
        return self.deadline - time.monotonic()

    def environment(self) -> Environment:
        """Describe the device and its machine.

        Raises:
            UserError: there is no such device, or its process failed.
        """
        try:
            (environment,) = self.ask("environment", Environment)
        except MeasurementError as error:
            name = f"--device {self.device}: "
            raise UserError(name + str(error).removeprefix(name)) from error
        except CutOffError as error:
            raise UserError(f"--deadline: {error} before the device was found. Try a later deadline") from error
        return environment

    def note(self, text: str) -> None:
        """Add a line to the log."""
        with self._log() as file:
            file.write(f"{text}\n".encode())

    def ask(self, function: str, kind: type[Answer], **arguments: Argument) -> Iterator[Answer]:
        """Carry out a function of `bench.gpu.measuring` in its own process, and yield its answers as they come.

        Raises:
            MeasurementError: the process has failed.
            CutOffError: the deadline is over.
        """
        task = Task(function=function, device=self.device, sizes=self.sizes, arguments=arguments)
        try:
            with Process(_MODULE, task, self.starter, Limits(max(0.0, self.seconds_left))) as process:
                for answer in process.answers():
                    yield msgspec.json.decode(answer, type=kind)
        except OverrunError as error:
            raise CutOffError("the deadline has passed") from error
        if process.returncode:
            self.note(f"{function} {arguments}\n{process.last_words}")
            last_line = process.last_words.rpartition("\n")[2]
            raise MeasurementError(last_line or f"its process exited with status {process.returncode}")

    def measure(self, function: str, **arguments: Argument) -> Iterator[Row]:
        """Yield the rows of a measurement. If its process fails, the last row says so, and the stage continues.

        Raises:
            CutOffError: the deadline is over.
        """
        try:
            yield from self.ask(function, Row, **arguments)
        except MeasurementError as error:
            subject = ", ".join([function, *(str(value) for value in arguments.values() if isinstance(value, str))])
            yield Row(subject=subject, failure=str(error))

    def command(self, arguments: Sequence[str], **variables: str) -> int:
        """Run a command with its output in the log until the deadline, and return its exit status.

        Args:
            arguments: The program and its arguments.
            variables: Additional environment variables.

        Raises:
            CutOffError: the command was not finished at the deadline.
        """
        self.note(f"$ {' '.join(arguments)}")
        with self._log() as log:
            process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=variables_of({**os.environ, **variables}),
                start_new_session=True,
            )
            try:
                return process.wait(max(0.0, self.seconds_left))
            except subprocess.TimeoutExpired as error:
                raise CutOffError("the deadline has passed") from error
            finally:
                _end(process)

    def last_line(self) -> str:
        """Return the last line of the log, such as the last message of a command."""
        lines = (self.folder / _LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _log(self) -> IO[bytes]:
        return (self.folder / _LOG).open("ab")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a command as Ctrl-C does; if it does not stop, kill its process group."""
    for signal_number, seconds in _GRACE_SECONDS.items():
        if process.poll() is not None:
            return
        if signal_number == signal.SIGINT:
            process.send_signal(signal_number)
        else:
            os.killpg(process.pid, signal_number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
