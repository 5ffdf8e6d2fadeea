"""What `make gpu` has measured so far: `gpu.json`, written after every stage."""

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from intelbench.errors import UserError
from intelbench.records import files
from intelbench.records.types import Environment

FILE = "gpu.json"
FAKE_NOTE = "The device is fake: its tensors are on the CPU. Its numbers mean nothing and no limit is judged."
_VERSION = 1
_MOST_BYTES = 2**24

Status = Literal["done", "failed", "cut off"]
"""`cut off` is a stage that was not finished at the deadline, or that needs an earlier stage to be done first."""


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value that was measured or read."""

    name: str
    value: bool | int | float | str | None
    unit: str = ""
    """A base unit: `bytes`, `FLOP/s`, `bytes/s`; `share` is a number of which 1 is all."""
    absent: str | None = None
    """Why there is no value."""


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was measured of one subject of a stage, as a network in one training loop."""

    subject: str
    figures: tuple[Figure, ...] = ()
    at_least: float | None = None
    """Limit of the first figure."""
    at_most: float | None = None
    """Limit of the first figure."""
    met: bool | None = None
    """Whether the first figure is within its limit; `None` without one, or where nothing is judged."""
    failure: str | None = None
    """Why the measurement was not finished."""
    details: tuple[str, ...] = ()
    """Texts that the table has no room for."""

    def value(self, name: str) -> float | None:
        """Return the number of that name; `None` where there is none."""
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
    """What one stage has left."""

    status: Status
    seconds: float
    rows: tuple[Row, ...] = ()
    message: str | None = None
    """Why it failed or was cut off."""


class Results(Struct, frozen=True, kw_only=True):
    """The content of `gpu.json`."""

    schema_version: int = _VERSION
    fake: bool
    """Whether the device was the tests' fake GPU, whose numbers mean nothing."""
    note: str | None
    environment: Environment
    """The card, the machine and the libraries."""
    stages: dict[str, StageResult]
    """By name of the stage."""

    def with_stage(self, name: str, result: StageResult) -> "Results":
        """Return the results with those of one stage added or replaced."""
        return msgspec.structs.replace(self, stages={**self.stages, name: result})


def open_results(folder: Path, environment: Environment, *, fake: bool) -> Results:
    """Return what a folder holds, or results without a stage.

    Raises:
        UserError: the folder holds results of another device, or its file cannot be read.
    """
    file = folder / FILE
    empty = Results(fake=fake, note=FAKE_NOTE if fake else None, environment=environment, stages={})
    content = files.content_if_any(file, _MOST_BYTES)
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
    """Write the results in the place of the earlier ones."""
    files.replace(folder / FILE, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message; PyTorch's messages have many."""
    return f"{type(error).__name__}: {error}".partition("\n")[0]
