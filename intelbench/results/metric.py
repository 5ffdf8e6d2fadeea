"""A metric: a value of a run, with everything that tables, claims and gates say about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from intelbench.records.profiles import ArchitectureProfile
from intelbench.results.ranking import Ranking
from intelbench.results.runs import RunSummary, Split
from intelbench.results.summaries import ArchitectureSummary, CohortSummary, same_images
from intelbench.statistics import estimates, inference
from intelbench.statistics.comparisons import PairedDifference, Scale, paired_differences
from intelbench.statistics.estimates import Estimate, mean_interval, positive_mean_interval
from intelbench.statistics.scores import Floats, Labels
from intelbench.statistics.seed_table import SeedTable
from intelbench.statistics.shares import infer_share, share_estimate

Unit = Literal["parameters", "mebibytes", "flops", "bytes", "joules", "share", "nats", "number", "seconds", "steps"]
Comparison = Literal["exact", "images", "ratio", "difference", "confusion"]
Change = Literal["points", "difference", "ratio"]
Table = Literal["main", "export", "runs", "diff"]
OfLogits = Callable[[NDArray[np.float64], NDArray[np.int64]], "NDArray[np.generic] | float"]
OverRuns = Callable[["Metric", ArchitectureSummary], Estimate | None]


def mean(metric: "Metric", architecture: ArchitectureSummary) -> Estimate | None:
    """Return the mean over the finished runs that have the metric.

    Its interval is over the seeds and the images where the metric has a value of each image, else over the seeds.
    """
    return metric.mean([run for run in architecture.runs if metric.value(run) is not None])


def of_logits(name: str) -> Callable[[RunSummary], float | None]:
    """Return a function that returns the mean value of a metric that was computed from the logits of a run."""
    return lambda run: float(run.of_logits[name].mean()) if name in run.of_logits else None


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
    """Name in claims, gates, JSON and CSV."""
    alias: str = ""
    """Short name in `metric` of a suite and `--metric`; empty for `name`."""
    synonyms: tuple[str, ...] = ()
    """Other names that people and libraries have for it; an error message answers them with its name."""
    heading: str
    """Heading of a column, with the unit of its numbers unless they are written with a unit."""
    phrase: str = ""
    """Name in sentences; empty for `heading` in lower case, without its unit."""
    unit: Unit
    """Unit of the values in claims, gates, JSON and CSV."""
    definition: str
    """Definition, as a phrase."""
    better: Literal["higher", "lower"] | None = None
    """The better direction; `None` where neither is, and the metric is no gate."""
    compared: Comparison = "difference"
    """Comparison of two architectures, or of two folders: `exact` by arithmetic; `images` paired by seed and image;
    `ratio` and `difference` paired by seed. `confusion` compares pairs of classes within one architecture."""
    per_image: Callable[[RunSummary], NDArray[np.generic] | None] | None = None
    """Values of the images of `split`, in a run; their mean is the value of the run."""
    of_run: Callable[[RunSummary], float | None] | None = None
    """Value of a run; `None` for the mean of `per_image`, which may have values in lower precision."""
    ranks: bool = False
    """Whether architectures can be ranked by it; it then has a value of each test image."""
    min_classes: int = 0
    """Least number of classes for which it is defined."""
    baseline: Callable[[Labels], Floats | NDArray[np.bool_] | None] | None = None
    """Values of N labelled images by answering how frequent classes are, and nothing else; `None` where not known."""
    num_independent: Callable[[RunSummary], float] | None = None
    """Number of independent images that tell as much as those of a run, for the interval of a share without errors."""
    on_demand: Callable[[NDArray[np.float64], NDArray[np.int64]], Floats | None] | None = None
    """Function of logits (N x C) and labels (N) that returns the value of each image; `None` where the metric is not
    defined. It takes long, so it is called only where the metric is asked for."""
    of_logits: OfLogits | None = None
    """Function of a plug-in that computes the value from logits (N x C) and labels (N) of the test images."""
    at_accuracy: Callable[[RunSummary, float], float] | None = None
    """Value of a run for the validation accuracy that a claim names; infinite where the run did not reach it."""
    of_profile: Callable[[ArchitectureProfile], float | None] | None = None
    """Value of a network from its static analysis, which needs no finished run."""
    profile_field: str = ""
    """Key under which a profile says why that value is absent."""
    over_runs: OverRuns = mean
    """Function that aggregates the runs of an architecture."""
    interval: bool = True
    """Whether the aggregated value has an interval, and JSON and CSV columns for its ends."""
    bounds: tuple[float, float] | None = None
    """Smallest and largest possible value; `None` for those of the unit."""
    scale: float = 1.0
    """Number in a column headed `heading` for a value of 1."""
    tables: tuple[Table, ...] = ()
    """Tables that have it: the main table of the report, its rows in JSON and CSV (`export`), the rows of runs in JSON,
    and `intelbench diff`."""
    is_shown: Callable[[CohortSummary], bool] = lambda _: True
    """Whether the main table of a cohort needs the column."""
    split: Split = "test"
    """Images that `per_image` is about; the heading of a column of the main table says their number."""
    note: str = ""
    """Note about the column below a table; with `{warmup_steps}`, `{batch_sizes}`, `{memory}` and
    `{trained}` for what differs between cohorts."""

    @property
    def limits(self) -> tuple[float, float]:
        """Return the smallest and the largest possible value."""
        return self.bounds or ((0, 1) if self.unit == "share" else (0, np.inf))

    @property
    def noun(self) -> str:
        """Return its name in sentences: `test accuracy`, `AUROC`."""
        name = self.heading.partition(" (")[0]
        return self.phrase or (name if name[1:2].isupper() else name[:1].lower() + name[1:])

    @property
    def short_name(self) -> str:
        """Return its name in `metric` of a suite and `--metric`."""
        return self.alias or self.name

    def margin(self, value: float) -> str:
        """Return a margin with its unit: `1 point`, `0.02 nats`."""
        if self.change == "points":
            return f"{100 * value:g} {'point' if 100 * value == 1 else 'points'}"
        return f"{value:g} nats" if self.unit == "nats" else f"{value:g}"

    @property
    def ranking(self) -> Ranking:
        """Return a ranking by the metric, which has a value of each test image."""
        assert self.ranks
        assert self.per_image is not None
        low, high = self.limits
        return Ranking(
            metric=self.name, per_image=self.per_image, higher_is_better=self.better == "higher", limit=high - low
        )

    @property
    def is_whole(self) -> bool:
        """Return whether the value of a run is a whole number."""
        return self.unit in ("parameters", "bytes", "steps")

    @property
    def change(self) -> Change:
        """Return whether a change is a difference of two shares (`points`), another difference, or a ratio."""
        if self.compared == "ratio":
            return "ratio"
        return "points" if self.unit == "share" else "difference"

    @property
    def can_gate(self) -> bool:
        """Return whether `intelbench diff` can compare the metric and tell which of two values is worse."""
        measured = self.compared in ("images", "ratio", "difference") and self.at_accuracy is None
        return measured and self.better is not None

    def value(self, run: RunSummary) -> float | None:
        """Return the value of a run; `None` where the run does not have the metric."""
        if self.of_run:
            return self.of_run(run)
        of_images = self.per_image(run) if self.per_image else None
        return None if of_images is None else estimates.mean(of_images)

    def values(self, architecture: ArchitectureSummary) -> list[float]:
        """Return the values of the finished runs that have the metric."""
        return [value for run in architecture.runs if (value := self.value(run)) is not None]

    def table(self, runs: Sequence[RunSummary]) -> NDArray[Any] | None:
        """Return the values of the images of n runs (n x N).

        `None` without runs or images, where runs have different images, and where one lacks the metric.
        """
        values = [self.per_image(run) for run in runs] if self.per_image else []
        known = [of_run for of_run in values if of_run is not None and of_run.size]
        if not known or len(known) < len(runs) or not same_images(runs, self.split):
            return None
        table = np.array(known)
        return table.astype(np.float32) if table.dtype == np.float16 else table

    def mean(self, runs: Sequence[RunSummary]) -> Estimate | None:
        """Return the mean over runs that have the metric, with its interval over their seeds, and over images.

        Where the seeds drew the training or validation images, the interval over seeds holds the choice of images too.
        """
        drawn = self.split != "test" and bool(runs) and not same_images(runs, self.split)
        if self.per_image is None or drawn:
            values = [value for run in runs if (value := self.value(run)) is not None]
            return positive_mean_interval(values) if self.compared == "ratio" else mean_interval(values, *self.limits)
        table = self.table(runs)
        if table is None:
            return None
        if table.dtype == np.bool_:
            return infer_share(table)
        inferred = inference.infer(table, *self.limits)
        if inferred.spreads and self.num_independent:
            return share_estimate(inferred, self.num_independent(runs[0]))
        return inferred.estimate

    def of(self, architecture: ArchitectureSummary) -> Estimate | None:
        """Return the value of an architecture over its finished runs."""
        return self.over_runs(self, architecture)


def differences(metric: Metric, summary: CohortSummary, margin: float | None = None) -> Sequence[PairedDifference]:
    """Return the differences of every pair of architectures by a metric that has a value of each image.

    They are paired by seed and image, on the seeds that both have finished; a run without the metric counts as not
    finished. There are none where nothing may be ranked. `margin` is the largest difference that counts as equivalent;
    `None` for that of the report if the metric is a share, else 0; test accuracy has that of the report.
    """
    if metric.name == summary.ranking.metric and margin in (None, summary.margin):
        return summary.differences
    if metric.name == "test_accuracy":
        return summary.accuracy_differences
    per_image = metric.per_image
    if summary.correct is None or per_image is None:
        return ()
    known = [
        {run.seed: values.astype(np.float64) for run in each.runs if (values := per_image(run)) is not None}
        for each in summary.finished
    ]
    runs = [
        run for each, of_each in zip(summary.finished, known, strict=True) for run in each.runs if run.seed in of_each
    ]
    if not runs or not same_images(runs, metric.split):
        return ()
    low, high = metric.limits
    if margin is None:
        margin = summary.margin if metric.unit == "share" else 0.0
    pairs = paired_differences(SeedTable.of_runs(known), Scale(high - low, metric.better == "higher", margin))
    return [replace(pair, significance=_level(summary, pair)) for pair in pairs]


def _level(summary: CohortSummary, pair: PairedDifference) -> float:
    """Return the significance level of a pair of finished architectures."""
    return summary.level_on([summary.finished[index].name for index in (pair.first, pair.second)], pair.seeds)
