"""Two results folders, architecture by architecture: two versions of a recipe, of a library, or two machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intelbench.errors import UserError, one_of, shortened
from intelbench.records.store import runs_folder
from intelbench.results import cohorts
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.runs import RunSummary
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary, same_images
from intelbench.statistics import inference
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate, mean_interval
from intelbench.statistics.inference import Inferred


@dataclass(frozen=True)
class Gate:
    """What must not get worse, and by how much more than nothing it may."""

    metric: str
    margin: float
    """A share of test images or a difference, in the metric's unit; for a ratio 0.05 is five per cent."""

    @classmethod
    def parse(cls, text: str) -> "Gate":
        """Read `METRIC:MARGIN`, as `test_accuracy:0.01` or `step_seconds:0.05`.

        Raises:
            ValueError: it is not of this form, or the metric is not known.
        """
        metric, _, margin = text.partition(":")
        entry = METRICS.find(metric)
        if entry is None or not entry.value.can_gate:
            known = one_of(metric, [each.name for each in metrics_in("diff")])
            problem = "no metric" if entry is None else "no direction is worse for metric"
            raise ValueError(
                f"{problem} {shortened(repr(metric))}. {known}, or another of docs/CLAIMS.md, with a margin, as in "
                "test_accuracy:0.01"
            )
        try:
            value = float(margin)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise ValueError(
                f"the margin {shortened(repr(margin))} is not accepted. Expected a number of at least 0. "
                f"Try {metric}:0.01"
            )
        return cls(metric, value)


@dataclass(frozen=True)
class Change:
    """One metric of one architecture, in both folders."""

    architecture: str
    metric: str
    before: Estimate
    after: Estimate
    inferred: Inferred
    """Of after minus before, or after over before, on the seeds in common."""

    @property
    def distinguishable(self) -> bool:
        """Whether it changed beyond the noise, taken for itself."""
        return self.inferred.p_value is not None and self.inferred.p_value <= SIGNIFICANCE

    @property
    def better(self) -> bool:
        """Whether it changed in the better direction, were it distinguishable."""
        metric = METRICS.get(self.metric)
        neutral = 1 if metric.change == "ratio" else 0
        return (self.inferred.estimate.mean > neutral) == (metric.better == "higher")

    def p_worse(self, margin: float) -> float | None:
        """One-sided p value of "worse by no more than the margin"; `None` below two seeds in common."""
        metric, change = METRICS.get(self.metric), self.inferred.location
        least = float(np.log1p(margin)) if metric.change == "ratio" else margin
        return self.inferred.p_above(-change if metric.better == "higher" else change, least)


@dataclass(frozen=True)
class Comparison:
    """Everything two folders say of each other."""

    before: CohortSummary
    after: CohortSummary
    seeds: Mapping[str, tuple[int, ...]]
    """That both folders have finished, by architecture."""
    changes: tuple[Change, ...]
    differing: Mapping[str, list[object]]
    """Key of the record -> its value before and after, where they differ."""
    left_out: tuple[str, ...]
    """What could not be compared, and why."""


@dataclass(frozen=True)
class Verdict:
    """A gate applied to one architecture."""

    change: Change
    gate: Gate
    p_holm: float
    """That it is worse by no more than the margin; after Holm's correction over all gates and architectures."""

    @property
    def failed(self) -> bool:
        """Whether it is worse by more than the margin, beyond the noise."""
        return self.p_holm <= SIGNIFICANCE


def gate_metrics() -> list[Metric]:
    """Return the metrics that a gate can name."""
    return [entry.value for entry in METRICS.entries.values() if entry.value.can_gate]


def compare(before: Path, after: Path, gates: Sequence[Gate] = ()) -> Comparison:
    """Compare the largest group of runs in each folder by the metrics of the diff and those of the gates.

    Raises:
        UserError: a folder has no readable record, or the two have no architecture with a common seed.
    """
    studies = [read(runs_folder(folder)) for folder in (before, after)]
    first, second = (study.cohorts[0] for study in studies)
    left_out = [
        f"{folder}: {len(study.cohorts) - 1} other groups of runs, under other conditions"
        for folder, study in zip((before, after), studies, strict=True)
        if len(study.cohorts) > 1
    ]
    runs = [_by_name_and_seed(summary) for summary in (first, second)]
    names = [name for name in runs[0] if name in runs[1]]
    seeds = {name: tuple(sorted(runs[0][name].keys() & runs[1][name].keys())) for name in names}
    gated = {gate.metric for gate in gates}
    metrics = [metric for metric in gate_metrics() if "diff" in metric.places or metric.name in gated]
    changes: list[Change] = []
    for name in names:
        pairs = [(runs[0][name][seed], runs[1][name][seed]) for seed in seeds[name]]
        changes += _changes(name, pairs, metrics)
        if not pairs:
            left_out.append(f"{name}: no seed in common")
    for place, other in ((0, 1), (1, 0)):
        left_out += [f"{name}: only in {(before, after)[place]}" for name in runs[place] if name not in runs[other]]
    if not changes:
        raise UserError(
            f"{before} and {after}: nothing to compare, no architecture has a finished run of the same seed in both; "
            "run the same architectures and seeds in both"
        )
    differing = cohorts.differing_keys([first.cohort, second.cohort])
    return Comparison(first, second, seeds, tuple(changes), differing, tuple(left_out))


def judge(comparison: Comparison, gates: Sequence[Gate]) -> list[Verdict]:
    """Apply every gate to every architecture.

    Raises:
        UserError: a gate cannot be applied, so that passing it would mean nothing.
    """
    judged = []
    for gate in gates:
        changes = [change for change in comparison.changes if change.metric == gate.metric]
        if not changes:
            raise UserError(f"--fail-if-worse {gate.metric}: neither folder can be compared by it; {_why(comparison)}")
        for change in changes:
            p_value = change.p_worse(gate.margin)
            if p_value is None:
                raise UserError(
                    f"--fail-if-worse {gate.metric}: {change.architecture} has one seed in common, and one seed tells "
                    "nothing of the noise; run at least two seeds in both folders"
                )
            judged.append((change, gate, p_value))
    if not judged:
        return []
    corrected = inference.holm(np.array([p for *_, p in judged])).tolist()
    return [Verdict(change, gate, p) for (change, gate, _), p in zip(judged, corrected, strict=True)]


def _by_name_and_seed(summary: CohortSummary) -> dict[str, dict[int, RunSummary]]:
    return {architecture.name: {run.seed: run for run in architecture.runs} for architecture in summary.finished}


def _changes(name: str, pairs: Sequence[tuple[RunSummary, RunSummary]], metrics: Sequence[Metric]) -> list[Change]:
    """Return the change of each metric that all runs of both folders have."""
    found = []
    for metric in metrics:
        values = [(metric.value(before), metric.value(after)) for before, after in pairs]
        known = [(before, after) for before, after in values if before is not None and after is not None]
        if not known or len(known) < len(values):
            continue
        first, second = np.array(known, dtype=np.float64).T
        inferred = _infer(metric, first, second, pairs)
        before, after = mean_interval(first, *metric.limits), mean_interval(second, *metric.limits)
        if inferred is not None and before is not None and after is not None:
            found.append(Change(name, metric.name, before, after, inferred))
    return found


def _infer(
    metric: Metric,
    first: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    second: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    pairs: Sequence[tuple[RunSummary, RunSummary]],
) -> Inferred | None:
    """Pair by seed; what is compared by images also by image, and only on the same images."""
    if metric.per_image:
        if not same_images([run for pair in pairs for run in pair]):
            return None
        tables = [[np.asarray(metric.per_image(run), dtype=np.float64) for run in pair] for pair in pairs]
        return inference.infer(np.array([later - earlier for earlier, later in tables]))
    if metric.change == "ratio":
        return inference.infer_ratio(second, first)
    return inference.infer_from_seeds(second - first)


def _why(comparison: Comparison) -> str:
    first, second = comparison.before.data, comparison.after.data
    if first.digest != second.digest:
        return "they were tested on different images"
    return "not every run has a value for it"
