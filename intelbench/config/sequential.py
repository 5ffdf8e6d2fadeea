"""The design of a comparison that adds seeds in planned looks until its question is decided."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from intelbench.config.fields import MAX_RUNS, FileName, Fraction

Spending = Literal["obrien-fleming", "pocock"]
"""How much of the significance level each look may use: little at first, or nearly equal parts."""
_MAX_LOOKS = 50


class Until(Struct, frozen=True, kw_only=True):
    """Options of a session that ends when its comparison is decided."""

    spending: Spending
    at_most_seconds: float | None
    """Time that no look may exceed, from the start of the first one; `None` for no limit."""


class SequentialDesign(Struct, frozen=True, kw_only=True):
    """What was fixed before the first run: at which numbers of seeds results are tested, and at which levels."""

    architectures: Annotated[tuple[FileName, ...], Meta(min_length=2, max_length=MAX_RUNS)]
    """Sorted by name; every pair of them is compared."""
    seeds: Annotated[tuple[int, ...], Meta(min_length=2, max_length=MAX_RUNS)]
    """In the order in which they are run."""
    looks: Annotated[tuple[int, ...], Meta(min_length=1, max_length=_MAX_LOOKS)]
    """Number of seeds at each look; the last look is at all seeds."""
    spending: Spending
    significance: Fraction
    """Probability that any equal architectures are found different at any look."""
    margin: Fraction
    """Difference in test accuracy up to which two architectures are equivalent."""

    def __post_init__(self) -> None:
        rising = all(fewer < more for fewer, more in zip(self.looks, self.looks[1:], strict=False))
        if not rising or self.looks[0] < 2 or self.looks[-1] != len(self.seeds):
            raise ValueError("`looks` are rising numbers of seeds from 2 on, the last one is that of `seeds`")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is in `seeds` twice")
        if list(self.architectures) != sorted(set(self.architectures)):
            raise ValueError("`architectures` are sorted, and each is there once")


class Look(Struct, frozen=True, kw_only=True):
    """The look of a sequential design for which a run was made."""

    design: SequentialDesign
    number: Annotated[int, Meta(ge=1, le=_MAX_LOOKS)]
    """1 for the first look."""
