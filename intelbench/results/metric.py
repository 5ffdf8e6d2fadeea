"""What a metric is: a value of a run, with everything that tables, claims and gates say about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from intelbench.records.profiles import ArchitectureProfile
from intelbench.results.runs import RunSummary, Split
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics import inference
from intelbench.statistics.estimates import Estimate, mean_interval
from intelbench.statistics.inference import PairedDifference

Unit = Literal["parameters", "mebibytes", "flops", "bytes", "joules", "share", "nats", "number", "seconds", "steps"]
Comparison = Literal["exact", "images", "ratio", "difference", "confusion"]
Change = Literal["points", "difference", "ratio"]
Place = Literal["main", "export", "runs", "diff"]
OfLogits = Callable[[NDArray[np.float64], NDArray[np.int64]], "NDArray[np.generic] | float"]
OverRuns = Callable[["Metric", ArchitectureSummary], Estimate | None]


def mean_over_runs(metric: "Metric", architecture: ArchitectureSummary) -> Estimate | None:
    """Return the mean over the finished seeds with its Student interval."""
    return mean_interval(metric.values(architecture), *metric.limits)


def mean_over_images(metric: "Metric", architecture: ArchitectureSummary) -> Estimate | None:
    """Return the mean over the finished seeds and the test images with its interval over both."""
    tables = [metric.per_image(run) for run in architecture.runs] if metric.per_image else []
    known = [table for table in tables if table is not None]
    if not architecture.same_images or len(known) < len(tables):
        return None
    inferred = inference.infer(np.array(known), *metric.limits)
    return inferred.estimate if inferred else None


def first_run(metric: "Metric", architecture: ArchitectureSummary) -> Estimate | None:
    """Return the value of the first run, for a metric that does not vary between seeds."""
    value = metric.value(architecture.runs[0]) if architecture.runs else None
    return None if value is None else Estimate(value, None, None, len(architecture.runs))


def largest_run(metric: "Metric", architecture: ArchitectureSummary) -> Estimate | None:
    """Return the largest value of the runs."""
    values = metric.values(architecture)
    return Estimate(max(values), None, None, len(values)) if values else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Metric:
    """A value of a run, and everything that tables, claims and gates say about it."""

    name: str
    """Its name in claims, gates, JSON and CSV."""
    heading: str
    """Heading of a column, with the unit of the numbers in it unless they have one themselves."""
    unit: Unit
    """Unit of the values: of claims, gates, JSON and CSV."""
    definition: str
    """What is measured, as a phrase."""
    better: Literal["higher", "lower"] | None = None
    """`None` where neither is; such a metric is no gate."""
    compared: Comparison = "difference"
    """How two architectures, or two folders, are compared: `exact` by arithmetic; `images` paired by seed and test
    image; `ratio` and `difference` paired by seed. `confusion` compares pairs of classes within one architecture."""
    value: Callable[[RunSummary], float | None] = lambda _: None
    """Value of a run."""
    per_image: Callable[[RunSummary], NDArray[np.generic] | None] | None = None
    """Values of the N test images of a run, whose mean is the value of the run."""
    of_logits: OfLogits | None = None
    """Function of a plug-in that computes the value from logits (N x C) and labels (N) of the test images."""
    at_accuracy: Callable[[RunSummary, float], float] | None = None
    """Value of a run for the validation accuracy that a claim names; infinite where the run did not reach it."""
    of_profile: Callable[[ArchitectureProfile], float | None] | None = None
    """Value of a network as it is defined, which needs no finished run."""
    profile_field: str = ""
    """Key under which a profile says why that value is absent."""
    over_runs: OverRuns = mean_over_runs
    """How the runs of an architecture are summed up."""
    interval: bool = True
    """Whether the summed up value has an interval, and JSON and CSV columns for its ends."""
    bounds: tuple[float, float] | None = None
    """Smallest and largest possible value; `None` for those of the unit."""
    scale: float = 1.0
    """Number in a column headed `heading` for a value of 1."""
    places: tuple[Place, ...] = ()
    """Tables that have it: the main table of the report, its rows in JSON and CSV (`export`), the rows of runs in JSON,
    and `intelbench diff`."""
    is_shown: Callable[[CohortSummary], bool] = lambda _: True
    """Whether the main table of a cohort needs the column."""
    split: Split | None = None
    """The images over which it is a mean, where the heading of the main table says how many they are."""
    note: str = ""
    """What the report says below a table about the column; with `{warmup_steps}`, `{batch_sizes}`, `{memory}` and
    `{trained}` for what differs between cohorts."""

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest possible value."""
        return self.bounds or ((0, 1) if self.unit == "share" else (0, np.inf))

    @property
    def change(self) -> Change:
        """Whether two values are compared by the difference of two shares, by another difference, or by their ratio."""
        if self.compared == "ratio":
            return "ratio"
        return "points" if self.unit == "share" else "difference"

    @property
    def can_gate(self) -> bool:
        """Whether `intelbench diff` can compare it and say which of two values is worse."""
        measured = self.compared in ("images", "ratio", "difference") and self.at_accuracy is None
        return measured and self.better is not None

    def values(self, architecture: ArchitectureSummary) -> list[float]:
        """Return the values of the finished runs, without those that do not have it."""
        return [value for run in architecture.runs if (value := self.value(run)) is not None]

    def of(self, architecture: ArchitectureSummary) -> Estimate | None:
        """Return the value of an architecture over its finished runs."""
        return self.over_runs(self, architecture)


def differences(metric: Metric, summary: CohortSummary) -> Sequence[PairedDifference]:
    """Compare every pair of architectures by a metric that has a value of each test image.

    Paired by seed and image, on the seeds that all have finished, as the ranks are. Empty where nothing may be ranked,
    or where a run does not have the metric.
    """
    if metric.of_logits is None:
        return summary.differences if metric.per_image else ()
    seeds = set(summary.cohort.common_seeds)
    runs = [[run for run in architecture.runs if run.seed in seeds] for architecture in summary.finished]
    tables = [[metric.per_image(run) if metric.per_image else None for run in each] for each in runs]
    if not summary.correct.size or any(table is None for each in tables for table in each):
        return ()
    low, high = metric.limits
    return inference.paired_differences(
        np.array(tables, dtype=np.float64), limit=high - low, higher_is_better=metric.better == "higher"
    )
