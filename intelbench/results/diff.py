"""The diff of two results folders by architecture: two versions of a recipe, of a library, or two machines."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from intelbench.errors import UserError, few, plural, shortened
from intelbench.records.store import runs_folder
from intelbench.results import cohorts
from intelbench.results.columns import Columns, column, estimate, fields, table
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS, metrics_in, one_of_metrics
from intelbench.results.runs import RunSummary
from intelbench.results.study import Study, read
from intelbench.results.summaries import CohortSummary, same_images
from intelbench.statistics import inference
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate
from intelbench.statistics.inference import Inferred

_MAX_KEYS = 4
"""Keys of a record that a line names."""
Outcome = Literal["passed", "failed", "undecided"]
Run = tuple[str, str]
"""Name of a run, and when it was started."""


@dataclass(frozen=True)
class Gate:
    """A metric that must not get worse by more than a margin."""

    metric: str
    margin: float
    """Difference in the metric's unit; for a ratio 0.05 is five per cent."""

    @classmethod
    def parse(cls, text: str) -> "Gate":
        """Return the gate that is written `METRIC:MARGIN`, as `test_accuracy:0.01` or `step_seconds:0.05`.

        Raises:
            ValueError: the text is not of this form, or the metric is not known.
        """
        name, _, margin = text.partition(":")
        entry = METRICS.find(name)
        if entry is None or not entry.value.can_gate:
            accepted = {metric.name: metric for metric in gate_metrics()}
            known = one_of_metrics(name, accepted, [metric.name for metric in metrics_in("diff")])
            problem = "no metric" if entry is None else "no direction is worse for metric"
            raise ValueError(
                f"{problem} {shortened(repr(name))}. {known}, or another of docs/claims.md, with a margin, as in "
                "test_accuracy:0.01"
            )
        try:
            value = float(margin)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise ValueError(
                f"the margin {shortened(repr(margin))} is not accepted. Expected a number of at least 0. "
                f"Try {name}:0.01"
            )
        if entry.value.change == "points" and value >= 1:
            raise ValueError(
                f"the margin {shortened(repr(margin))} is not accepted. Expected a fraction below 1, since the metric "
                f"is a share; is it in percent? Try {name}:{value / 100:g}"
            )
        return cls(name, value)


@dataclass(frozen=True)
class Change:
    """One metric of one architecture, in both folders."""

    architecture: str
    metric: str
    before: Estimate
    after: Estimate
    inferred: Inferred
    """After minus before, or after over before, on the seeds in common."""

    @property
    def distinguishable(self) -> bool:
        """Return whether the metric changed beyond the noise, without a correction for other changes."""
        return self.inferred.p_value is not None and self.inferred.p_value <= SIGNIFICANCE

    @property
    def better(self) -> bool:
        """Return whether the metric changed in the better direction, distinguishable or not."""
        metric = METRICS.get(self.metric)
        neutral = 1 if metric.change == "ratio" else 0
        return (self.inferred.estimate.mean > neutral) == (metric.better == "higher")

    def p_worse(self, margin: float) -> float | None:
        """Return the one-sided p value of "worse by at most the margin"; `None` below two seeds in common."""
        max_change = float(np.log1p(margin)) if METRICS.get(self.metric).change == "ratio" else margin
        return self.inferred.p_above(self._loss, max_change)

    @property
    def worst(self) -> float | None:
        """Return by how much the metric is worse at most, as a one-sided 95 % bound; `None` below two seeds in common.

        A negative bound means that the metric is better by at least that much.
        """
        bound = self.inferred.bound_above(self._loss)
        return float(np.expm1(bound)) if bound is not None and METRICS.get(self.metric).change == "ratio" else bound

    @property
    def _loss(self) -> float:
        """Return by how much the metric is worse: a difference, or the logarithm of a ratio."""
        return self.inferred.location * (-1 if METRICS.get(self.metric).better == "higher" else 1)


@dataclass(frozen=True)
class Comparison:
    """The differences between two results folders."""

    before: CohortSummary
    after: CohortSummary
    seeds: Mapping[str, tuple[int, ...]]
    """Seeds that are compared, by architecture."""
    changes: tuple[Change, ...]
    differing: Mapping[str, list[object]]
    """Key of the record -> its values before and after, where they differ."""
    copied: tuple[str, ...]
    """Architectures whose compared runs are the same runs in both folders, so that their change is 0 by definition."""
    not_compared: tuple[str, ...]
    """Architectures with runs in both folders that are not compared."""
    left_out: tuple[str, ...]
    """Runs that could not be compared, and why."""

    @property
    def num_same_runs(self) -> int:
        """Return how many compared runs are the same run in both folders."""
        return sum(len(self.seeds[name]) for name in self.copied)


@dataclass(frozen=True)
class Verdict:
    """A gate applied to one architecture."""

    change: Change
    gate: Gate
    p_holm: float
    """P value of "worse by at most the margin", after Holm's correction over all gates and architectures."""

    @property
    def outcome(self) -> Outcome:
        """Return what the runs show: worse by more than the margin, not worse by more than the margin, or neither.

        A gate passes by a test of non-inferiority at 5 %: the bound of the change lies within the margin.
        """
        if self.p_holm <= SIGNIFICANCE:
            return "failed"
        worst = self.change.worst
        return "passed" if worst is not None and worst <= self.gate.margin else "undecided"


def gate_metrics() -> list[Metric]:
    """Return the metrics that a gate can name."""
    return [entry.value for entry in METRICS.entries.values() if entry.value.can_gate]


def compare(before: Path, after: Path, gates: Sequence[Gate] = ()) -> Comparison:
    """Return the diff of a group of runs in each folder, by the metrics of the diff and those of the gates.

    The two groups are those with the most runs in common, by architecture and seed. Of several such groups the larger
    ones are compared. Runs that are in both folders are compared only where there are no others.

    Raises:
        UserError: a folder has no readable record, or the two have no architecture with a common seed.
    """
    gated = {gate.metric for gate in gates}
    studies = [(folder, read(runs_folder(folder), asked=gated)) for folder in (before, after)]
    left_out = [problem for folder, study in studies for problem in (*study.problems, *_other_runs(folder, study))]
    cohorts_before, cohorts_after = (study.cohorts for _, study in studies)
    copied = _runs_of(cohorts_before) & _runs_of(cohorts_after)
    first, second = max(
        itertools.product(cohorts_before, cohorts_after), key=lambda pair: _num_in_common(pair[0], pair[1], copied)
    )
    earlier, later = _by_name_and_seed(first), _by_name_and_seed(second)
    in_both = {name: tuple(sorted(earlier[name].keys() & later[name].keys())) for name in earlier if name in later}
    separate = {
        name: tuple(seed for seed in seeds if _identity(earlier[name][seed]) != _identity(later[name][seed]))
        for name, seeds in in_both.items()
    }
    seeds = {name: separate[name] or in_both[name] for name in in_both}
    metrics = [metric for metric in gate_metrics() if "diff" in metric.tables or metric.name in gated]
    changes: list[Change] = []
    pairs = {
        name: [(earlier[name][seed], later[name][seed]) for seed in in_common] for name, in_common in seeds.items()
    }
    for name, of_name in pairs.items():
        changes += _changes(name, of_name, metrics)
    left_out += _on_other_images(metrics, next(filter(None, pairs.values()), []))
    left_out += [f"{name}: no seed in common" for name, in_common in seeds.items() if not in_common]
    left_out += [
        f"{name}: {plural(num_copied, 'other run')}, the same in both folders"
        for name in seeds
        if (num_copied := len(in_both[name]) - len(seeds[name]))
    ]
    left_out += _more_seeds([study for _, study in studies], in_both)
    have_finished = {folder: _have_finished(study) for folder, study in studies}
    known = sorted({name for of_folder in have_finished.values() for name in of_folder})
    left_out += [f"{name}: {_why_not(name, have_finished)}" for name in known if name not in seeds]
    in_folders = set.intersection(*(set(of_folder) for of_folder in have_finished.values()))
    not_compared = sorted(in_folders - {name for name in seeds if seeds[name]})
    if not changes:
        raise UserError(
            f"{before} and {after}: nothing to compare, no architecture has a finished run of the same seed in both; "
            "run the same architectures and seeds in both"
        )
    differing = cohorts.differing_keys([first.cohort, second.cohort])
    copies = tuple(name for name in seeds if seeds[name] and not separate[name])
    return Comparison(first, second, seeds, tuple(changes), differing, copies, tuple(not_compared), tuple(left_out))


def _other_runs(folder: Path, study: Study) -> Iterator[str]:
    """Say how many groups and failed runs a folder has of which at least some are not compared."""
    if len(study.cohorts) > 1:
        keys = cohorts.differing_keys([summary.cohort for summary in study.cohorts])
        others = plural(len(study.cohorts) - 1, "other group")
        yield f"{folder}: {others} of runs; groups differ in {few(list(keys), _MAX_KEYS)}"
    if num_failed := sum(len(summary.cohort.failed) for summary in study.cohorts):
        yield f"{folder}: {plural(num_failed, 'failed run')}"


def _more_seeds(studies: Sequence[Study], in_both: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Say which architectures have more seeds in both folders than the groups that are compared have in common.

    Only one group of each folder is compared: the diff is of times and memory too, which belong to one execution.
    """
    for name, seeds in in_both.items():
        finished = [
            {
                run.seed
                for summary in study.cohorts
                for architecture in summary.finished
                if architecture.name == name
                for run in architecture.runs
            }
            for study in studies
        ]
        if seeds and (more := sorted(set.intersection(*finished) - set(seeds))):
            numbers = few(list(map(str, more)), _MAX_KEYS)
            yield f"{name}: {plural(len(more), 'seed')} ({numbers}) in both, but not in the groups that are compared"


def _have_finished(study: Study) -> dict[str, bool]:
    """Return by the name of each architecture whether it has a finished run, in any group."""
    have_finished: dict[str, bool] = {}
    for summary in study.cohorts:
        for architecture in summary.architectures:
            have_finished[architecture.name] = have_finished.get(architecture.name, False) or bool(architecture.runs)
    return have_finished


def _why_not(name: str, have_finished: Mapping[Path, Mapping[str, bool]]) -> str:
    """Say why an architecture is not compared."""
    has_runs = [folder for folder, of_folder in have_finished.items() if name in of_folder]
    if len(has_runs) < len(have_finished):
        return f"only in {has_runs[0]}"
    failed = [folder for folder in has_runs if not have_finished[folder][name]]
    return f"no finished run in {failed[0]}" if failed else "in both, but not in the groups that are compared"


_COLUMNS: Sequence[Columns[Change]] = (
    fields(str, lambda change: change, "architecture", "metric"),
    column("num_seeds", int, lambda change: change.before.n),
    column("before", float, lambda change: change.before.mean),
    column("after", float, lambda change: change.after.mean),
    estimate("change", lambda change: change.inferred.estimate),
    column("p_value", float, lambda change: change.inferred.p_value),
)


@table(lambda: _COLUMNS)
def changes(comparison: Comparison) -> Sequence[Change]:
    """Return one row for each architecture and metric."""
    return comparison.changes


def judge(comparison: Comparison, gates: Sequence[Gate]) -> list[Verdict]:
    """Return the verdict of every gate on every architecture.

    Raises:
        UserError: a gate cannot be applied.
    """
    if gates and comparison.not_compared:
        raise UserError(
            f"--gate {gates[0].metric}: {few(comparison.not_compared, 3)} cannot be compared, with runs in both "
            "folders: no finished run, no seed in common, or other groups of runs; intelbench diff without --gate says "
            "which. Expected finished runs of every architecture with the same seeds in one group of each folder"
        )
    judged = []
    for gate in gates:
        changes = [change for change in comparison.changes if change.metric == gate.metric]
        if not changes:
            differ = comparison.before.data.digest != comparison.after.data.digest
            why = "they were tested on different images" if differ else "not every run has a value for it"
            raise UserError(f"--gate {gate.metric}: neither folder can be compared by it; {why}")
        for change in changes:
            if change.architecture in comparison.copied:
                raise UserError(
                    f"--gate {gate.metric}: the runs of {change.architecture} are the same runs in both folders, which "
                    "shows nothing. Expected runs that were executed separately. Try intelbench run --rerun all with "
                    "--out for one of the folders"
                )
            p_value = change.p_worse(gate.margin)
            if p_value is None:
                raise UserError(
                    f"--gate {gate.metric}: {change.architecture} has one seed in common, and one seed tells "
                    "nothing of the noise; run at least two seeds in both folders"
                )
            judged.append((change, gate, p_value))
    if not judged:
        return []
    corrected = inference.holm(np.array([p for *_, p in judged])).tolist()
    return [Verdict(change, gate, p) for (change, gate, _), p in zip(judged, corrected, strict=True)]


def _by_name_and_seed(summary: CohortSummary) -> dict[str, dict[int, RunSummary]]:
    return {architecture.name: {run.seed: run for run in architecture.runs} for architecture in summary.finished}


def _runs_of(groups: Iterable[CohortSummary]) -> set[Run]:
    return {_identity(run) for each in groups for architecture in each.finished for run in architecture.runs}


def _identity(run: RunSummary) -> Run:
    return run.record.run_id, run.record.started_at


def _num_in_common(first: CohortSummary, second: CohortSummary, copied: set[Run]) -> tuple[int, int]:
    """Return how many runs of one architecture and seed two groups have, without copies and with them."""
    by_key = [
        {(architecture.name, run.seed): _identity(run) for architecture in each.finished for run in architecture.runs}
        for each in (first, second)
    ]
    common = by_key[0].keys() & by_key[1].keys()
    return sum(not {each[key] for each in by_key} <= copied for key in common), len(common)


def _changes(name: str, pairs: Sequence[tuple[RunSummary, RunSummary]], metrics: Sequence[Metric]) -> list[Change]:
    """Return the change of each metric that all runs of both folders have."""
    changes = []
    for metric in metrics:
        if not pairs or any(metric.value(run) is None for pair in pairs for run in pair):
            continue
        inferred = _infer(metric, pairs)
        before, after = (metric.mean(runs) for runs in zip(*pairs, strict=True))
        if inferred is not None and before is not None and after is not None:
            changes.append(Change(name, metric.name, before, after, inferred))
    return changes


def _on_other_images(metrics: Sequence[Metric], pairs: Sequence[tuple[RunSummary, RunSummary]]) -> Iterator[str]:
    """Name the metrics that are not compared because the two groups were evaluated on different images."""
    of_images = [
        metric.heading
        for metric in metrics
        if metric.per_image
        and pairs
        and not same_images(pairs[0], metric.split)
        and all(metric.value(run) is not None for run in pairs[0])
    ]
    if of_images:
        yield f"{', '.join(of_images)}: of different images in the two folders, so they are not compared"


def _infer(metric: Metric, pairs: Sequence[tuple[RunSummary, RunSummary]]) -> Inferred | None:
    """Return the change of a metric, paired by seed, and by image where the metric has a value of each image."""
    if metric.per_image:
        if not same_images(pairs[0], metric.split):
            return None
        before, after = (metric.table(runs) for runs in zip(*pairs, strict=True))
        if before is None or after is None:
            return None
        may_differ = np.isfinite(metric.limits[1]) and not all(_is_repeated(*pair) for pair in pairs)
        images = inference.Images.of(np.stack([before, after])) if may_differ else None
        return inference.infer(after.astype(np.float64) - before, images=images)
    first, second = np.array([[metric.value(run) for run in pair] for pair in pairs], dtype=np.float64).T
    if metric.change == "ratio":
        return inference.infer_ratio(second, first)
    return inference.infer_from_seeds(second - first)


def _is_repeated(before: RunSummary, after: RunSummary) -> bool:
    """Return whether two runs have trained one network, by their losses, so that it gives the same answers anywhere."""
    same_loss = before.test_cross_entropy == after.test_cross_entropy
    return same_loss and np.array_equal(before.step_loss, after.step_loss)
