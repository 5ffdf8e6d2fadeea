"""Tables hold raw numbers, with None for what is absent."""

from collections.abc import Callable, Iterable

import msgspec
import pytest

from intelbench.config.budget import Budget
from intelbench.results import tables
from intelbench.results.columns import Row
from intelbench.results.summaries import CohortSummary
from tests.synthetic import CONDITIONS, EXECUTION, Summarize, failure

ON_GPU = msgspec.structs.replace(EXECUTION, device="cuda")
TABLES = (
    tables.main,
    tables.differences,
    tables.fairness,
    tables.classes,
    tables.omnibus,
    tables.failures,
    tables.environment,
    tables.runs,
)


@pytest.mark.parametrize("table", TABLES)
def test_absent_is_none(summarize: Summarize, table: Callable[[CohortSummary], Iterable[Row]]) -> None:
    """With one seed, a failure and no step after warm-up, no cell of any table is NaN."""
    short = msgspec.structs.replace(CONDITIONS, budget=Budget(steps=2))
    summary = summarize(seeds=[0], conditions=short, num_steps=2, failures={("resnet101", 0): failure(step=None)})
    cells = [value for row in table(summary) for value in row.values()]
    assert cells
    assert all(value == value for value in cells)  # NaN alone differs from itself


def test_main_keeps_failed_architectures(summarize: Summarize) -> None:
    """A failed architecture has a row with its failure and no measurements."""
    summary = summarize(failures={("resnet101", seed): failure() for seed in range(3)})
    row = tables.main(summary)[-1]
    assert ("resnet101", 0, 3, "out_of_memory") == tuple(
        row[name] for name in ("architecture", "num_finished", "num_failed", "failure_causes")
    )
    assert row["test_accuracy"] is None
    assert row["num_parameters"] is None


def test_main_without_steps_after_warmup(summarize: Summarize) -> None:
    """Nothing is said about speed or the variance of the loss when all steps were warm-up; accuracy stands."""
    short = msgspec.structs.replace(CONDITIONS, budget=Budget(steps=2))
    row = tables.main(summarize(conditions=short, num_steps=2))[0]
    assert (None, None, None) == tuple(row[n] for n in ("step_seconds", "images_per_second", "relative_loss_variance"))
    assert row["test_accuracy"] is not None


def test_kinds_of_memory_do_not_stand_in_for_each_other(summarize: Summarize) -> None:
    """On a GPU the process column is empty and has its reason, and the CUDA columns hold the largest of the runs."""
    summary = summarize(execution=ON_GPU)
    rows = tables.main(summary)
    assert [None] * 5 == [row["peak_process_bytes"] for row in rows]
    assert 900 * 2**20 == min(row["peak_cuda_allocated_bytes"] for row in rows)
    assert 1100 * 2**20 == min(row["peak_cuda_reserved_bytes"] for row in rows)
    expected = {"process_bytes": ["the run was on a GPU"], "nvml_process_bytes": ["the driver does not tell"]}
    assert expected == tables.absent_memory(summary)


def test_classes_count_images_and_runs(summarize: Summarize) -> None:
    """One row for each architecture and class, over all runs."""
    rows = list(tables.classes(summarize()))
    assert 30 == len(rows)
    assert {(50, 3)} == {(row["num_test"], row["num_runs"]) for row in rows}
