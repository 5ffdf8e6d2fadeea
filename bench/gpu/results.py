"""Read and write the results of `make gpu` in `gpu.json`, which is written after every stage."""

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from intelbench.errors import UserError
from intelbench.records import files
from intelbench.records.types import Environment

FILE = "gpu.json"
FAKE_NOTE = "The device is fake: its tensors are on the CPU. Its numbers mean nothing and no limit is judged."
SPEED = "speed"
"""Name of the figure in images per second."""
_VERSION = 1
_MAX_BYTES = 2**24

Status = Literal["done", "failed", "cut off"]
"""`cut off` is a stage that was not finished at the deadline, or that needs an earlier stage."""


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value that was measured or read."""

    name: str
    value: bool | int | float | str | None
    unit: str = ""
    """A base unit, such as `bytes` and `FLOP/s`; `share` is a fraction between 0 and 1."""
    absent: str | None = None
    """Why there is no value."""


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The figures of one subject of a stage, such as a network in one training loop."""

    subject: str
    figures: tuple[Figure, ...] = ()
    at_least: float | None = None
    """Limit of the first figure."""
    at_most: float | None = None
    """Limit of the first figure."""
    met: bool | None = None
    """Whether the first figure is within its limit; `None` without a limit or a verdict."""
    failure: str | None = None
    """Why the measurement was not finished."""
    details: tuple[str, ...] = ()
    """Texts that are not in the table."""

    def value(self, name: str) -> float | None:
        """Return the value of a figure; `None` if it does not exist or is no number."""
        values = [figure.value for figure in self.figures if figure.name == name]
        return values[0] if values and isinstance(values[0], int | float) else None

    def judged(self) -> "Row":
        """Return the row with the verdict on its limit, if it has a limit and a number."""
        value = self.value(self.figures[0].name) if self.figures else None
        if value is None or (self.at_least is None and self.at_most is None):
            return self
        is_met = (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)
        return msgspec.structs.replace(self, met=is_met)


class StageResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a stage."""

    status: Status
    seconds: float
    rows: tuple[Row, ...] = ()
    message: str | None = None
    """Why the stage failed or was cut off."""


class Results(Struct, frozen=True, kw_only=True):
    """The content of `gpu.json`."""

    schema_version: int = _VERSION
    fake: bool
    """Whether the device was the fake GPU of the tests, whose numbers mean nothing."""
    note: str | None
    environment: Environment
    """The card, the machine and the libraries."""
    stages: dict[str, StageResult]
    """Results by name of the stage."""

    def with_stage(self, name: str, result: StageResult) -> "Results":
        """Return these results with the result of a stage added or replaced."""
        return msgspec.structs.replace(self, stages={**self.stages, name: result})


def open_results(folder: Path, environment: Environment, *, fake: bool) -> Results:
    """Return the results in a folder, or new results without a stage.

    Raises:
        UserError: the folder holds results of another device, or its file cannot be read.
    """
    file = folder / FILE
    empty = Results(fake=fake, note=FAKE_NOTE if fake else None, environment=environment, stages={})
    content = files.content_if_any(file, _MAX_BYTES)
    if content is None:
        return empty
    try:
        results = msgspec.json.decode(content, type=Results)
    except msgspec.DecodeError as error:
        raise UserError(f"{file}: {error}. Expected results of `make gpu`. Try another folder with --out") from error
    if results.environment.fingerprint != environment.fingerprint or results.fake != fake:
        raise UserError(
            f"{file}: results of {results.environment.device_name} with PyTorch {results.environment.torch}. Expected "
            f"those of {environment.device_name} with PyTorch {environment.torch}, on the same machine. "
            "Try another folder with --out"
        )
    return results


def save(folder: Path, results: Results) -> None:
    """Write the results into a folder, in place of earlier ones."""
    files.replace(folder / FILE, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def first_line(error: BaseException) -> str:
    """Return the class of an error and the first line of its message; PyTorch's messages have many lines."""
    return f"{type(error).__name__}: {error}".partition("\n")[0]
