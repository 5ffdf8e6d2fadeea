"""Values of the command line's options: from what people type to what is meant, within bounds."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from intelbench.errors import UserError

if TYPE_CHECKING:
    from intelbench.records.types import Budget

_LONGEST_SECONDS = 2_000_000
"""The operating system waits for at most 2^31 milliseconds, which are 24.8 days."""
_SHOWN = 100
"""Characters of a value that is not accepted."""


def parsed(option: str, parse: Callable[[str], Any], text: str | None) -> Any:
    """The value of an option, or `None` where it was not given.

    Raises:
        UserError: `parse` has raised a `ValueError`.
    """
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        shown = f"{text!r:.{_SHOWN}}"
        raise UserError(f"{option} {shown}: {str(error)[: 10 * _SHOWN]}") from error


def whole_numbers(least: int, most: int) -> Callable[[str], tuple[int, ...]]:
    """Numbers with commas between them, none of which lies outside the bounds."""

    def parse(text: str) -> tuple[int, ...]:
        numbers = tuple(int(part) for part in text.split(","))
        if not least <= min(numbers) <= max(numbers) <= most:
            raise ValueError(f"each number is at least {least} and at most {most}")
        return numbers

    return parse


def seconds(text: str) -> float:
    """A time limit."""
    number = float(text)
    if not 0 < number <= _LONGEST_SECONDS:
        raise ValueError(f"is more than 0 and at most {_LONGEST_SECONDS} seconds; without it there is no limit")
    return number


def budget(text: str) -> "Budget":
    """As `Budget.parse`."""
    from intelbench.records.types import Budget  # no help text needs it

    return Budget.parse(text)


def budget_or_share(text: str) -> "Budget | float":
    """A budget, or a share of the suite's, from more than 0 to 1: `10 %`."""
    match = re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,15})?)\s*%\s*", text)
    if match is None:
        return budget(text)
    if not 0 < float(match[1]) <= 100:
        raise ValueError("a share of the suite's budget is more than 0 % and at most 100 %")
    return float(match[1]) / 100


def images_per_class(text: str) -> tuple[int | str, ...]:
    """Numbers, or `all`, with commas between them."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part == "all" or part.isdecimal() for part in parts):
        raise ValueError("write numbers, or `all`, as in 10,50,200,all")
    return tuple(part if part == "all" else int(part) for part in parts)


def byte_count(text: str) -> int:
    """Bytes as people write them: `8GB`, `500 MB`, `7.5GiB`."""
    match = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([KMGT]i?)?B\s*", text, re.IGNORECASE)
    if match is None or not float(match[1]):
        raise ValueError("write a number and a unit, as in 8GB, 500MB or 7.5GiB")
    unit = (match[2] or "").upper()
    return int(float(match[1]) * (1024 if unit.endswith("I") else 1000) ** " KMGT".index(unit[:1] or " "))


def checkpoint_time(text: str) -> Any:
    """Seconds between checkpoints, from a time with its unit, or one of two words."""
    if text in ("evaluations", "never"):
        return text
    between = budget(text).seconds
    if between is None:
        raise ValueError("write a time, as in '10 min', or `evaluations`, or `never`")
    return between
