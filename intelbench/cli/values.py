"""Values of the command line's options: from what people type to what is meant, within bounds."""

import math
import os
import re
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from intelbench.config.bounds import MAX_GIGABYTES, MAX_SEED, POINTS, byte_count, each_once, one_line, path_of
from intelbench.errors import UserError, one_of, shortened

if TYPE_CHECKING:
    from intelbench.config.budget import Budget
    from intelbench.results.diff import Gate

_MAX_SEEDS = 10_000
"""A suite has no more runs."""
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_MAX_MESSAGE = 1000
"""Characters; a message repeats a part of the value, which may be as long as a command line."""


class Value(click.ParamType[Any]):
    """The type of an option or argument whose text a function reads.

    A `ValueError` of the function says what is wrong, what is expected and what to try; the user sees it after the
    option and the text.
    """

    def __init__(self, parse: Callable[[str], Any], name: str = "text") -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a text; a default that is not a text is the value itself."""
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            raise UserError(f"{_typed(param, value)}: {shortened(str(error), _MAX_MESSAGE)}") from error


class Place(click.Path):
    """The type of an option or argument that is the path of a folder, or of a file, which need not exist.

    Refused are no path at all, as from a variable of the shell that is not set, a name that does not fit in one line,
    a file in the place of a folder, and a folder, a pipe or a device in the place of a file.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Make a path of a text."""
        text = os.fspath(value)
        try:
            return Path(path_of("folder" if self.dir_okay else "file", text))
        except ValueError as error:
            raise UserError(f"{_typed(param, text)}: {error}") from error


class Choice(click.Choice[str]):
    """The type of an option that takes one of a few words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word."""
        if value not in self.choices:
            raise UserError(f"{_typed(param, value)}: not accepted. {one_of(value, self.choices)}")
        return str(value)


def require_suffix(file: Path, *suffixes: str, option: str = "--out") -> None:
    """Refuse a value of the option that does not end in one of the suffixes, in whichever case."""
    if file.suffix.lower() not in suffixes:
        expected = ", ".join(suffixes)
        name = shortened(repr(str(file)))
        raise UserError(f"{option} {name}: unknown format. Expected a name that ends in {expected}")


FOLDER = Place(file_okay=False)
FILE = Place(dir_okay=False)
NAME = Value(partial(one_line, "a name"))
"""The type of an option or argument that names one of many things; what uses the name knows which there are."""


def _typed(param: click.Parameter | None, text: str) -> str:
    """The option or argument, and its text: `--seeds 'a'`, `RUN 'a'`."""
    name = param.human_readable_name.strip("[].") if param else "value"
    return f"{param.opts[0] if isinstance(param, click.Option) else name} {shortened(repr(text))}"


def source(text: str) -> str:
    """Where images are: the path of a folder, or `scenes`."""
    if not text.strip():
        raise ValueError("empty. Expected a folder of images, or `scenes`")
    return text


def existing_path(text: str) -> Path:
    """A file or a folder that exists."""
    try:
        mode = Path(text).stat().st_mode if text else 0
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"cannot be opened ({reason}). Expected a folder or a file") from error
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise ValueError(f"{'a pipe or a device' if text else 'empty'}. Expected a folder or a file")
    return Path(text)


def percentage_points(text: str) -> float:
    """A difference of two shares in percentage points."""
    value = float(text) if re.fullmatch(_NUMBER, text) else math.nan
    if not POINTS[0] <= value < POINTS[1]:
        raise ValueError(f"not accepted. Expected percentage points, at least {POINTS[0]} and below {POINTS[1]}. Try 1")
    return value


def part_of_name(text: str) -> str:
    """A part of a name, or a pattern for it; not empty."""
    if not text.strip():
        raise ValueError("empty. Expected a part of a name, such as convnext")
    return text


def magnitude(text: str) -> float:
    """A number above 0 that may end in k, M or G: 500k, 30M, 1.5G."""
    factor = {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1:], 1.0)
    digits = text if factor == 1 else text[:-1]
    if not re.fullmatch(_NUMBER, digits) or not 0 < float(digits) * factor < math.inf:
        raise ValueError("not accepted. Expected a number above 0, with k, M or G for 10^3, 10^6 or 10^9. Try 30M")
    return float(digits) * factor


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def parse(text: str) -> int:
        if (number := _whole_number(text, least, most)) is None:
            raise ValueError(f"not accepted. Expected a whole number from {least:,} to {most:,}")
        return number

    return parse


def whole_numbers(least: int, most: int) -> Callable[[str], tuple[int, ...]]:
    """Different numbers within bounds, with commas between them."""

    def parse(text: str) -> tuple[int, ...]:
        numbers = [_whole_number(part, least, most) for part in text.split(",")]
        if None in numbers:
            raise ValueError(
                f"not accepted. Expected whole numbers from {least:,} to {most:,} with commas between them. Try 8,16"
            )
        return each_once(number for number in numbers if number is not None)

    return parse


def number(text: str) -> float:
    """A number of at least 0."""
    value = float(text) if re.fullmatch(_NUMBER, text) else math.inf
    if not math.isfinite(value):
        raise ValueError("not accepted. Expected a number of at least 0. Try 0.01")
    return value


def seeds(text: str) -> tuple[int, ...]:
    """Different seeds, and ranges of them with both ends, with commas between: `0,1,2`, `0-2`, `0,3-5`."""
    ranges = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = [_whole_number(end, 0, MAX_SEED) for end in ((first, last) if dash else (first, first))]
        if ends[0] is None or ends[1] is None:
            raise ValueError(
                f"{shortened(repr(part.strip()))} is no seed and no range of seeds. Expected whole numbers from 0 to "
                f"{MAX_SEED:,}. Try 0,1,2 or 0-2"
            )
        ranges.append((ends[0], ends[1]))
    for low, high in ranges:
        if low > high:
            raise ValueError(f"the range {low}-{high} goes down. Try {high}-{low}")
    if (count := sum(high - low + 1 for low, high in ranges)) > _MAX_SEEDS:
        raise ValueError(f"{count:,} seeds. Expected at most {_MAX_SEEDS:,}. Try 0-2")
    return each_once(seed for low, high in ranges for seed in range(low, high + 1))


def images_per_class(text: str) -> tuple[int | str, ...]:
    """Different numbers, or `all`, with commas between them."""
    parts = [part.strip() for part in text.split(",")]
    numbers = [part if part == "all" else _whole_number(part, 1, 2**53) for part in parts]
    if None in numbers:
        raise ValueError("not accepted. Expected whole numbers of at least 1, or `all`. Try 10,50,200,all")
    return each_once(number for number in numbers if number is not None)


def vary(text: str) -> tuple[str, ...]:
    """Different words that `vary` of a suite accepts, with commas between them."""
    from intelbench.config.fields import Vary

    parts, known = [part.strip() for part in text.split(",")], get_args(Vary)
    for part in parts:
        if part not in known:
            raise ValueError(f"{shortened(repr(part))} is not accepted. {one_of(part, known)}")
    return each_once(parts)


def budget_or_share(text: str) -> "Budget | float":
    """As `parse_budget`."""
    from intelbench.config.budget import parse_budget

    return parse_budget(text)


def duration(text: str) -> float:
    """As `parse_duration`."""
    from intelbench.config.budget import parse_duration

    return parse_duration(text)


def checkpoint_time(text: str) -> Any:
    """Seconds between checkpoints, from a time as `duration` reads it, or one of two words."""
    if text in ("evaluations", "never"):
        return text
    try:
        return duration(text)
    except ValueError as error:
        raise ValueError(f"{error}, or `evaluations` or `never`") from error


def whole_gigabytes(text: str) -> tuple[int, ...]:
    """Read different sizes with commas between them, each a whole number of gigabytes: `8GB,24GB`."""
    gigabytes = []
    for part in text.split(","):
        size = byte_count(part)
        if size % 10**9 or size > MAX_GIGABYTES * 10**9:
            raise ValueError(
                f"{part.strip()!r} is not accepted. Expected a whole number of gigabytes, at most "
                f"{MAX_GIGABYTES:,}. Try 8GB,24GB"
            )
        gigabytes.append(size // 10**9)
    return each_once(gigabytes)


def optimizer(text: str) -> str:
    """An optimizer by its name, as in a suite."""
    import msgspec

    from intelbench.config.fields import Identifier
    from intelbench.config.validation import PYTHON

    try:
        return msgspec.convert(text, Identifier)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a name. Expected {PYTHON.expected(Identifier)}. Try adamw") from error


def gate(text: str) -> "Gate":
    """As `Gate.parse`."""
    from intelbench.results.diff import Gate

    return Gate.parse(text)


def _whole_number(text: str, least: int, most: int) -> int | None:
    """The number that a text of digits is, if it lies within bounds."""
    digits = text.strip()
    number = int(digits) if re.fullmatch(r"[0-9]{1,19}", digits) else -1
    return number if least <= number <= most else None
