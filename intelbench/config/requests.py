"""Options of `intelbench run` and `intelbench profile`, checked before anything is executed.

The command line and the Python API pass their options through `accepted`.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from intelbench.config import bounds
from intelbench.config.budget import Budget, parse_budget, parse_duration
from intelbench.config.conditions import Conditions
from intelbench.config.fields import (
    CheckpointTime,
    Identifier,
    ImageSize,
    ImagesPerClass,
    KeepWeights,
    Name,
    Precision,
    Rerun,
    Seconds,
    Seeds,
    SeveralVary,
    Vary,
)
from intelbench.config.recipe import Recipe
from intelbench.config.sequential import Spending, Until
from intelbench.config.validation import NOT_CONVERTED, PYTHON, dotted, find_fault, fits
from intelbench.errors import UserError, printable, shortened

Margin = Annotated[
    float,
    Meta(ge=bounds.POINTS[0] / 100, lt=bounds.POINTS[1] / 100, description="a fraction (0.01 is one percentage point)"),
]
Names = Annotated[tuple[Name, ...], Meta(min_length=1)]
Accepted = TypeVar("Accepted")
ONLY_WITH_UNTIL = "spending", "at_most"
"""Options that need `until`."""


class RunRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `intelbench run`; `None` leaves the suite's value, or that of the machine."""

    suite: str = "quick"
    architectures: Names | None = None
    data: Name | None = None
    seeds: Seeds | None = None
    until: Literal["decided"] | None = None
    """When the session ends; `None` for when all seeds are recorded."""
    spending: Spending | None = None
    at_most: Seconds | None = None
    budget: Budget | float | None = None
    """Training budget of every run, or a share of the suite's budgets."""
    image_size: ImageSize | None = None
    precision: Precision | None = None
    images_per_class: ImagesPerClass | None = None
    keep_weights: KeepWeights | None = None
    vary: Vary | SeveralVary | None = None
    margin: Margin | None = None
    """Largest difference that counts as equivalent, as a fraction."""
    metric: Name | None = None
    """Metric by which the report ranks architectures."""
    device: str = "auto"
    gpus: Annotated[int, Meta(ge=bounds.GPUS[0], le=bounds.GPUS[1])] = 1
    """GPUs that compute each run together."""
    threads: Annotated[int, Meta(ge=bounds.THREADS[0], le=bounds.THREADS[1])] | None = None
    workers: Annotated[int, Meta(ge=bounds.WORKERS[0], le=bounds.WORKERS[1])] | None = None
    out: Name
    """Results folder."""
    plugins: tuple[Name, ...] = ()
    """Plug-in files."""
    on: Name = "local"
    """Name of an engine, or a TOML file that configures one."""
    shared_clock: bool = False
    """Whether runs with a budget in seconds may share a host."""
    track: tuple[Name, ...] = ()
    """Names of the trackers to which runs are sent."""
    timeout_seconds: Seconds | None = None
    memory_limit_bytes: Annotated[int, Meta(ge=1, le=2**60, description="in bytes")] | None = None
    rerun: Rerun = "none"
    checkpoint: CheckpointTime | None = None
    use_cache: bool = True
    skip_unreadable: bool = False
    cache_folder: Name
    """Folder of decoded images."""

    def __post_init__(self) -> None:
        _check("device", self.device, bounds.device_name)
        for name in ("out", "cache_folder"):
            _check(name, getattr(self, name), partial(bounds.path_of, "folder"))
        for name in ("seeds", "images_per_class", "vary"):
            if isinstance(given := getattr(self, name), tuple):
                _check(name, given, bounds.each_once)
        for name in ONLY_WITH_UNTIL:
            if self.until is None and getattr(self, name) is not None:
                raise ValueError(f"{name}: given without `until`. Expected both, or none. Try until='decided'")

    @property
    def design(self) -> Until | None:
        """Return how a session with planned looks ends."""
        if self.until is None:
            return None
        return Until(spending=self.spending or "obrien-fleming", at_most_seconds=self.at_most)


class ProfileRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `intelbench profile`."""

    architectures: Names
    batch_sizes: Annotated[
        tuple[Annotated[int, Meta(ge=bounds.BATCH_SIZE[0], le=bounds.BATCH_SIZE[1])], ...], Meta(min_length=1)
    ] = (1, 8, 32, 128)
    memories: Annotated[tuple[Annotated[int, Meta(ge=1, le=bounds.MAX_GIGABYTES)], ...], Meta(min_length=1)] = (
        8, 12, 16, 24, 40, 80, 141,
    )  # fmt: skip
    """Gigabytes of GPU memory for which to find the largest batch size."""
    num_classes: Annotated[int, Meta(ge=bounds.NUM_CLASSES[0], le=bounds.NUM_CLASSES[1])] = 6
    image_size: ImageSize = 224
    precision: Literal["fp32", "bf16"] = "fp32"
    optimizer: Identifier = "adam"
    frozen: bool = False
    plugins: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        for name in ("batch_sizes", "memories"):
            _check(name, getattr(self, name), bounds.each_once)

    @property
    def conditions(self) -> Conditions:
        """Return the conditions of a training step."""
        return Conditions(
            image_size=self.image_size, precision=self.precision, budget=Budget(steps=1),
            recipe=Recipe(optimizer=self.optimizer),
        )  # fmt: skip


def accepted(kind: type[Accepted], options: Mapping[str, object]) -> Accepted:
    """Return a request with the given options; `None` stands for the default.

    Paths, ranges, arrays and numbers of other libraries are accepted for plain texts, lists and numbers, and texts with
    a unit for a budget and for `at_most`.

    Raises:
        UserError: an option has another type, or is out of bounds.
    """
    given = {name: _plain(value) for name, value in options.items() if value is not None}
    if "budget" in given:
        given["budget"] = _check("budget", given["budget"], _budget, UserError)
    if isinstance(given.get("at_most"), str):
        given["at_most"] = _check("at_most", given["at_most"], parse_duration, UserError)
    return _converted(given, kind)


def accepted_value(name: str, value: object, kind: Any) -> Any:
    """Return an argument of a function as the plain value that it stands for.

    Raises:
        UserError: the value has another type, or is out of bounds.
    """
    plain = _plain(value)
    if plain is None:
        raise UserError(f"{name}: `None` is not accepted. Expected {PYTHON.expected(kind)}")
    return getattr(_converted({name: plain}, msgspec.defstruct("Argument", [(name, kind)])), name)


def text(name: str, value: object) -> str:
    """Return an argument that is a name, or a path as text; raise as `accepted_value`."""
    return str(accepted_value(name, value, Name))


def path_argument(name: str, value: object, expected: Literal["folder", "file"] = "folder") -> Path:
    """Return an argument that is the path of a folder or a file, which need not exist; raise as `accepted_value`."""
    return Path(_check(name, text(name, value), partial(bounds.path_of, expected), UserError))


def optional_text(name: str, value: object) -> str | None:
    """Return an argument as `text` does, and `None` for `None`."""
    return None if value is None else text(name, value)


def optional_device(value: object) -> str | None:
    """Return the argument `device`, or `None` for `None`.

    Raises:
        UserError: it is not the name of a device.
    """
    name = optional_text("device", value)
    return None if name is None else str(_check("device", name, bounds.device_name, UserError))


def flag(name: str, value: object) -> bool:
    """Return an argument that is true or false; raise as `accepted_value`."""
    return bool(accepted_value(name, value, bool))


def _converted(given: Mapping[str, object], kind: type[Accepted]) -> Accepted:
    try:
        return msgspec.convert(given, kind)
    except NOT_CONVERTED as error:
        fault = find_fault(given, kind, words=PYTHON)
        if not fault.place:  # of `__post_init__`, which names the option
            raise UserError(fault.fault) from error
        name = dotted(fault.place)
        value = given.get(name)
        is_item = isinstance(value, str | int) and fits({**given, name: [value]}, kind)
        hint = f". Try {name}=[{value!r}]" if is_item else ""
        raise UserError(printable(f"{name}: {fault.fault}{hint}")) from error


def _check(name: str, value: Any, read: Callable[[Any], Any], kind: type[Exception] = ValueError) -> Any:
    """Return what a function reads; raise the message of its `ValueError` after the name and the value."""
    try:
        return read(value)
    except ValueError as error:
        raise kind(f"{name} {shortened(printable(repr(value)))}: {error}") from error


def _plain(value: object) -> object:
    """Return paths as text, arrays and ranges as lists, and numbers of NumPy as Python's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    if isinstance(value, str | bytes | bool | Mapping | Struct) or value is None:
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return [_plain(item) for item in value] if isinstance(value, Iterable) else value


def _budget(budget: object) -> object:
    """Return a budget or a share of the suite's budgets."""
    if isinstance(budget, str):
        return parse_budget(budget)
    if isinstance(budget, int) and not isinstance(budget, bool):
        raise ValueError(
            f"has no unit. Expected a text, or a share of the suite's. Try '{Budget(steps=max(1, budget))}'"
        )
    if not isinstance(budget, Budget) and not (isinstance(budget, float) and 0 < budget <= 1):
        raise ValueError(
            "not a budget. Expected a text with a unit, or a share of the suite's budgets, more than 0 and at most 1. "
            "Try '60 s' or 0.1"
        )
    return budget
