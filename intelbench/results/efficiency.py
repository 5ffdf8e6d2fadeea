"""Accuracy for what it costs, from the same runs: curves by budget, time to an accuracy, Pareto fronts, crossings.

Shapes: A architectures, n seeds, P evaluation points, R resamples.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from intelbench.results.columns import Row, estimate_columns
from intelbench.results.metrics import METRICS
from intelbench.results.reaching import spent_until
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics.estimates import Estimate, finite
from intelbench.statistics.inference import holm, infer_from_seeds
from intelbench.statistics.posterior import draw_cost

Unit = Literal["steps", "images", "seconds", "flops"]
Values = NDArray[np.float64]

UNITS: tuple[Unit, ...] = ("steps", "images", "seconds", "flops")
COMPARED_UNITS: tuple[Unit, ...] = ("seconds", "steps", "flops")
"""Without images, which are steps times one batch size: what holds by step holds by image."""
_OVER_RUNS: Mapping[str, Callable[[Values], np.floating]] = {"": np.median, "_least": np.min, "_most": np.max}
"""What is said of the runs of an architecture, by the end of the name of its column."""
_MIN_DISTANCE = 0.02
"""Evaluation points nearer than this share of the range that two architectures have in common are tested as one."""


@dataclass(frozen=True)
class Curve:
    """Validation accuracy of an architecture's runs by the budget that they have spent."""

    spent: Values
    """Mean over the runs, at the P evaluation points that all runs reached."""
    accuracy: Values
    """Runs x P."""
    by_run: Sequence[tuple[Values, Values]]
    """Spent budget and accuracy of each run, at all of its evaluation points."""

    def at(self, points: Values) -> Values:
        """Return the accuracy of each run at K points, on straight lines between evaluation points (runs x K)."""
        return np.array([np.interp(points, used, accuracy) for used, accuracy in self.by_run])

    def bend(self, points: Values) -> Values:
        """Return how far the accuracy of each run at K points may be from its straight line (runs x K).

        It is that of a parabola that levels off at the next evaluation point, and 0 at an evaluation point.
        """
        bends = []
        for used, accuracy in self.by_run:
            place = np.interp(points, used, np.arange(len(used)))
            share, steps = place % 1, np.append(np.abs(np.diff(accuracy)), 0.0)
            bends.append(share * (1 - share) * steps[place.astype(np.int64)])
        return np.array(bends)


@dataclass(frozen=True)
class Lead:
    """The difference of two architectures at an evaluation point."""

    spent: float
    difference: Estimate
    """Difference of validation accuracy, paired by seed; the interval is not corrected."""
    p_holm: float


@dataclass(frozen=True)
class Crossing:
    """A budget at which the lead changes from one architecture to another; both leads are distinguishable."""

    first: str
    """The architecture that is ahead before."""
    second: str
    """The architecture that is ahead after."""
    spent: float
    """Where the mean curves cross, for the last time before `after`."""
    before: Lead
    after: Lead


@dataclass(frozen=True)
class Crossings:
    """All pairs of architectures compared by one unit."""

    unit: Unit
    num_pairs: int
    """Pairs that have a range of the unit in common."""
    num_crossed: int
    """Pairs whose mean curves cross, distinguishable or not."""
    distinguishable: tuple[Crossing, ...]


@dataclass(frozen=True)
class _Pair:
    """Two architectures at the same P points."""

    first: str
    second: str
    spent: Values
    differences: Values
    """Validation accuracy of the first minus that of the second, n x P."""
    level: float
    """Significance level."""
    bend: Values
    """How far the differences may be from the truth, which is not known between evaluation points, n x P."""

    @property
    def mean(self) -> Values:
        means: Values = self.differences.mean(axis=0)
        return means


def spent(run: RunSummary, unit: Unit) -> Values | None:
    """Return the budget that a run had spent at each evaluation point; `None` where its FLOPs are not known."""
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
    """Return the curve of runs at the evaluation points that all reached, counted from the end; `None` without any."""
    length = min((len(run.evaluation_accuracy) for run in runs), default=0)
    by_run = [(values, run.evaluation_accuracy) for run in runs if (values := spent(run, unit)) is not None]
    if not length or len(by_run) < len(runs):
        return None
    mean_spent = np.mean([used[-length:] for used, _ in by_run], axis=0)
    return Curve(mean_spent, np.array([accuracy[-length:] for _, accuracy in by_run]), by_run)


def ladder(num_classes: int, step: int = 10) -> list[float]:
    """Return the accuracies to reach, chosen without the results: 10 %, 20 % ... 90 %, those that are above chance."""
    return [percent / 100 for percent in range(step, 100, step) if percent * num_classes > 100]


def time_to_accuracy(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each accuracy that some run reached and each architecture, failed ones included.

    Median, minimum and maximum are over all runs. A run that missed the accuracy, or failed, counts as infinite; an
    infinite value is `None`, as the median is unless more than half of the runs reached the accuracy. For the
    `num_at_first_point` runs that had it at their first evaluation point, what they had spent there is an upper bound;
    `is_bound` says whether a median, minimum or maximum is one for that reason.
    """
    targets = ladder(len(summary.data.class_names))
    for rows in zip(*(_target_rows(architecture, targets) for architecture in summary.architectures), strict=True):
        if any(row["num_reached"] for row in rows):
            yield from rows


def costs(summary: CohortSummary) -> Mapping[str, Sequence[Values | None]]:
    """Return the costs of the finished runs of each architecture (n) by name of the metric.

    A cost that the budget fixes is per image, as are FLOPs under a budget in seconds: of two networks that compute the
    same, the slower one does fewer of them, and is not cheaper. Joules are left out unless all architectures have them:
    the front would be one of counters.
    """
    budgets = summary.cohort.budgets
    unit = budgets[0].unit if len(budgets) == 1 else None
    names = [
        "seconds_per_image" if unit == "seconds" else "training_seconds",
        "training_flops_per_image" if unit in ("flops", "seconds") else "training_flops",
        *(["peak_memory_bytes"] if summary.memory_field is not None else []),
        "joules",
    ]
    metrics = [METRICS.get(name) for name in names]
    by_name: dict[str, Sequence[Values | None]] = {
        metric.name: [_known([metric.value(run) for run in each.runs]) for each in summary.finished]
        for metric in metrics
    }
    return {name: of_all for name, of_all in by_name.items() if name != "joules" or all(v is not None for v in of_all)}


def on_front(cost: Values, accuracy: Values) -> NDArray[np.bool_]:
    """Return which of A architectures are on the Pareto front of cost and accuracy (A x R each), in each of R cases.

    An architecture is not on the front where another costs no more, is no less accurate, and is better in one of them.
    """
    dominated = [
        (((cost < own_cost) & (accuracy >= own_accuracy)) | ((cost <= own_cost) & (accuracy > own_accuracy))).any(
            axis=0
        )
        for own_cost, own_accuracy in zip(cost, accuracy, strict=True)
    ]
    return ~np.array(dominated, dtype=np.bool_).reshape(accuracy.shape)


def pareto(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each kind of cost and finished architecture: cost, ranking metric, whether it is on the front.

    `front_share` is the probability that it is on the front, over draws of metric and cost from their posterior, and
    `front_certain` whether it is there in every draw, because it costs least. There is no row where nothing may be
    ranked, nor for a cost that fewer than two architectures have.
    """
    draws = summary.mean_draws
    if summary.values is None or draws is None:
        return
    metric = METRICS.get(summary.ranking.metric)
    scores = np.array(
        [[summary.ranking.sign * float(summary.values.of(place).mean(dtype=np.float64))] for place in range(len(draws))]
    )
    for name, by_run in costs(summary).items():
        known = {place: of_runs for place, of_runs in enumerate(by_run) if of_runs is not None}
        if len(known) < 2:
            continue
        places = list(known)
        cost = np.array([[of_runs.mean()] for of_runs in known.values()])
        drawn = np.array([draw_cost(of_runs) for of_runs in known.values()])
        columns: dict[str, list[object]] = {
            "on_front": on_front(cost, scores[places])[:, 0].tolist(),
            "front_share": on_front(drawn, draws[places]).mean(axis=1).tolist(),
            "front_certain": [bool((np.delete(drawn, place, 0) > own).all()) for place, own in enumerate(drawn)],
        }
        front = {column: dict(zip(places, of_known, strict=True)) for column, of_known in columns.items()}
        for place, architecture in enumerate(summary.finished):
            yield {
                "cost": name,
                "architecture": architecture.name,
                "value": float(known[place].mean()) if place in known else None,
                **estimate_columns("test_accuracy", architecture.test_accuracy),
                "metric": metric.name,
                **estimate_columns("score", metric.of(architecture)),
                "num_seeds": len(architecture.runs),
                **{column: by_place.get(place) for column, by_place in front.items()},
            }


def crossings(summary: CohortSummary) -> list[Crossings]:
    """Return the crossings of validation accuracy by each unit; none where nothing may be ranked.

    Student's t test, paired by the seeds that both have finished, at every evaluation point of every pair,
    Holm-corrected over all of them: without the correction the chance of a false crossing grows with the pairs and the
    points. The level of a pair is 5 %, or that of the look that its seeds complete. A lead at a point at which one of
    the two was not evaluated counts only as far as it exceeds the bend of the curves.
    """
    if summary.correct is None:
        return []
    compared: list[Crossings] = []
    for unit in COMPARED_UNITS:
        pairs = list(_pairs(summary, unit))
        if not pairs:
            continue
        p_values = [_p_values(pair, 1 / summary.data.num_validation) for pair in pairs]
        by_pair = np.split(holm(np.concatenate(p_values)), np.cumsum([len(values) for values in p_values])[:-1])
        changes = [change for pair, p_holm in zip(pairs, by_pair, strict=True) for change in _changes(pair, p_holm)]
        num_crossed = sum(bool(pair.mean.min() < 0 < pair.mean.max()) for pair in pairs)
        compared.append(Crossings(unit, len(pairs), num_crossed, tuple(changes)))
    return compared


def crossing_table(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each crossing."""
    for compared in crossings(summary):
        for crossing in compared.distinguishable:
            row: Row = {
                "unit": compared.unit,
                "ahead_before": crossing.first,
                "ahead_after": crossing.second,
                "spent": crossing.spent,
                "num_seeds": crossing.before.difference.n,
            }
            for name, lead in (("before", crossing.before), ("after", crossing.after)):
                row[f"{name}_spent"] = lead.spent
                row |= estimate_columns(f"{name}_difference", lead.difference)
                row[f"{name}_p_holm"] = lead.p_holm
            yield row


def _target_rows(architecture: ArchitectureSummary, targets: Sequence[float]) -> list[Row]:
    """Return the row of an architecture for each target."""
    highest = np.array([run.evaluation_accuracy.max(initial=0.0) for run in architecture.runs])
    first = np.array([run.evaluation_accuracy[:1].max(initial=0.0) for run in architecture.runs])
    failed = [np.full(len(targets), np.inf)] * len(architecture.failures)
    rows: list[Row] = [
        {
            "target": target,
            "architecture": architecture.name,
            "num_runs": len(architecture.runs) + len(architecture.failures),
            "num_reached": int(np.count_nonzero(highest >= target)),
            "num_at_first_point": int(np.count_nonzero(first >= target)),
        }
        for target in targets
    ]
    for unit in COMPARED_UNITS:
        used = [(values, run) for run in architecture.runs if (values := spent(run, unit)) is not None]
        reached = [spent_until(values, run.evaluation_accuracy, targets) for values, run in used]
        is_known = len(used) == len(architecture.runs)
        by_target = np.array(reached + failed).T if is_known else [None] * len(targets)
        for row, values, target in zip(rows, by_target, targets, strict=True):
            at_first = np.append(first >= target, np.zeros(len(failed), dtype=np.bool_))
            for end, statistic in _OVER_RUNS.items():
                value = None if values is None else finite(statistic(values))
                row[f"{unit}{end}"] = value
                lowest = 0.0 if values is None else float(statistic(np.where(at_first, 0.0, values)))
                row[f"{unit}{end}_is_bound"] = value is not None and value > lowest
    return rows


def _known(values: Sequence[float | None]) -> Values | None:
    """Return values as an array; `None` if one of them is."""
    known = [value for value in values if value is not None]
    return np.array(known) if known and len(known) == len(values) else None


def _pairs(summary: CohortSummary, unit: Unit) -> Iterator[_Pair]:
    """Yield the pairs of architectures whose runs on two or more seeds in common all cover a range of the unit."""
    for first, second in combinations(summary.finished, 2):
        seeds = first.seeds & second.seeds
        ours, theirs = (curve([run for run in a.runs if run.seed in seeds], unit) for a in (first, second))
        if len(seeds) < 2 or ours is None or theirs is None:
            continue
        points = _common_points(ours, theirs)
        if len(points) > 1:
            bend = ours.bend(points) + theirs.bend(points)
            level = summary.level_on([first.name, second.name], seeds)
            yield _Pair(first.name, second.name, points, ours.at(points) - theirs.at(points), level, bend)


def _common_points(ours: Curve, theirs: Curve) -> Values:
    """Return the two ends of the range that every run covers, and the evaluation points of both curves between them."""
    used = [values for values, _ in (*ours.by_run, *theirs.by_run)]
    low, high = float(max(values[0] for values in used)), float(min(values[-1] for values in used))
    kept: list[float] = []
    for point in np.unique(np.clip(np.concatenate([ours.spent, theirs.spent]), low, high)).tolist():
        if low < high and (not kept or point - kept[-1] >= _MIN_DISTANCE * (high - low)):
            kept.append(point)
    return np.array(kept)


def _p_values(pair: _Pair, resolution: float) -> Values:
    """Return two-sided p values of Student's t, paired by seed, of a lead that exceeds the bend at P points.

    The standard deviation counts as at least the accuracy of one image: less, between few seeds, is rounding.
    """
    leads = np.sign(pair.mean) * pair.differences - pair.bend
    error = np.maximum(leads.std(axis=0, ddof=1), resolution) / np.sqrt(len(leads))
    p_values: Values = 2 * stdtr(len(leads) - 1, -leads.mean(axis=0).clip(min=0) / error)
    return p_values


def _changes(pair: _Pair, p_holm: Values) -> Iterator[Crossing]:
    """Yield the crossings between successive distinguishable leads of different architectures."""
    leader = np.where(p_holm <= pair.level, np.sign(pair.mean), 0)
    for before, after in pairwise(np.flatnonzero(leader).tolist()):
        if leader[before] == leader[after]:
            continue
        gain = leader[after] * pair.mean
        last = max(point for point in range(before, after) if gain[point] <= 0)
        names = (pair.first, pair.second) if leader[before] > 0 else (pair.second, pair.first)
        leads = []
        for point in (before, after):
            inferred = infer_from_seeds(leader[point] * pair.differences[:, point])
            assert inferred is not None
            leads.append(Lead(float(pair.spent[point]), inferred.estimate, float(p_holm[point])))
        zero = np.interp(0.0, gain[last : last + 2], pair.spent[last : last + 2])
        yield Crossing(*names, float(zero), *leads)
