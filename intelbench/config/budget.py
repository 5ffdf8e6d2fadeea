"""The training budget, in exactly one of five units."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from intelbench.config.bounds import MAX_SECONDS
from intelbench.config.fields import Count
from intelbench.config.validation import TOML

BudgetUnit = Literal["steps", "epochs", "images", "seconds", "flops"]

_AMOUNT = r"(?:[0-9]+(?:_[0-9]+)*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_UNIT_SPELLINGS: dict[str, tuple[BudgetUnit, float]] = {
    "step": ("steps", 1), "steps": ("steps", 1),
    "epoch": ("epochs", 1), "epochs": ("epochs", 1),
    "image": ("images", 1), "images": ("images", 1),
    "s": ("seconds", 1), "sec": ("seconds", 1), "second": ("seconds", 1), "seconds": ("seconds", 1),
    "min": ("seconds", 60), "minute": ("seconds", 60), "minutes": ("seconds", 60),
    "h": ("seconds", 3600), "hour": ("seconds", 3600), "hours": ("seconds", 3600),
    "flop": ("flops", 1), "flops": ("flops", 1),
}  # fmt: skip


class Budget(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a run may spend on training: exactly one of five things, the same for every architecture of a suite."""

    steps: Count | None = None
    """Optimizer steps."""
    epochs: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """Passes over the training images; each holds as many whole batches as fit."""
    images: Count | None = None
    """Training images consumed, rounded up to a whole batch."""
    seconds: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """Wall-clock seconds of training; evaluation, saving and logging are outside the clock."""
    flops: Annotated[float, Meta(gt=0, le=1e30)] | None = None
    """Training FLOPs (forward and backward, 1 MAC = 2 FLOPs), rounded down to a whole batch."""

    def __post_init__(self) -> None:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a budget is exactly one of {', '.join(self.__struct_fields__)}; got {', '.join(given) or 'none'}"
            )

    @property
    def unit(self) -> BudgetUnit:
        """Which of the five was given."""
        for name in ("steps", "epochs", "images", "seconds"):
            if getattr(self, name) is not None:
                return name
        return "flops"

    @property
    def amount(self) -> float:
        """How much of `unit`."""
        value: float = getattr(self, self.unit)
        return value

    def __str__(self) -> str:
        """In full, so that `parse` reads the same budget back: `60 s`, `2.5 epochs`."""
        amount = int(self.amount) if float(self.amount).is_integer() and self.amount < 1e15 else self.amount
        unit = "s" if self.unit == "seconds" else self.unit.removesuffix("s" if amount == 1 else "")
        return f"{amount!r} {unit}"

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read a budget as people write it: `60 s`, `5 min`, `30 steps`, `2 epochs`, `10000 images`, `1e15 flops`.

        Raises:
            ValueError: `text` is not a number and a known unit, or the number is out of bounds.
        """
        match = re.fullmatch(rf"\s*({_AMOUNT})\s*([A-Za-z]+)\s*", text)
        if match is None or match[2].lower() not in _UNIT_SPELLINGS:
            raise ValueError(
                "not a budget. Expected a positive number and a unit. Try '60 s', '5 min', '30 steps', '2 epochs', "
                "'10000 images' or '1e15 flops'"
            )
        unit, factor = _UNIT_SPELLINGS[match[2].lower()]
        amount = float(match[1]) * factor
        try:
            return msgspec.convert({unit: int(amount) if amount.is_integer() else amount}, cls)
        except msgspec.ValidationError as error:
            field = next(each for each in msgspec.structs.fields(cls) if each.name == unit)
            raise ValueError(f"not a budget. Expected, in {unit}, {TOML.expected(field.type)}") from error


def parse_duration(text: str) -> float:
    """Read a time with its unit, in seconds: `90 s`, `10 min`, `1.5 h`.

    Raises:
        ValueError: `text` is no time, or too long a one.
    """
    try:
        seconds = Budget.parse(text).seconds
    except ValueError:
        seconds = None
    if seconds is None or seconds > MAX_SECONDS:
        raise ValueError(
            f"not a time. Expected a number and a unit, more than 0 and at most {MAX_SECONDS:,} seconds. Try '90 s', "
            "'10 min' or '1.5 h'"
        )
    return seconds


def parse_budget(text: str) -> Budget | float:
    """Read a budget, as `Budget.parse` does, or a share of a suite's budgets from more than 0 to 1: `10 %`.

    Raises:
        ValueError: `text` is neither.
    """
    if not text.rstrip().endswith("%"):
        return Budget.parse(text)
    match = re.fullmatch(rf"\s*({_AMOUNT})\s*%\s*", text)
    if match is None or not 0 < float(match[1]) <= 100:
        raise ValueError("not a share of the suite's budget. Expected more than 0 % and at most 100 %. Try '10 %'")
    return float(match[1]) / 100
