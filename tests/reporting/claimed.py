"""Claims about made-up studies, and their verdicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from intelbench.reporting.verdicts import Verdict, verdicts
from intelbench.results.claims import Claim
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import CohortSummary


def claim(**changes: Any) -> Claim:
    """That `a` has a higher relative loss variance than `b`, with changes."""
    fields: dict[str, Any] = {"id": "c", "statement": "s", "source": "r", "metric": "relative_loss_variance"}
    fields |= {"relation": "higher", "architecture": "a"} | (
        {} if "others" in changes or "classes" in changes else {"others": ["b"]}
    )
    return msgspec.convert({key: value for key, value in (fields | changes).items() if value is not None}, Claim)


def verdict(summary: CohortSummary, **changes: Any) -> Verdict:
    """On that claim."""
    (found,) = verdicts(summary, [claim(**changes)])
    return found


def changed(summary: CohortSummary, change: Callable[[str, RunSummary], RunSummary]) -> CohortSummary:
    """The summary with every run changed."""
    return replace(
        summary,
        architectures=tuple(
            replace(each, runs=tuple(change(each.name, run) for run in each.runs)) for each in summary.architectures
        ),
    )


def with_values(summary: CohortSummary, values: Mapping[str, Sequence[float]]) -> CohortSummary:
    """Relative loss variances, by architecture and seed."""
    return changed(
        summary,
        lambda name, run: replace(run, relative_loss_variance=values[name][run.seed] if name in values else 1.0),
    )
