"""Sources of variance: how much test accuracy varies if only one thing differs between the seeds.

Bouthillier et al. (2021) compare sources of variance in this way.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import msgspec
import numpy as np

from intelbench.config.fields import Vary
from intelbench.records.identity import comparison_digest, machine_digest
from intelbench.results.cohorts import Cohort
from intelbench.results.columns import Columns, column, estimate, fields, table
from intelbench.results.summaries import CohortSummary, are_comparable
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate
from intelbench.statistics.inference import holm
from intelbench.statistics.variance import p_equal_variances, variance, variance_ratio


@dataclass(frozen=True)
class Source:
    """What differed between the seeds of an architecture in a group, and how much test accuracy varied."""

    architecture: str
    vary: Vary
    cohort: str
    """Key of the group."""
    accuracy: float
    """Mean test accuracy over the seeds."""
    num_seeds: int
    variance: Estimate | None
    """Variance of test accuracy over the seeds; `None` for one seed."""
    share: Estimate | None
    """`variance` divided by that of the group in which every random stream differs; `None` without that variance."""


@dataclass(frozen=True)
class Largest:
    """The source of an architecture with the largest variance, of those that were varied alone."""

    source: Source
    p_holm: float
    """P value of "another source has the same variance", corrected over the architectures."""

    @property
    def distinguishable(self) -> bool:
        """Return whether the variance is larger than that of every other source, beyond the noise."""
        return self.p_holm <= SIGNIFICANCE


@dataclass(frozen=True)
class VarianceStudy:
    """Groups of runs that differ only in what varies between their seeds."""

    summaries: tuple[CohortSummary, ...]
    """The group in which every random stream differs first, if there is one."""
    groups: tuple[int, ...]
    """Numbers of the groups in the report, counted from 1."""

    @property
    def fixed_seed(self) -> int | None:
        """Return the seed that everything else keeps where one source is varied."""
        return self.summaries[-1].cohort.spec.fixed_seed

    @property
    def varied(self) -> tuple[Vary, ...]:
        """Return what differs between the seeds of each group."""
        return tuple(summary.cohort.spec.vary for summary in self.summaries)

    @property
    def num_test(self) -> int:
        """Return the number of test images, which are the same in all groups."""
        return self.summaries[0].data.num_test

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Return the sources of each architecture that has one recipe and one provider in all groups."""
        sources: list[Source] = []
        for name in sorted({architecture.name for summary in self.summaries for architecture in summary.finished}):
            members = [
                (summary.cohort, architecture.runs)
                for summary in self.summaries
                for architecture in summary.finished
                if architecture.name == name
            ]
            if are_comparable([run for _, runs in members for run in runs]):
                accuracies = [(cohort, [run.test_accuracy for run in runs]) for cohort, runs in members]
                known = [(cohort, [each for each in values if each is not None]) for cohort, values in accuracies]
                sources += _sources(name, [(cohort, values) for cohort, values in known if values])
        return tuple(sources)

    @cached_property
    def largest(self) -> Mapping[str, Largest]:
        """Return the largest of at least two sources that were varied alone, by architecture.

        Each is compared with every other source, and the largest of the p values counts (Berger, 1982).
        """
        alone: dict[str, list[tuple[Source, Estimate]]] = defaultdict(list)
        for source in self.sources:
            if source.vary != "all" and source.variance is not None:
                alone[source.architecture].append((source, source.variance))
        found: dict[str, tuple[Source, float]] = {}
        for name, sources in alone.items():
            top, of_top = max(sources, key=lambda each: each[1].mean)
            others = [p_equal_variances(of_top, of, 1 / self.num_test) for source, of in sources if source is not top]
            if others:
                found[name] = top, max(others)
        corrected = holm(np.array([p_value for _, p_value in found.values()])).tolist() if found else []
        return {name: Largest(top, p) for (name, (top, _)), p in zip(found.items(), corrected, strict=True)}


@dataclass(frozen=True)
class _Row:
    """A row of the table."""

    study: VarianceStudy
    source: Source

    @property
    def largest(self) -> Largest | None:
        """Return the source of the row if it is the largest of its architecture, beyond the noise or not."""
        largest = self.study.largest.get(self.source.architecture)
        return largest if largest is not None and largest.source is self.source else None


_COLUMNS: Sequence[Columns[_Row]] = (
    fields(str, lambda row: row.source, "architecture", "vary"),
    column("fixed_seed", int, lambda row: None if row.source.vary == "all" else row.study.fixed_seed),
    column("num_runs", int, lambda row: row.source.num_seeds),
    column("test_accuracy", float, lambda row: row.source.accuracy),
    estimate("variance", lambda row: row.source.variance),
    estimate("share", lambda row: row.source.share),
    fields(float, lambda row: row.largest, "p_holm"),
)


@table(lambda: _COLUMNS)
def variance_table(*studies: VarianceStudy) -> Iterator[_Row]:
    """Return one row for each architecture and source: variance of test accuracy over seeds, and its share of `all`."""
    for study in studies:
        yield from (_Row(study, source) for source in study.sources)


def variance_studies(summaries: Sequence[CohortSummary]) -> list[VarianceStudy]:
    """Return the groups that differ only in what varies between their seeds, put together by the seed that others keep.

    The group in which every random stream differs belongs to each of them. Single groups are left out.
    """
    members: dict[object, dict[tuple[int | None, Vary], tuple[CohortSummary, int]]] = defaultdict(dict)
    for group, summary in enumerate(summaries, start=1):
        record = summary.cohort.runs[0].record
        spec = record.spec
        key = comparison_digest(msgspec.structs.replace(spec, vary="all", fixed_seed=None)), machine_digest(record)
        members[key][spec.fixed_seed, spec.vary] = summary, group
    studies = []
    for of_key in members.values():
        for fixed_seed in sorted({seed for seed, _ in of_key if seed is not None}):
            choices: list[tuple[int | None, Vary]] = [(None, "all"), *((fixed_seed, vary) for vary in get_args(Vary))]
            numbered = [of_key[choice] for choice in choices if choice in of_key]
            if len(numbered) > 1:
                of_study, groups = zip(*numbered, strict=True)
                studies.append(VarianceStudy(of_study, groups))
    return studies


def _sources(name: str, accuracies: Sequence[tuple[Cohort, Sequence[float]]]) -> list[Source]:
    """Return the sources of an architecture from the test accuracies in each group, at least one."""
    variances = {cohort.spec.vary: variance(values) for cohort, values in accuracies}
    total = variances.get("all")
    return [
        Source(
            architecture=name,
            vary=(vary := cohort.spec.vary),
            cohort=cohort.key,
            accuracy=float(np.mean(values)),
            num_seeds=len(values),
            variance=(own := variances[vary]),
            share=variance_ratio(own, total) if own and total and vary != "all" else None,
        )
        for cohort, values in accuracies
    ]
