"""Which groups are one experiment that was executed in several ways, and which of their runs its accuracies have."""

from pathlib import Path

import msgspec

from intelbench.config.budget import Budget
from intelbench.records.types import Execution
from intelbench.results.executions import ExecutionStudy, execution_studies
from intelbench.results.study import read
from tests.synthetic import CONDITIONS, EXECUTION, Study, failure, synthetic_runs


def on(gpus: int, **changes: object) -> Execution:
    """Return the execution of a run on some GPUs."""
    return msgspec.structs.replace(EXECUTION, gpus=gpus, **changes)


def studies(folder: Path) -> list[ExecutionStudy]:
    return execution_studies(read(folder).cohorts)


def test_numbers_of_gpus_are_one_experiment(tmp_path: Path) -> None:
    """Each with other seeds: one table has all of them, and ranks by all; the groups keep their own."""
    for gpus, seeds in ((1, [0, 1, 2]), (2, [3, 4]), (4, [5])):
        synthetic_runs(tmp_path, ["a", "b"], seeds, Study(execution=on(gpus, threads=4 // gpus)))
    (found,) = studies(tmp_path)
    assert (1, 2, 3) == found.groups
    assert [6, 6] == [len(architecture.runs) for architecture in found.pooled.architectures]
    (pair,) = found.pooled.differences
    assert (0, 1, 2, 3, 4, 5) == tuple(pair.seeds)
    assert () == found.repeated
    assert found.num_changed_predictions is None


def test_a_run_that_was_repeated_counts_once(tmp_path: Path) -> None:
    """That on the fewest GPUs, unless it failed; the others say how far their predictions differ."""
    failed = {("a", 1): failure("killed")}
    synthetic_runs(tmp_path, ["a"], [0, 1], Study(failures=failed))
    synthetic_runs(tmp_path, ["a"], [0, 1], Study(execution=on(2)))
    (found,) = studies(tmp_path)
    (architecture,) = found.pooled.architectures
    assert [(0, 1), (1, 2)] == [(run.seed, run.record.spec.execution.gpus) for run in architecture.runs]
    assert () == architecture.failures
    ((one, other),) = found.repeated
    assert (0, 1, 2) == (one.seed, one.record.spec.execution.gpus, other.record.spec.execution.gpus)
    assert 0 == found.num_changed_predictions


def test_other_experiments_and_machines_stay_apart(tmp_path: Path) -> None:
    """Neither other conditions, nor other libraries, nor a budget in seconds, which a faster execution uses better."""
    larger = msgspec.structs.replace(CONDITIONS, image_size=96)
    timed = msgspec.structs.replace(CONDITIONS, budget=Budget(seconds=60))
    for study in (
        Study(),
        Study(execution=on(2), conditions=larger),
        Study(execution=on(2), torch="2.12.0"),
        Study(conditions=timed),
        Study(execution=on(2), conditions=timed),
    ):
        synthetic_runs(tmp_path, ["a"], [0, 1], study)
    assert 5 == len(read(tmp_path).cohorts)
    assert [] == studies(tmp_path)


def test_other_batches_are_not_ranked(tmp_path: Path) -> None:
    """The digests of all groups are compared with each other."""
    synthetic_runs(tmp_path, ["a"], [0, 1])
    synthetic_runs(tmp_path, ["b"], [0, 1], Study(execution=on(2)))
    assert 1 == len(studies(tmp_path)[0].pooled.differences)
    synthetic_runs(tmp_path, ["c"], [0, 1], Study(execution=on(2), other_batches=[("c", 0)]))
    pooled = studies(tmp_path)[0].pooled
    assert not pooled.cohort.fairness.identical
    assert () == pooled.differences
