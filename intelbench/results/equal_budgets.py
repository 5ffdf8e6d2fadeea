"""Validation accuracy after equal steps and after equal time, whatever the budget of the suite is.

Shapes: n seeds, V validation images. Between two evaluation points of a run, the answer to an image is the weighted
mean of the two answers, so accuracy follows a straight line, as it does in `reaching`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from intelbench.results import efficiency
from intelbench.results.columns import Columns, column, estimate, table
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, CohortSummary, same_images
from intelbench.statistics.comparisons import PairedDifference, paired_differences
from intelbench.statistics.estimates import Estimate, mean_interval
from intelbench.statistics.inference import infer
from intelbench.statistics.seed_table import SeedTable
from intelbench.statistics.shares import share_estimate

EqualUnit = Literal["steps", "seconds"]
EQUAL_UNITS: tuple[EqualUnit, ...] = ("steps", "seconds")
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Reversal:
    """Two architectures of which the one is ahead at equal steps and the other at equal time, both significantly."""

    first: str
    """The architecture that is ahead at equal steps."""
    second: str
    """The architecture that is ahead at equal time."""
    at_equal_steps: Estimate
    """Accuracy of the first minus that of the second."""
    at_equal_seconds: Estimate
    """Accuracy of the first minus that of the second."""


@dataclass(frozen=True)
class EqualBudget:
    """All finished architectures after an equal amount of training."""

    unit: EqualUnit
    amount: float
    """Largest number of steps, or of seconds of training, at which every run was still being evaluated."""
    architectures: Sequence[ArchitectureSummary]

    @cached_property
    def tables(self) -> Sequence[dict[int, Values] | None]:
        """Return the answers to V images by seed, 0 to 1, of each architecture.

        `None` where a run has no evaluation point before the amount.
        """
        return [self._table(architecture.runs) for architecture in self.architectures]

    def accuracy(self, index: int) -> Estimate | None:
        """Return the accuracy of an architecture with its interval over seeds and images; `None` if it is not known.

        Where the seeds drew the validation images, the interval over seeds holds the choice of images too.
        """
        by_seed, runs = self.tables[index], self.architectures[index].runs
        if by_seed is None:
            return None
        if not same_images(runs, "validation"):
            return mean_interval([values.mean() for values in by_seed.values()], 0, 1)
        answers = np.array(list(by_seed.values()))
        inferred = infer(answers, 0, 1)
        return share_estimate(inferred, answers.shape[1]) if inferred.spreads else inferred.estimate

    def differences(self) -> list[PairedDifference]:
        """Return the differences of the architectures, which have the same images; those not known have none."""
        known = [by_seed or {} for by_seed in self.tables]
        return paired_differences(SeedTable.of_runs(known)) if any(known) else []

    def bend(self, index: int) -> float:
        """Return how far the accuracy of an architecture may be from the straight lines, mean over its runs."""
        curve = efficiency.curve(self.architectures[index].runs, self.unit)
        return 0.0 if curve is None else float(curve.bend(np.array([self.amount])).mean())

    def leads(self, pair: PairedDifference) -> bool:
        """Return whether one of two architectures is significantly ahead, by more than the bend of both curves."""
        gap = pair.difference if pair.difference.mean > 0 else -pair.difference
        bend = self.bend(pair.first) + self.bend(pair.second)
        return pair.better is not None and gap.low is not None and gap.low > bend

    def _table(self, runs: Sequence[RunSummary]) -> dict[int, Values] | None:
        by_seed = {run.seed: _answers(run, self.unit, self.amount) for run in runs}
        known = {seed: values for seed, values in by_seed.items() if values is not None}
        return known if len(known) == len(by_seed) else None


@dataclass(frozen=True)
class OrderChange:
    """How the order of the architectures at equal steps differs from that at equal time."""

    num_pairs: int
    """Pairs that are compared in both."""
    num_changed: int
    """Pairs whose means have the other order, by chance or not."""
    reversals: Sequence[Reversal]


def equal_budgets(summary: CohortSummary) -> list[EqualBudget]:
    """Return the largest equal steps and the largest equal time; none where a run was never evaluated."""
    if not summary.runs or not all(
        len(run.evaluation_step) and run.images.validation_right.size for run in summary.runs
    ):
        return []
    used = {unit: [efficiency.spent(run, unit) for run in summary.runs] for unit in EQUAL_UNITS}
    return [
        EqualBudget(unit, min(float(values[-1]) for values in used[unit] if values is not None), summary.finished)
        for unit in EQUAL_UNITS
    ]


def order_change(summary: CohortSummary, views: Sequence[EqualBudget] | None = None) -> OrderChange | None:
    """Return how the order differs between equal steps and equal time; `None` where nothing may be compared.

    A pair is reversed where both leads are significant, at 5 % and Holm-corrected over the pairs of each view, and
    the interval of each is above what the bend of the curves between evaluation points could be. `views` are what
    `equal_budgets` returns, if that is known.
    """
    views = equal_budgets(summary) if views is None else views
    if summary.correct is None or not views or not same_images(summary.runs, "validation"):
        return None
    by_pair = [{(pair.first, pair.second): pair for pair in view.differences()} for view in views]
    both = [(by_pair[0][key], by_pair[1][key]) for key in by_pair[0] if key in by_pair[1]]
    tested = [(steps, seconds) for steps, seconds in both if steps.p_holm is not None]
    if not tested:
        return None
    names = [architecture.name for architecture in summary.finished]
    changed = [pairs for pairs in tested if pairs[0].difference.mean * pairs[1].difference.mean < 0]
    reversals = []
    for steps, seconds in changed:
        if steps.better is None or seconds.better is None:
            continue
        if not all(view.leads(pair) for view, pair in zip(views, (steps, seconds), strict=True)):
            continue
        sign = 1 if steps.better == steps.first else -1
        leads = [view.difference if sign > 0 else -view.difference for view in (steps, seconds)]
        reversals.append(Reversal(names[steps.better], names[seconds.better], *leads))
    return OrderChange(len(tested), len(changed), reversals)


def _answers(run: RunSummary, unit: EqualUnit, amount: float) -> Values | None:
    """Return the answers of a run to its validation images after an amount; `None` before its first evaluation."""
    used = efficiency.spent(run, unit)
    if used is None or used[0] > amount:
        return None
    place = float(np.interp(amount, used, np.arange(len(used))))
    before = int(place)
    after, weight = min(before + 1, len(used) - 1), place - before
    right = run.images.right_at((before, after))
    answers: Values = (1 - weight) * right[0] + weight * right[1]
    return answers


_Cell = tuple[EqualBudget, int]
_COLUMNS: Sequence[Columns[_Cell]] = (
    column("architecture", str, lambda item: item[0].architectures[item[1]].name),
    column("unit", str, lambda item: item[0].unit),
    column("amount", float, lambda item: item[0].amount),
    column("num_seeds", int, lambda item: len(item[0].architectures[item[1]].runs)),
    estimate("validation_accuracy", lambda item: item[0].accuracy(item[1])),
)


@table(lambda: _COLUMNS)
def equal_budget_table(summary: CohortSummary, views: Sequence[EqualBudget] | None = None) -> Iterable[_Cell]:
    """Return two rows for each finished architecture: validation accuracy at equal steps and at equal time."""
    known = equal_budgets(summary) if views is None else views
    return [(view, index) for index in range(len(summary.finished)) for view in known]
