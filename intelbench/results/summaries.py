"""Runs by architecture and by cohort: the statistics that reports show."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from intelbench.records.identity import canonical_fields, digest
from intelbench.records.profiles import ArchitectureProfile
from intelbench.records.types import DataFacts, RunRecord
from intelbench.results import disturbance, sequential
from intelbench.results.cohorts import Cohort
from intelbench.results.disturbance import Disturbance
from intelbench.results.ranking import BY_ACCURACY, Ranking
from intelbench.results.runs import RunSummary, Split, memory_field
from intelbench.results.sequential import SequentialComparison
from intelbench.statistics import comparisons, posterior, resampling, shares, stability, variance
from intelbench.statistics import estimates as statistics
from intelbench.statistics.comparisons import MARGIN, PairedDifference, Scale
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate
from intelbench.statistics.inference import SeedVariance
from intelbench.statistics.seed_table import SeedTable
from intelbench.statistics.stability import Churn

MEMORY_FIELDS = ("process_bytes", "cuda_allocated_bytes", "cuda_reserved_bytes", "nvml_process_bytes")


@dataclass(frozen=True)
class ArchitectureSummary:
    """All runs of one architecture in a cohort."""

    name: str
    index: int
    """Index among the cohort's architectures by name: fixes colour, line and marker."""
    runs: tuple[RunSummary, ...]
    """Finished runs, by seed."""
    failures: tuple[RunRecord, ...]
    rank: int | None = None
    """1 + the number of significantly better architectures; `None` where no difference to another was tested."""

    @cached_property
    def seeds(self) -> frozenset[int]:
        """Return the seeds that it has finished."""
        return frozenset(run.seed for run in self.runs)

    @cached_property
    def test_accuracy(self) -> Estimate | None:
        """Return the mean accuracy over the finished seeds and the test images."""
        return shares.infer_share(np.array([run.correct for run in self.runs])) if self.same_images else None

    @cached_property
    def same_images(self) -> bool:
        """Return whether its runs, at least one, were tested on the same images, at least one."""
        return bool(self.runs) and len(self.runs[0].test_ids) > 0 and same_images(self.runs)

    def majority_share(self, split: Split) -> float | None:
        """Return the share of the largest class of a split: the accuracy of answering that class for every image."""
        return max((share for run in self.runs if (share := run.majority_shares[split]) is not None), default=None)

    def share_predicted(self, true: int, predicted: int, prior: SeedVariance) -> Estimate | None:
        """Return the share of the test images of a class with a predicted class; `None` for a class without images.

        `prior` is the dispersion of such shares over the architectures and classes of the cohort.
        """
        if not self.same_images:
            return None
        of_class = self.runs[0].test_labels == true
        return shares.infer_share(self.test_predictions[:, of_class] == predicted, prior)

    @property
    def on_features(self) -> bool:
        """Return whether a head was trained on stored features."""
        return any(run.measurements.features for run in self.runs)

    @cached_property
    def test_predictions(self) -> NDArray[np.int16]:
        """Return the predicted classes of runs that were tested on the same images, n x N."""
        return np.array([run.test_predictions for run in self.runs])

    @cached_property
    def class_shares(self) -> NDArray[np.float64]:
        """Return the shares of the images of each class with each predicted class (n x C x C); NaN without images."""
        counts = np.array([run.confusion for run in self.runs], dtype=np.float64)
        with np.errstate(invalid="ignore"):
            by_class: NDArray[np.float64] = counts / counts.sum(axis=2, keepdims=True)
        return by_class

    def peak_bytes(self, field: str) -> int | None:
        """Return the largest of the runs' peaks of one kind of memory."""
        peaks = [getattr(run.measurements.peak_memory, field) for run in self.runs]
        return max((peak for peak in peaks if peak is not None), default=None)

    @cached_property
    def step_seconds(self) -> NDArray[np.float64]:
        """Return the seconds of the steps after warm-up, all runs together, without data wait."""
        return np.concatenate([run.warm_step_seconds for run in self.runs]) if self.runs else np.empty(0)

    @cached_property
    def total_seconds(self) -> NDArray[np.float64]:
        """Return the seconds of the steps after warm-up, all runs together, with data wait."""
        return np.concatenate([run.warm_total_seconds for run in self.runs]) if self.runs else np.empty(0)

    @cached_property
    def median_step_seconds(self) -> float | None:
        """Return the median of `step_seconds`."""
        return statistics.quantile(self.step_seconds, 0.5)

    @cached_property
    def step_estimate(self) -> Estimate | None:
        """Return the median of `step_seconds` with its interval over runs and steps."""
        interval = resampling.resampled_median([run.warm_step_seconds for run in self.runs])
        if self.median_step_seconds is None or interval is None:
            return None
        return Estimate(self.median_step_seconds, *interval, len(self.runs))

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """Return the records of all runs, failed ones last."""
        return (*(run.record for run in self.runs), *self.failures)

    @property
    def causes(self) -> list[str]:
        """Return the cause of each failed run."""
        return [record.failure.cause for record in self.failures if record.failure]

    @property
    def success_rate(self) -> Estimate:
        """Return the share of all its runs that finished, whatever made the others fail, with Wilson's interval."""
        num_finished, num_runs = len(self.runs), len(self.records)
        return Estimate(num_finished / num_runs, *shares.wilson(num_finished / num_runs, num_runs), num_runs)

    @property
    def profile(self) -> ArchitectureProfile | None:
        """Return the static analysis of the network, which is the same for all its runs."""
        return next((record.profile for record in self.records if record.profile), None)

    @property
    def run_to_run_deviation(self) -> Estimate | None:
        """Return the standard deviation of test accuracy over the finished seeds (n - 1)."""
        return variance.deviation([run.test_accuracy for run in self.runs if run.test_accuracy is not None])

    @cached_property
    def churn_between_evaluations(self) -> Churn | None:
        """Return the churn between evaluation points, mean over the runs."""
        return stability.mean_churn([run.churn for run in self.runs])

    @cached_property
    def churn_between_seeds(self) -> Churn | None:
        """Return the mean churn of test predictions between two runs; `None` for one run or different test images."""
        if len(self.runs) < 2 or not self.same_images:
            return None
        return stability.churn_between_seeds(self.runs[0].test_labels, self.test_predictions)

    @cached_property
    def confusion(self) -> NDArray[np.int64] | None:
        """Return the test images summed over the runs, C x C."""
        total: NDArray[np.int64] | None = np.sum([run.confusion for run in self.runs], axis=0) if self.runs else None
        return total


@dataclass(frozen=True)
class CohortSummary:
    """A cohort with its statistics."""

    cohort: Cohort
    architectures: tuple[ArchitectureSummary, ...]
    """By rank, then name; then those without a rank, and those without a finished run."""
    differences: tuple[PairedDifference, ...]
    """Differences between the architectures at two indices of `architectures`, on the seeds that both have finished;
    empty where nothing may be ranked."""
    correct: SeedTable | None
    """Whether each of the finished architectures recognised each test image; `None` where nothing may be ranked."""
    margin: float = MARGIN
    """Largest difference of the ranking metric that counts as equivalent, in its unit; of a share, as a fraction."""
    significance: float = SIGNIFICANCE
    """Level at which two architectures differ or are equivalent; of the last look, if there were several."""
    sequential: SequentialComparison | None = None
    """The looks, if seeds were added in planned looks; a pair is then compared on the seeds of its look."""
    ranking: Ranking = BY_ACCURACY
    """The metric by which architectures are ranked and compared."""
    values: SeedTable | None = None
    """Values of the test images by the metric that ranks, of each finished architecture; a run without the metric
    counts as not finished. `correct` for test accuracy; `None` where nothing may be ranked."""

    def level_on(self, names: Collection[str], seeds: Collection[int]) -> float:
        """Return the significance level of a test of architectures on their seeds in common.

        It is 5 %, or what is spent at the look that these seeds complete.
        """
        return self.sequential.level_on(names, seeds) if self.sequential else self.significance

    @property
    def data(self) -> DataFacts:
        """Return the images of every run."""
        return self.cohort.spec.data

    @cached_property
    def finished(self) -> tuple[ArchitectureSummary, ...]:
        """Return the architectures with a finished run."""
        return tuple(architecture for architecture in self.architectures if architecture.runs)

    @cached_property
    def runs(self) -> Sequence[RunSummary]:
        """Return the finished runs, by architecture and seed."""
        return [run for architecture in self.finished for run in architecture.runs]

    @property
    def on_features(self) -> bool:
        """Return whether heads were trained on stored features."""
        return any(architecture.on_features for architecture in self.finished)

    @cached_property
    def accuracy_differences(self) -> Sequence[PairedDifference]:
        """Return the differences of test accuracy between the finished architectures, whichever metric ranks."""
        if self.ranking.is_accuracy:
            return self.differences
        return comparisons.paired_differences(self.correct, Scale(margin=self.margin)) if self.correct else ()

    @cached_property
    def mean_draws(self) -> NDArray[np.float64] | None:
        """Return draws of how good the finished architectures are by the metric that ranks, higher is better (A x R).

        `None` where nothing is ranked, and where one of them has no value.
        """
        if self.values is None or not self.values.finished.any(axis=1).all():
            return None
        return self.ranking.sign * posterior.draw_means(self.values)

    @cached_property
    def recall_dispersion(self) -> SeedVariance:
        """Return how much the recall of a class varies between seeds, over all architectures and classes."""
        return self._dispersion(on_diagonal=True)

    @cached_property
    def confusion_dispersion(self) -> SeedVariance:
        """Return how much the share of a confused pair varies between seeds, over all architectures and pairs."""
        return self._dispersion(on_diagonal=False)

    def _dispersion(self, *, on_diagonal: bool) -> SeedVariance:
        chosen = np.eye(len(self.data.class_names), dtype=np.bool_) == on_diagonal
        varying = [each.class_shares[:, chosen].T for each in self.finished if len(each.runs) > 1]
        return shares.dispersion_prior([share for of_all in varying for share in of_all if np.nansum(share) > 0])

    @cached_property
    def disturbances(self) -> Sequence[Disturbance]:
        """Return the effects of other work on each finished run."""
        return disturbance.disturbances(self.runs)

    @cached_property
    def ranked(self) -> Sequence[ArchitectureSummary]:
        """Return the architectures with a rank: the first of `architectures`."""
        return [architecture for architecture in self.architectures if architecture.rank is not None]

    @cached_property
    def untested(self) -> Sequence[tuple[str, str]]:
        """Return the pairs of ranked architectures that have fewer than two finished seeds in common."""
        pairs = combinations(self.ranked, 2)
        return [(first.name, second.name) for first, second in pairs if len(first.seeds & second.seeds) < 2]

    @cached_property
    def groups(self) -> Mapping[str, str]:
        """Return the letters of each ranked architecture: two share a letter unless they are distinguishable."""
        names = [architecture.name for architecture in self.ranked]
        pairs = [pair for pair in self.differences if max(pair.first, pair.second) < len(names)]
        return dict(zip(names, comparisons.letters(len(names), pairs), strict=True))

    @cached_property
    def memory_field(self) -> str | None:
        """Return the kind of memory that represents the cohort's device; `None` where no run has it."""
        field = memory_field(self.cohort.spec.execution.device)
        return field if any(a.peak_bytes(field) is not None for a in self.finished) else None

    @cached_property
    def cost_panels(self) -> Mapping[str, Mapping[str, float]]:
        """Return the costs of architectures with a test accuracy, by field and architecture.

        They are milliseconds a step, or of heads on stored features milliseconds an image of extraction, and mebibytes
        at the peak of `memory_field`. A field without values is left out.
        """
        tested = [architecture for architecture in self.finished if architecture.test_accuracy is not None]
        if self.on_features:
            times = {
                a.name: [1000 / rate for run in a.runs if (rate := run.extracted_images_per_second)] for a in tested
            }
            panels = {"extraction_seconds": {name: float(np.mean(each)) for name, each in times.items() if each}}
        else:
            panels = {"step_seconds": {a.name: 1000 * a.median_step_seconds for a in tested if a.median_step_seconds}}
        if self.memory_field is not None:
            peaks = {a.name: a.peak_bytes(self.memory_field) for a in tested}
            panels[self.memory_field] = {name: peak / 2**20 for name, peak in peaks.items() if peak is not None}
        return {field: values for field, values in panels.items() if values}

    @cached_property
    def smoothing_window(self) -> int:
        """Return the steps in the moving mean of the loss: a twentieth of the shortest run."""
        return max(1, min((len(run.step_loss) for run in self.runs), default=1) // 20)


def same_images(runs: Sequence[RunSummary], split: Split = "test") -> bool:
    """Return whether all runs were evaluated on the same images of a split in the same order."""
    first, *others = (run.ids(split) for run in runs)
    return all(ids is first or np.array_equal(ids, first) for ids in others)


def are_comparable(runs: Sequence[RunSummary]) -> bool:
    """Return whether runs of one architecture have one provider, one recipe, and the same test images."""
    recipes = {(run.record.spec.provider, digest(canonical_fields(run.record.spec.conditions))) for run in runs}
    return len(recipes) == 1 and same_images(runs)


def summarize(
    cohort: Cohort,
    observations: Mapping[str, RunSummary],
    margin: float | None = None,
    ranking: Ranking = BY_ACCURACY,
) -> CohortSummary:
    """Return a cohort's runs by architecture, ranked where that is allowed.

    Args:
        cohort: The cohort.
        observations: Its finished runs, by name.
        margin: Largest difference of the ranking metric that counts as equivalent; `None` for that of the design of
            looks, or else of the suite of the newest run.
        ranking: The metric by which they are ranked.
    """
    summaries = [
        ArchitectureSummary(
            name=name,
            index=index,
            runs=tuple(observations[record.run_id] for record in records if record.measurements is not None),
            failures=tuple(record for record in records if record.failure is not None),
        )
        for index, (name, records) in enumerate(cohort.by_architecture.items())
    ]
    finished = [summary for summary in summaries if summary.runs]
    correct = _correct(cohort, finished)
    names = [summary.name for summary in finished]
    values = correct if ranking.is_accuracy or correct is None else _values(ranking, finished)
    looked = sequential.compare(cohort, names, correct, margin) if correct else None
    if looked and not ranking.is_accuracy:  # the looks that stopped were at test accuracy
        ranking, values = replace(BY_ACCURACY, replaced=ranking.metric), correct
    if margin is None:
        margin = looked.design.margin if looked else cohort.margins[0]
    differences: Sequence[PairedDifference] = ()
    if looked:
        differences = looked.differences
    elif values:
        scale = Scale(ranking.limit, ranking.higher_is_better, margin)
        differences = comparisons.paired_differences(values, scale)
    ranks = comparisons.ranks(len(finished), differences)
    finished = [replace(summary, rank=rank) for summary, rank in zip(finished, ranks, strict=True)]
    order = sorted(range(len(finished)), key=lambda old: (ranks[old] or len(ranks) + 1, finished[old].index))
    new_index = {old: new for new, old in enumerate(order)}
    return CohortSummary(
        cohort,
        (*(finished[old] for old in order), *(summary for summary in summaries if not summary.runs)),
        tuple(replace(pair, first=new_index[pair.first], second=new_index[pair.second]) for pair in differences),
        known := correct.reordered(order) if correct else None,
        margin,
        looked.level if looked else SIGNIFICANCE,
        looked,
        ranking,
        known if values is correct else values.reordered(order) if values else None,
    )


def _correct(cohort: Cohort, finished: Sequence[ArchitectureSummary]) -> SeedTable | None:
    """Return `CohortSummary.correct`: `None` where batches or test images differ."""
    runs = [run for summary in finished for run in summary.runs]
    if not cohort.fairness.identical or not runs or not len(runs[0].test_ids) or not same_images(runs):
        return None
    return SeedTable.of_runs([{run.seed: run.correct for run in summary.runs} for summary in finished])


def _values(ranking: Ranking, finished: Sequence[ArchitectureSummary]) -> SeedTable | None:
    """Return `CohortSummary.values`, in single precision; `None` if no run has the metric."""
    by_seed = [
        {run.seed: values.astype(np.float32) for run in summary.runs if (values := ranking.per_image(run)) is not None}
        for summary in finished
    ]
    return SeedTable.of_runs(by_seed) if any(by_seed) else None
