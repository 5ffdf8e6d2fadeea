"""From a suite to runs, and which of them are recorded."""

from pathlib import Path

import msgspec
import pytest

from intelbench.data.dataset import Dataset, Split, prepare
from intelbench.errors import UserError
from intelbench.orchestration.plan import Again, plan
from intelbench.profiling.environment import read_environment
from intelbench.records.store import write_run
from intelbench.records.suites import load_suite, override
from intelbench.records.types import Execution, RunRecord, Suite
from tests.reporting.synthetic import Study, synthetic_run

CPU = Execution(device="cpu", threads=1, workers=0)
ENVIRONMENT = read_environment(CPU)


@pytest.fixture
def suite(small_suite: Path) -> Suite:
    """Two reference architectures, two seeds."""
    suite = override(load_suite(str(small_suite)), architectures=("wrn", "resnet101"), seeds=(3, 1, 3))
    return msgspec.structs.replace(suite, image_size=76)


@pytest.fixture
def dataset(small_folder: Path, suite: Suite, tmp_path: Path) -> Dataset:
    """Small images."""
    return prepare(str(small_folder), suite.conditions, tmp_path / "cache")


def test_runs_are_planned_seed_by_seed_under_their_full_names(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """An alias is its architecture, a repeated seed is one seed, and the first seed is complete before the second."""
    planned = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    assert [("wide_resnet101_2", 3), ("resnet101", 3), ("wide_resnet101_2", 1), ("resnet101", 1)] == [
        (run.job.spec.architecture, run.job.spec.seed) for run in planned
    ]
    assert all(run.pending and run.recorded() is None for run in planned)


def test_a_runs_name_changes_with_whatever_decides_its_result(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """Recipe, budget, image, threads and library versions; not the suite's name or where the data lie."""

    def first(suite: Suite = suite, dataset: Dataset = dataset, execution: Execution = CPU, torch: str = "") -> str:
        environment = msgspec.structs.replace(ENVIRONMENT, torch=torch or ENVIRONMENT.torch)
        return plan(suite, dataset, execution, environment, runs=tmp_path)[0].job.run_id

    replace = msgspec.structs.replace
    same = {
        first(),
        first(replace(suite, name="other", description="other")),
        first(dataset=replace(dataset, facts=replace(dataset.facts, source="elsewhere"))),
    }
    others = [
        first(replace(suite, recipe=replace(suite.recipe, learning_rate=0.5))),
        first(replace(suite, precision="bf16")),
        first(dataset=replace(dataset, facts=replace(dataset.facts, digest="0"))),
        first(execution=replace(CPU, threads=2)),
        first(torch="9.9"),
    ]
    assert 1 == len(same)
    assert len(others) == len(set(others) - same)


def test_a_precision_that_the_device_lacks_is_refused(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """fp16 on a CPU: the key, and what is accepted there."""
    half = msgspec.structs.replace(suite, precision="fp16")
    with pytest.raises(UserError, match="`precision` is fp16, which needs a GPU; accepted on a CPU: fp32, bf16"):
        plan(half, dataset, CPU, ENVIRONMENT, runs=tmp_path)


def test_an_unknown_architecture_is_refused_before_anything_runs(
    suite: Suite, dataset: Dataset, tmp_path: Path
) -> None:
    """With the names nearest to it."""
    with pytest.raises(UserError, match="did you mean resnet152"):
        plan(override(suite, architectures=("resnet15",)), dataset, CPU, ENVIRONMENT, runs=tmp_path)


@pytest.mark.parametrize(
    ("again", "standing"), [("none", ["failed", "finished"]), ("failed", ["finished"]), ("all", [])]
)
def test_what_is_made_again(
    suite: Suite, dataset: Dataset, tmp_path: Path, failed_record: RunRecord, again: Again, standing: list[str]
) -> None:
    """Nothing that is recorded, what failed, or everything."""
    first, second, *_ = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    finished, traces = synthetic_run("resnet101", 0, Study())
    write_run(tmp_path, msgspec.structs.replace(failed_record, run_id=first.job.run_id), {})
    write_run(tmp_path, msgspec.structs.replace(finished, run_id=second.job.run_id), traces)
    planned = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path, again=again)
    records = [record for run in planned if (record := run.recorded()) is not None]
    assert standing == ["failed" if record.failure else "finished" for record in records]


def test_a_record_that_cannot_be_read_is_named_or_made_again(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """Whatever is wrong with it: without --retry-failed it is left alone, and the message says what helps."""
    first, second, *_ = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    record, traces = synthetic_run("resnet101", 0, Study())
    for run in (first, second):
        write_run(tmp_path, msgspec.structs.replace(record, run_id=run.job.run_id), traces)
    with (second.workspace.target / "traces.npz").open("ab") as file:
        file.write(b" ")
    assert [False, False, True, True] == [run.pending for run in plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)]
    (first.workspace.target / "record.json").write_text("{}")
    with pytest.raises(UserError, match=r"record\.json: not a readable record .*; --retry-failed makes the run again"):
        plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    again = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path, again="failed")
    assert [(True, None), (True, None)] == [(run.pending, run.recorded()) for run in again[:2]]


def test_what_would_leave_more_than_is_read_is_refused(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """Before anything is trained: the names of 300,000 images of 600 characters each."""
    ids = tuple(f"{number:0600}" for number in range(1000))
    large = Split(ids * 300, (0,) * 300_000, (0,) * 300_000)
    refused = pytest.raises(UserError, match=r"would take 7[\d,]+ bytes in each record, and at most 536,870,912 are")
    with refused:
        plan(suite, msgspec.structs.replace(dataset, test=large), CPU, ENVIRONMENT, runs=tmp_path)
    large = msgspec.structs.replace(dataset, train=large)
    with refused:
        plan(suite, large, CPU, ENVIRONMENT, runs=tmp_path)
    assert plan(msgspec.structs.replace(suite, training_evaluation_images=1000), large, CPU, ENVIRONMENT, runs=tmp_path)
