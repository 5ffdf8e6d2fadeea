"""The result of `intelbench verify` in words."""

from intelbench.errors import printable
from intelbench.results.verification import Verification


def as_text(verification: Verification) -> str:
    """Say which steps were repeated, and how far batches and numbers agree with the record."""
    last = verification.num_steps
    steps = f"step {last}" if last == 1 else f"steps 1 to {last}"
    if verification.same_batches:
        batches = f"the batches of the record up to step {verification.verified_step}"
    else:
        batches = f"other batches than in the record after step {verification.verified_step or 0}"
    if verification.first_difference is None:
        numbers = "losses and gradient norms equal bit for bit"
    else:
        numbers = (
            f"losses or gradient norms differ from step {verification.first_difference} on, "
            f"by at most {verification.largest_difference:.2g} of their value"
        )
    lines = [f"{verification.run_id}, {steps}: {batches}; {numbers}"]
    if verification.changed:
        lines.append(f"not as it was: {verification.changed}")
    return "".join(f"{printable(line)}\n" for line in lines)
