"""What the report says of runs before it is laid out: put together by architecture and by cohort."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from intelbench.records.profiles import ArchitectureProfile
from intelbench.records.types import DataFacts, RunRecord
from intelbench.reporting import stability, statistics
from intelbench.reporting.cohorts import Cohort
from intelbench.reporting.observations import RunSummary
from intelbench.reporting.stability import Churn
from intelbench.reporting.statistics import Estimate, PairedDifference

MEMORY_FIELDS = ("process_bytes", "cuda_allocated_bytes", "cuda_reserved_bytes", "nvml_process_bytes")


@dataclass(frozen=True)
class ArchitectureSummary:
    """All runs of one architecture in a cohort."""

    name: str
    index: int
    """Place among the cohort's architectures by name: fixes colour, line and marker."""
    runs: tuple[RunSummary, ...]
    """Finished ones, by seed."""
    failures: tuple[RunRecord, ...]
    rank: int | None = None

    @cached_property
    def test_accuracy(self) -> Estimate | None:
        """Over the finished seeds."""
        return self.estimate("test_accuracy", upper=1)

    def estimate(self, field: str, upper: float = np.inf, lower: float = 0) -> Estimate | None:
        """Mean and interval over the finished seeds of a field of `RunSummary`, cut to what is possible."""
        values = [value for run in self.runs if (value := getattr(run, field)) is not None]
        return statistics.mean_interval(values, lower=lower, upper=upper)

    def measured(self, field: str) -> int | float | None:
        """A field of `Measurements` that does not vary between seeds."""
        return getattr(self.runs[0].measurements, field) if self.runs else None

    def peak_bytes(self, field: str) -> int | None:
        """The largest of the runs' peaks of one kind of memory."""
        peaks = [getattr(run.measurements.peak_memory, field) for run in self.runs]
        return max((peak for peak in peaks if peak is not None), default=None)

    @cached_property
    def step_seconds(self) -> NDArray[np.float64]:
        """Steps after warm-up, all runs together."""
        return np.concatenate([run.warm_step_seconds for run in self.runs]) if self.runs else np.empty(0)

    @cached_property
    def total_seconds(self) -> NDArray[np.float64]:
        """The same steps with their data wait."""
        return np.concatenate([run.warm_total_seconds for run in self.runs]) if self.runs else np.empty(0)

    @cached_property
    def median_step_seconds(self) -> float | None:
        """After warm-up, over all runs."""
        return statistics.quantile(self.step_seconds, 0.5)

    @property
    def profile(self) -> ArchitectureProfile | None:
        """What was found out about the network without training it; the same for all its runs."""
        records = [*(run.record for run in self.runs), *self.failures]
        return next((record.profile for record in records if record.profile), None)

    @property
    def run_to_run_deviation(self) -> float | None:
        """Standard deviation of test accuracy over the finished seeds (n - 1)."""
        found = [run.test_accuracy for run in self.runs if run.test_accuracy is not None]
        return float(np.std(found, ddof=1)) if len(found) > 1 else None

    @cached_property
    def churn_between_evaluations(self) -> Churn | None:
        """Mean over the runs."""
        return stability.mean_churn([run.stability.churn for run in self.runs])

    @cached_property
    def churn_between_seeds(self) -> Churn | None:
        """Of test predictions, over all pairs of runs; `None` for one, or where they saw different test images."""
        labels = [run.test_labels for run in self.runs]
        if len(labels) < 2 or any(not np.array_equal(labels[0], other) for other in labels[1:]):
            return None
        return stability.churn_between_seeds(labels[0], [run.test_predictions for run in self.runs])

    @cached_property
    def confusion(self) -> NDArray[np.int64] | None:
        """Test images summed over the runs, C x C."""
        return np.sum([run.confusion for run in self.runs], axis=0) if self.runs else None


@dataclass(frozen=True)
class CohortSummary:
    """A cohort with its statistics."""

    cohort: Cohort
    architectures: tuple[ArchitectureSummary, ...]
    """By rank, then name; those without a finished run last."""
    differences: tuple[PairedDifference, ...]
    """Between the architectures at those places of `architectures`; empty where nothing may be ranked."""

    @property
    def data(self) -> DataFacts:
        """The images of every run."""
        return self.cohort.spec.data

    @property
    def finished(self) -> tuple[ArchitectureSummary, ...]:
        """Architectures with a finished run."""
        return tuple(architecture for architecture in self.architectures if architecture.runs)

    @property
    def ranked(self) -> bool:
        """Whether ranks were given."""
        return any(architecture.rank is not None for architecture in self.architectures)

    @property
    def memory_field(self) -> str | None:
        """The kind of memory that stands for the cohort's device: the process on a CPU, allocated tensors on a GPU."""
        field = "process_bytes" if self.cohort.spec.execution.device == "cpu" else "cuda_allocated_bytes"
        return field if any(a.peak_bytes(field) is not None for a in self.finished) else None

    def better_than(self, index: int) -> list[str]:
        """Names of the architectures that the one at that place is significantly better than."""
        worse = [
            pair.second if pair.first == index else pair.first for pair in self.differences if pair.better == index
        ]
        return [self.finished[place].name for place in worse]


def summarize(cohort: Cohort, observations: Mapping[str, RunSummary]) -> CohortSummary:
    """Put a cohort's runs together by architecture, and rank what may be ranked."""
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
    differences = _differences(cohort, finished)
    if differences:
        ranks = statistics.ranks(len(finished), differences)
        finished = [replace(summary, rank=rank) for summary, rank in zip(finished, ranks, strict=True)]
    order = sorted(range(len(finished)), key=lambda place: (finished[place].rank or 0, finished[place].index))
    place = {old: new for new, old in enumerate(order)}
    return CohortSummary(
        cohort,
        (*(finished[old] for old in order), *(summary for summary in summaries if not summary.runs)),
        tuple(replace(pair, first=place[pair.first], second=place[pair.second]) for pair in differences),
    )


def _differences(cohort: Cohort, finished: Sequence[ArchitectureSummary]) -> list[PairedDifference]:
    """Paired by the seeds that all have finished; nothing where the batches differed or no test image was read."""
    seeds = set(cohort.common_seeds)
    accuracies = [[run.test_accuracy for run in summary.runs if run.seed in seeds] for summary in finished]
    if not cohort.fairness.identical or not seeds or any(None in row for row in accuracies):
        return []
    return statistics.paired_differences(
        np.array(accuracies, dtype=np.float64), resolution=1 / max(1, cohort.spec.data.num_test)
    )
