"""Accuracy for what it costs, from the same runs: curves by budget, time to an accuracy, Pareto fronts, crossings.

Shapes: A architectures, n seeds, P evaluation points, R resamples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from intelbench.results.metrics import METRICS
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.results.tables import Row, estimate_columns, frame
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate, finite
from intelbench.statistics.inference import holm, infer, infer_from_seeds
from intelbench.statistics.resampling import resampled_means

Unit = Literal["steps", "images", "seconds", "flops"]
Values = NDArray[np.float64]

UNITS: tuple[Unit, ...] = ("steps", "images", "seconds", "flops")
COMPARED_UNITS: tuple[Unit, ...] = ("seconds", "steps", "flops")
"""Without images, which are steps times one batch size: what holds by step holds by image."""
SAME_POINT = 0.02
"""Evaluation points nearer than this share of the range that two architectures have in common are tested as one."""


@dataclass(frozen=True)
class Curve:
    """Validation accuracy of an architecture's runs while they spend their budget."""

    spent: Values
    """At P evaluation points, mean over the runs."""
    accuracy: Values
    """Runs x P."""


@dataclass(frozen=True)
class Lead:
    """How far one architecture is ahead of another at an evaluation point."""

    spent: float
    difference: Estimate
    """Of validation accuracy, paired by seed; the interval is not corrected."""
    p_holm: float


@dataclass(frozen=True)
class Crossing:
    """A budget at which the lead changes hands; it is distinguishable before and after."""

    first: str
    """Ahead before."""
    second: str
    """Ahead after."""
    spent: float
    """Where the mean curves cross, for the last time before `after`."""
    before: Lead
    after: Lead


@dataclass(frozen=True)
class Crossings:
    """All pairs of architectures compared by one unit."""

    unit: Unit
    num_pairs: int
    """Those that have a range of it in common."""
    num_crossed: int
    """Those whose mean curves cross, distinguishable or not."""
    found: tuple[Crossing, ...]


@dataclass(frozen=True)
class _Course:
    """What each of n runs of one architecture reached, by what it had spent."""

    mean_spent: Values
    """At the evaluation points that all have in common."""
    spent: Sequence[Values]
    """Of each run, as the next."""
    accuracy: Sequence[Values]

    @cached_property
    def start(self) -> float:
        """From where on all runs are known."""
        return max(float(values[0]) for values in self.spent)

    @cached_property
    def end(self) -> float:
        """To where."""
        return min(float(values[-1]) for values in self.spent)

    def at(self, points: Values) -> Values:
        """Validation accuracy at P points, on straight lines between the evaluation points (n x P)."""
        each = zip(self.spent, self.accuracy, strict=True)
        return np.array([np.interp(points, used, accuracy) for used, accuracy in each])


@dataclass(frozen=True)
class _Pair:
    """Two architectures at the same P points."""

    first: str
    second: str
    spent: Values
    differences: Values
    """Validation accuracy of the first minus that of the second, n x P."""

    @property
    def mean(self) -> Values:
        found: Values = self.differences.mean(axis=0)
        return found


def spent(run: RunSummary, unit: Unit) -> Values | None:
    """What a run had used up at each of its evaluation points; `None` where its FLOPs are not known."""
    if unit == "seconds":
        return run.evaluation_seconds
    if unit == "steps":
        return run.evaluation_step
    images = run.evaluation_step * run.record.spec.conditions.recipe.batch_size
    if unit == "images":
        return images
    flops = run.measurements.training_flops_per_image
    return None if flops is None else images * flops


def curve(runs: Sequence[RunSummary], unit: Unit) -> Curve | None:
    """At the evaluation points that all runs reached, counted from the end; `None` without any."""
    length = min((len(run.evaluation_accuracy) for run in runs), default=0)
    used = [values[-length:] for run in runs if (values := spent(run, unit)) is not None]
    if not length or len(used) < len(runs):
        return None
    return Curve(np.mean(used, axis=0), np.array([run.evaluation_accuracy[-length:] for run in runs]))


def ladder(num_classes: int, step: int = 10) -> list[float]:
    """Accuracies to reach, fixed without looking at any result: those of 10 %, 20 % ... 90 % that are above chance."""
    return [percent / 100 for percent in range(step, 100, step) if percent * num_classes > 100]


def spent_until(run: RunSummary, unit: Unit, targets: Sequence[float]) -> Values | None:
    """What a run had used up at its first evaluation point with each accuracy; infinite where it has none."""
    used = spent(run, unit)
    if used is None:
        return None
    reached = np.maximum.accumulate(run.evaluation_accuracy).searchsorted(targets)
    return np.append(used, np.inf)[reached]


def time_to_accuracy(summary: CohortSummary) -> pd.DataFrame:
    """One row for each accuracy that some run reached and each architecture, failed ones included.

    Median, least and most over all runs. A run that missed the accuracy, or failed, counts as infinite; what is
    infinite is `None`, as the median is unless more than half of the runs reached it.
    """
    targets = ladder(len(summary.data.class_names))
    by_target = zip(*(_target_rows(architecture, targets) for architecture in summary.architectures), strict=True)
    return frame([row for rows in by_target if any(row["num_reached"] for row in rows) for row in rows])


def costs(summary: CohortSummary) -> Mapping[str, Sequence[float | None]]:
    """By name, for each finished architecture: mean over the common seeds; what the budget fixes is per image.

    Joules are left out unless all have them: the front would be one of counters.
    """
    budgets = summary.cohort.budgets
    unit = budgets[0].unit if len(budgets) == 1 else None
    names = [
        "seconds_per_image" if unit == "seconds" else "training_seconds",
        "training_flops_per_image" if unit == "flops" else "training_flops",
        *(["peak_memory_bytes"] if summary.memory_field is not None else []),
        "joules",
    ]
    runs = _common_runs(summary)
    found = {name: [_mean([METRICS.get(name).value(run) for run in each]) for each in runs] for name in names}
    return {name: values for name, values in found.items() if name != "joules" or None not in values}


def on_front(cost: Values, accuracy: Values) -> NDArray[np.bool_]:
    """Which of A architectures are on the Pareto front of cost (A) and accuracy (A x R), in each of R cases.

    One is not where another costs no more and is no less accurate, and is better in at least one of the two.
    """
    dominated = [
        (
            ((cost < own_cost)[:, None] & (accuracy >= own_accuracy))
            | ((cost <= own_cost)[:, None] & (accuracy > own_accuracy))
        ).any(axis=0)
        for own_cost, own_accuracy in zip(cost, accuracy, strict=True)
    ]
    return ~np.array(dominated, dtype=np.bool_).reshape(accuracy.shape)


def pareto(summary: CohortSummary) -> pd.DataFrame:
    """One row for each kind of cost and finished architecture: cost, test accuracy, whether it is on the front.

    `front_share` is the share of the bootstrap's resamples of seeds and test images with it on the front, and
    `front_certain` whether it is there in every resample that could be drawn, because it costs least. Nothing where
    nothing may be ranked, nor for a cost that fewer than two architectures have.
    """
    found: list[Row] = []
    if not summary.correct.size:
        return frame(found)
    accuracy, resampled = summary.correct.mean(axis=(1, 2))[:, None], resampled_means(summary.correct)
    inferred = [infer(table, 0, 1) for table in summary.correct]
    for name, values in costs(summary).items():
        known = [place for place, value in enumerate(values) if value is not None]
        if len(known) < 2:
            continue
        cost = np.array([values[place] for place in known], dtype=np.float64)
        front = dict(zip(known, on_front(cost, accuracy[known])[:, 0].tolist(), strict=True))
        lowest_alone = (cost[:, None] > cost).sum(axis=0) == len(cost) - 1
        certain = dict(zip(known, lowest_alone.tolist(), strict=True))
        shares = dict(zip(known, on_front(cost, resampled[known]).mean(axis=1).tolist(), strict=True))
        found += [
            {
                "cost": name,
                "architecture": architecture.name,
                "value": values[place],
                **estimate_columns("test_accuracy", each.estimate if each else None),
                "num_seeds": summary.correct.shape[1],
                "on_front": front.get(place),
                "front_share": shares.get(place),
                "front_certain": certain.get(place),
            }
            for place, (architecture, each) in enumerate(zip(summary.finished, inferred, strict=True))
        ]
    return frame(found)


def crossings(summary: CohortSummary) -> list[Crossings]:
    """Where the lead in validation accuracy changes hands, by each unit; nothing where nothing may be ranked.

    Student's t test, paired by seed, at every evaluation point of every pair, Holm-corrected over all of them: without
    the correction the chance of a crossing that is none grows with the pairs and the points.
    """
    if not summary.correct.size or summary.correct.shape[1] < 2:
        return []
    found: list[Crossings] = []
    for unit in COMPARED_UNITS:
        pairs = list(_pairs(summary, unit))
        if not pairs:
            continue
        p_values = [_p_values(pair.differences, 1 / summary.data.num_validation) for pair in pairs]
        by_pair = np.split(holm(np.concatenate(p_values)), np.cumsum([len(each) for each in p_values])[:-1])
        changes = [change for pair, p_holm in zip(pairs, by_pair, strict=True) for change in _changes(pair, p_holm)]
        num_crossed = sum(bool(pair.mean.min() < 0 < pair.mean.max()) for pair in pairs)
        found.append(Crossings(unit, len(pairs), num_crossed, tuple(changes)))
    return found


def crossing_table(summary: CohortSummary) -> pd.DataFrame:
    """One row for each crossing."""
    return frame(
        [
            {
                "unit": compared.unit,
                "ahead_before": crossing.first,
                "ahead_after": crossing.second,
                "spent": crossing.spent,
                "num_seeds": crossing.before.difference.n,
                **_lead_columns("before", crossing.before),
                **_lead_columns("after", crossing.after),
            }
            for compared in crossings(summary)
            for crossing in compared.found
        ]
    )


def _lead_columns(name: str, lead: Lead) -> Row:
    columns = estimate_columns(f"{name}_difference", lead.difference)
    return {f"{name}_spent": lead.spent, **columns, f"{name}_p_holm": lead.p_holm}


def _target_rows(architecture: ArchitectureSummary, targets: Sequence[float]) -> list[Row]:
    """By target."""
    highest = np.array([run.evaluation_accuracy.max(initial=0.0) for run in architecture.runs])
    failed = [np.full(len(targets), np.inf)] * len(architecture.failures)
    rows: list[Row] = [
        {
            "target": target,
            "architecture": architecture.name,
            "num_runs": len(architecture.runs) + len(architecture.failures),
            "num_reached": int(np.count_nonzero(highest >= target)),
        }
        for target in targets
    ]
    for unit in COMPARED_UNITS:
        used = [spent_until(run, unit, targets) for run in architecture.runs] + failed
        known = [values for values in used if values is not None]
        by_target = np.array(known).T if len(known) == len(used) else [None] * len(targets)
        for row, values in zip(rows, by_target, strict=True):
            row[unit] = None if values is None else finite(np.median(values))
            row[f"{unit}_least"] = None if values is None else finite(values.min())
            row[f"{unit}_most"] = None if values is None else finite(values.max())
    return rows


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _common_runs(summary: CohortSummary) -> list[list[RunSummary]]:
    """Of each finished architecture, by seed: its runs on the seeds that all have finished."""
    seeds = set(summary.cohort.common_seeds)
    return [[run for run in architecture.runs if run.seed in seeds] for architecture in summary.finished]


def _pairs(summary: CohortSummary, unit: Unit) -> Iterator[_Pair]:
    """Architectures whose runs on the common seeds all cover a range of the unit."""
    names = [architecture.name for architecture in summary.finished]
    courses = [_course(runs, unit) for runs in _common_runs(summary)]
    for (first, ours), (second, theirs) in combinations(zip(names, courses, strict=True), 2):
        if ours is None or theirs is None:
            continue
        points = _common_points(ours, theirs)
        if len(points) > 1:
            yield _Pair(first, second, points, ours.at(points) - theirs.at(points))


def _course(runs: Sequence[RunSummary], unit: Unit) -> _Course | None:
    """What runs of one architecture reached, by what they had spent; `None` where that is not known."""
    mean, used = curve(runs, unit), [spent(run, unit) for run in runs]
    known = [values for values in used if values is not None]
    return None if mean is None else _Course(mean.spent, known, [run.evaluation_accuracy for run in runs])


def _common_points(ours: _Course, theirs: _Course) -> Values:
    """The range that every run covers: its two ends, and the evaluation points of both architectures inside."""
    low, high = max(ours.start, theirs.start), min(ours.end, theirs.end)
    kept: list[float] = []
    for point in np.unique(np.clip(np.concatenate([ours.mean_spent, theirs.mean_spent]), low, high)).tolist():
        if low < high and (not kept or point - kept[-1] >= SAME_POINT * (high - low)):
            kept.append(point)
    return np.array(kept)


def _p_values(differences: Values, resolution: float) -> Values:
    """Two-sided p values of Student's t, paired by seed (n x P -> P).

    The standard deviation counts as at least the accuracy of one image: less, between few seeds, is rounding.
    """
    num_seeds = len(differences)
    error = np.maximum(differences.std(axis=0, ddof=1), resolution) / np.sqrt(num_seeds)
    p_values: Values = 2 * stdtr(num_seeds - 1, -np.abs(differences.mean(axis=0)) / error)
    return p_values


def _changes(pair: _Pair, p_holm: Values) -> Iterator[Crossing]:
    """Between one distinguishable lead and the next, where they have different leaders."""
    leader = np.where(p_holm <= SIGNIFICANCE, np.sign(pair.mean), 0)
    for before, after in pairwise(np.flatnonzero(leader).tolist()):
        if leader[before] == leader[after]:
            continue
        gain = leader[after] * pair.mean
        last = max(place for place in range(before, after) if gain[place] <= 0)
        names = (pair.first, pair.second) if leader[before] > 0 else (pair.second, pair.first)
        leads = []
        for place in (before, after):
            inferred = infer_from_seeds(leader[place] * pair.differences[:, place])
            assert inferred is not None
            leads.append(Lead(float(pair.spent[place]), inferred.estimate, float(p_holm[place])))
        zero = np.interp(0.0, gain[last : last + 2], pair.spent[last : last + 2])
        yield Crossing(*names, float(zero), *leads)
