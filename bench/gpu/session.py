"""One call of `make gpu`: its processes, its deadline and its folders.

This process never touches the GPU. Every measurement has a process of its own, so that one that crashes, hangs or fills
the memory takes nothing with it, and none finds what another has left in the GPU's memory.
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
"""How long a command may take to end after each of these signals."""
_LOG = "log.txt"
Answer = TypeVar("Answer", bound=Struct)
Argument = str | float | int | None


class Task(Struct, frozen=True, kw_only=True):
    """What the process of a measurement is to do."""

    function: str
    """Its name in `bench.gpu.measuring`."""
    device: str
    sizes: Sizes
    arguments: dict[str, Argument]


class CutOffError(Exception):
    """The deadline has come, or an earlier stage must be done first; the message says which."""


class MeasurementError(Exception):
    """A measurement's process has failed; the message is the last line that it wrote."""


def variables_of(variables: dict[str, str]) -> dict[str, str]:
    """Return the environment variables of processes that import this checkout."""
    others = [part for part in variables.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {**variables, "PYTHONPATH": os.pathsep.join([str(ROOT), *others])}


class Found(Struct, frozen=True, kw_only=True):
    """The device and its machine, or why there is none."""

    environment: Environment | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Session:
    """What the stages are carried out with."""

    device: str
    """As `--device` names it."""
    sizes: Sizes
    folder: Path
    """Takes the results."""
    work: Path
    """A temporary folder, for the records of the study among others."""
    data: str | None
    """Folder of images for the study; `None` for the suite's own."""
    starter: Starter
    deadline: float
    """Of `time.monotonic`, with the closing seconds taken off."""

    @property
    def is_fake(self) -> bool:
        """Whether the GPU is the tests' fake one."""
        return self.device == FAKE_DEVICE

    @property
    def seconds_left(self) -> float:
        """Until the deadline; negative after it."""
        return self.deadline - time.monotonic()

    def environment(self) -> Environment:
        """Describe the device and its machine.

        Raises:
            UserError: there is no such device, or its process failed.
        """
        try:
            (found,) = self.ask("environment", Found)
        except MeasurementError as error:
            raise UserError(f"--device {self.device}: {error}") from error
        except CutOffError as error:
            raise UserError(f"--deadline: {error} before the device was found. Try a later deadline") from error
        if found.environment is None:
            raise UserError(str(found.problem))
        return found.environment

    def note(self, text: str) -> None:
        """Add a line to the log."""
        with self._log() as file:
            file.write(f"{text}\n".encode())

    def ask(self, function: str, kind: type[Answer], **arguments: Argument) -> Iterator[Answer]:
        """Carry out a function of `bench.gpu.measuring` in a process of its own, and give its answers as they come.

        Raises:
            MeasurementError: the process has failed.
            CutOffError: the deadline has come.
        """
        task = Task(function=function, device=self.device, sizes=self.sizes, arguments=arguments)
        try:
            with Process(_MODULE, task, self.starter, Limits(max(0.0, self.seconds_left))) as process:
                for answer in process.answers():
                    yield msgspec.json.decode(answer, type=kind)
        except OverrunError as error:
            raise CutOffError("the deadline has come") from error
        if process.returncode:
            self.note(f"{function} {arguments}\n{process.last_words}")
            last_line = process.last_words.rpartition("\n")[2]
            raise MeasurementError(last_line or f"its process exited with status {process.returncode}")

    def measure(self, function: str, **arguments: Argument) -> Iterator[Row]:
        """Give the rows of a measurement; if its process fails, the last row says so and the stage continues.

        Raises:
            CutOffError: the deadline has come.
        """
        try:
            yield from self.ask(function, Row, **arguments)
        except MeasurementError as error:
            subject = ", ".join([function, *(str(value) for value in arguments.values() if isinstance(value, str))])
            yield Row(subject=subject, failure=str(error))

    def command(self, arguments: Sequence[str], **variables: str) -> int:
        """Run a command, its output in the log, and return its status; at the deadline it is interrupted.

        Args:
            arguments: The program and its arguments.
            variables: Environment variables that it has in addition to those of this process.

        Raises:
            CutOffError: the deadline came before the command was finished.
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
                raise CutOffError("the deadline has come") from error
            finally:
                _end(process)

    def last_line(self) -> str:
        """Return the last line of the log, which is what a command said last."""
        lines = (self.folder / _LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _log(self) -> IO[bytes]:
        return (self.folder / _LOG).open("ab")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a command as Ctrl-C does; if that is not enough, kill its group."""
    for number, seconds in _GRACE_SECONDS.items():
        if process.poll() is not None:
            return
        if number == signal.SIGINT:
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
