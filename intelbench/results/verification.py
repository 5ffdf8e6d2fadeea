"""How far a machine reproduces a recorded run."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How far this machine reproduces a run."""

    run_id: str
    num_steps: int
    """Steps that were repeated."""
    verified_step: int | None
    """Last step up to which the record shows that the batches were the same; `None` if the first already differed."""
    same_batches: bool
    """Whether batches were the same at every step for which the record has a digest."""
    first_difference: int | None
    """First step whose loss or gradient norm has other bits; `None` if all are equal."""
    largest_difference: float
    """Largest difference of a loss or gradient norm, relative to the recorded value."""
    changed: str
    """What differs from the environment and conditions of the record, in words; empty if nothing does."""

    def reproduced(self, tolerance: float) -> bool:
        """Return whether batches are the same and numbers differ by at most `tolerance`, relative to their value."""
        return self.same_batches and self.largest_difference <= tolerance
