"""Groups of runs that differ only in how they were executed, for example on how many GPUs.

Execution changes the speed of a run, and not its batches. So times and memory are compared within a group, and
accuracies over all of them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intelbench.records.identity import canonical_fields, comparison_digest, digest
from intelbench.records.store import StoredRun
from intelbench.records.types import RunSpec
from intelbench.results.cohorts import Cohort
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import CohortSummary, same_images, summarize


@dataclass(frozen=True)
class ExecutionStudy:
    """Groups of runs that differ only in how they were executed."""

    groups: tuple[int, ...]
    """Numbers of the groups in the report, counted from 1."""
    keys: tuple[str, ...]
    """Keys of the groups."""
    pooled: CohortSummary
    """The runs of all groups, one for each architecture and seed. Its times and memory are not comparable."""
    repeated: tuple[tuple[RunSummary, RunSummary], ...]
    """Finished runs of one architecture and seed, tested on the same images: the one in `pooled`, and another one."""

    @property
    def num_changed_predictions(self) -> int | None:
        """Return the largest number of test images whose prediction differs between two executions of one run."""
        changes = (int((one.test_predictions != other.test_predictions).sum()) for one, other in self.repeated)
        return max(changes, default=None)


def execution_studies(summaries: Sequence[CohortSummary]) -> list[ExecutionStudy]:
    """Return the groups that differ only in how their runs were executed, put together. Single groups are left out.

    Groups with a budget in seconds are left out too, since how far their runs get depends on their speed.
    """
    members: dict[object, dict[int, CohortSummary]] = defaultdict(dict)
    for group, summary in enumerate(summaries, start=1):
        record = summary.cohort.runs[0].record
        if not summary.cohort.in_seconds:
            key = comparison_digest(record.spec), record.environment.fingerprint, record.spec.execution.device
            members[key][group] = summary
    return [_study(key, of_key) for key, of_key in members.items() if len(of_key) > 1]


def experiments(summaries: Sequence[CohortSummary]) -> list[tuple[tuple[int, ...], CohortSummary]]:
    """Return the groups, those that differ only in execution put together first, with their numbers from 1.

    Runs of one experiment may be added to each other to decide a pair.
    """
    executed = execution_studies(summaries)
    joined = {number for study in executed for number in study.groups}
    alone = [((number,), summary) for number, summary in enumerate(summaries, start=1) if number not in joined]
    return [*((study.groups, study.pooled) for study in executed), *alone]


def _study(key: object, numbered: Mapping[int, CohortSummary]) -> ExecutionStudy:
    summaries = list(numbered.values())
    observed = {run.record.run_id: run for summary in summaries for run in summary.runs}
    executions: dict[object, list[StoredRun]] = defaultdict(list)
    for run in sorted((run for summary in summaries for run in summary.cohort.runs), key=_preference):
        executions[_experiment(run.record.spec)].append(run)
    designs = dict.fromkeys(design for summary in summaries for design in summary.cohort.stored_designs)
    cohort = Cohort.of(key, [first for first, *_ in executions.values()], list(designs))
    margins = {summary.margin for summary in summaries}
    finished = [
        [observed[run.record.run_id] for run in runs if run.record.measurements] for runs in executions.values()
    ]
    return ExecutionStudy(
        groups=tuple(numbered),
        keys=tuple(summary.cohort.key for summary in summaries),
        pooled=summarize(cohort, observed, margins.pop() if len(margins) == 1 else None, summaries[0].ranking),
        repeated=tuple((runs[0], other) for runs in finished for other in runs[1:] if same_images((runs[0], other))),
    )


def _preference(run: StoredRun) -> tuple[object, ...]:
    """Order executions of one run: finished ones first, then by the number of GPUs, then of runs at once."""
    record, execution = run.record, run.record.spec.execution
    return record.measurements is None, execution.gpus, execution.slots, record.run_id


def _experiment(spec: RunSpec) -> tuple[object, ...]:
    """Return what all executions of one run have in common."""
    weights = spec.weights and spec.weights.sha256
    return spec.architecture, spec.provider, spec.seed, weights, digest(canonical_fields(spec.conditions))
