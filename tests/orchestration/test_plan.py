"""From a suite to runs, and which of them are recorded."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from intelbench.config.conditions import Override, Suite
from intelbench.config.suites import load_suite, override
from intelbench.data.dataset import Dataset, Split, prepare
from intelbench.errors import UserError
from intelbench.orchestration.job import Rerun
from intelbench.orchestration.plan import PlanOptions, plan, unresumable
from intelbench.profiling.device import Device
from intelbench.profiling.environment import read_environment
from intelbench.records.identity import run_id
from intelbench.records.store import write_run
from intelbench.records.types import Execution, RunRecord
from intelbench.records.workspace import Checkpoint
from tests.synthetic import Study, synthetic_run

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
    assert all(run.pending and run.job.record() is None for run in planned)


def test_both_spellings_of_a_torchvision_classifier_are_one_run(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """Recorded under the full name."""
    names = ("resnet18", "torchvision:resnet18")
    both, bare, full = (
        plan(msgspec.structs.replace(suite, architectures=each, seeds=(3,)), dataset, CPU, ENVIRONMENT, runs=tmp_path)
        for each in (names, names[:1], names[1:])
    )
    assert ["torchvision:resnet18"] == [run.job.spec.architecture for run in both]
    assert both == bare == full


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


def test_each_number_of_images_is_a_run_of_each_architecture_and_seed(
    suite: Suite, dataset: Dataset, tmp_path: Path
) -> None:
    """Seed by seed; every architecture has the same images, fewer are part of more, and names tell them apart."""
    suite = override(suite, seeds=(0, 1), images_per_class=(5, "all", 4, 5))
    planned = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    names = ("wide_resnet101_2", "resnet101")
    assert [(seed, number, name) for seed in (0, 1) for number in (5, None, 4) for name in names] == [
        (run.job.spec.seed, run.job.spec.images_per_class, run.job.spec.architecture) for run in planned
    ]
    trained = {}
    for run in planned:
        spec = run.job.spec
        ids = set(run.job.dataset.train.ids)
        assert spec.num_train == len(ids)
        assert ids == trained.setdefault((spec.seed, spec.images_per_class), ids)
        assert dataset.facts == spec.data == run.job.dataset.facts
    assert trained[0, 4] < trained[0, 5] < trained[0, None] == trained[1, None]
    assert trained[0, 4] != trained[1, 4]
    assert len(planned) == len({run.job.run_id for run in planned})
    assert "wide_resnet101_2-s0-n5-" in planned[0].job.run_id
    assert "resnet101, seed 1, 4 images a class" == planned[-1].job.spec.title


def test_each_source_of_variance_is_a_run_of_each_architecture_and_seed(
    suite: Suite, dataset: Dataset, tmp_path: Path
) -> None:
    """The streams that do not vary have the first seed of the suite; with all, every one has the seed of the run."""
    suite = override(suite, architectures=("resnet101",), seeds=(3, 1), vary=("all", "init", "order", "init"))
    planned = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    streams = ("init", "order", "augment", "dropout", "labels")
    assert [
        (3, "all", None, [3] * 5), (3, "init", 3, [3] * 5), (3, "order", 3, [3] * 5),
        (1, "all", None, [1] * 5), (1, "init", 3, [1, 3, 3, 3, 3]), (1, "order", 3, [3, 1, 3, 3, 3]),
    ] == [
        (spec.seed, spec.vary, spec.fixed_seed, [spec.seed_of(name) for name in streams])
        for spec in (run.job.spec for run in planned)
    ]  # fmt: skip
    assert 6 == len({run.job.run_id for run in planned})
    assert dataset == planned[0].job.dataset == planned[4].job.dataset
    assert "resnet101, seed 1, only order varies" == planned[-1].job.spec.title


def test_a_seed_draws_its_images_for_every_architecture(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """With `split`: which images validate, and which few are trained on. The pixels and the test images are shared."""
    planned = plan(override(suite, vary="split"), dataset, CPU, ENVIRONMENT, runs=tmp_path)
    drawn = {run.job.spec.seed: run.job.dataset for run in planned}
    assert [drawn[run.job.spec.seed] for run in planned] == [run.job.dataset for run in planned]
    assert [run.job.dataset.facts for run in planned] == [run.job.spec.data for run in planned]
    assert drawn[1].train != drawn[3].train
    assert {(dataset.cache, dataset.test)} == {(each.cache, each.test) for each in drawn.values()}
    few = {
        vary: [run.job.dataset.train.ids for run in plan(changed, dataset, CPU, ENVIRONMENT, runs=tmp_path)]
        for vary in ("split", "init")
        if (changed := override(suite, architectures=("resnet101",), images_per_class=(4,), vary=vary))
    }
    assert few["split"][0] != few["split"][1]
    assert few["init"][0] == few["init"][1] == dataset.drawn(4, 3).train.ids


def test_less_than_a_batch_is_refused(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """With both keys, and the least that is accepted."""
    few = override(suite, images_per_class=("all", 3))
    with pytest.raises(UserError, match=r"`images_per_class` 3 is 6 training.*`recipe.batch_size` is 8.*at least 4"):
        plan(few, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    starved = msgspec.structs.replace(dataset, validation_fraction=0.9)
    with pytest.raises(UserError, match=r"with `vary` 'split', seed 3 leaves \d training images, less than one batch"):
        plan(override(suite, vary="split"), starved, CPU, ENVIRONMENT, runs=tmp_path)
    many = override(suite, images_per_class=(20,))
    with pytest.raises(UserError, match="class 'day' has 19 different training images; `images_per_class` is 20"):
        plan(many, dataset, CPU, ENVIRONMENT, runs=tmp_path)


def test_a_checkpoint_hinders_no_run_on_other_images(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """It is another run; the same one under other conditions is hindered."""
    suite = override(suite, architectures=("resnet101",), seeds=(0,))
    (five,) = plan(override(suite, images_per_class=(5,)), dataset, CPU, ENVIRONMENT, runs=tmp_path)
    checkpoint = Checkpoint(step=1, done=0.1, spec=five.job.spec, environment=ENVIRONMENT)
    with five.job.workspace.lock():
        five.job.workspace.save(checkpoint, lambda file: file.write(b""))
    assert {} == unresumable(plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path), ENVIRONMENT)
    threads = msgspec.structs.replace(CPU, threads=2)
    (other,) = plan(override(suite, images_per_class=(5,)), dataset, threads, ENVIRONMENT, runs=tmp_path)
    said = "resnet101, seed 0, 5 images a class, after step 1: execution.threads was 1, is 2"
    assert {five.job.workspace: said} == unresumable([other], ENVIRONMENT)


def test_a_checkpoint_hinders_no_run_of_another_source(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """The same seed with something else that varies is another run."""
    suite = override(suite, architectures=("resnet101",), seeds=(0,))
    (run,) = plan(override(suite, vary="init"), dataset, CPU, ENVIRONMENT, runs=tmp_path)
    checkpoint = Checkpoint(step=1, done=0.1, spec=run.job.spec, environment=ENVIRONMENT)
    with run.job.workspace.lock():
        run.job.workspace.save(checkpoint, lambda file: file.write(b""))
    assert {} == unresumable(plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path), ENVIRONMENT)
    assert {} == unresumable(plan(override(suite, vary="order"), dataset, CPU, ENVIRONMENT, runs=tmp_path), ENVIRONMENT)


def test_a_checkpoint_of_an_edited_network_is_refused_with_that_reason(
    suite: Suite, dataset: Dataset, tmp_path: Path
) -> None:
    """The code of an architecture decides the bits of a run, and so do the weights that it starts from."""
    (run,) = plan(
        override(suite, architectures=("resnet101",), seeds=(0,)), dataset, CPU, ENVIRONMENT, runs=tmp_path
    )  # fmt: skip
    spec = msgspec.structs.replace(run.job.spec, provider="mine.py sha256:0")
    job = msgspec.structs.replace(run.job, spec=spec, run_id=run_id(spec, ENVIRONMENT))
    before = dataclasses.replace(run, job=job)
    checkpoint = Checkpoint(step=1, done=0.1, spec=spec, environment=ENVIRONMENT)
    with before.job.workspace.lock():
        before.job.workspace.save(checkpoint, lambda file: file.write(b""))
    said = "resnet101, seed 0, after step 1: architecture was mine.py sha256:0, is intelbench"
    assert {before.job.workspace: said} == unresumable([run], ENVIRONMENT)


def own(suite: Suite, **recipes: dict[str, object]) -> Suite:
    """The suite with a recipe of its own for some architectures."""
    return msgspec.structs.replace(suite, overrides={name: Override(recipe=recipe) for name, recipe in recipes.items()})


def test_each_run_has_its_own_recipe(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """The one that the suite has for the architecture, under its full name, or the shared one; and what is shared."""
    planned = plan(own(suite, wide_resnet101_2={"learning_rate": 0.5}), dataset, CPU, ENVIRONMENT, runs=tmp_path)
    specs = [run.job.spec for run in planned[:2]]
    assert [("wide_resnet101_2", 0.5), ("resnet101", 0.01)] == [
        (spec.architecture, spec.conditions.recipe.learning_rate) for spec in specs
    ]
    assert [suite.conditions] * 2 == [spec.suite_conditions for spec in specs]
    alike = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    assert {None} == {run.job.spec.suite_conditions for run in alike}
    assert not {run.job.run_id for run in planned} & {run.job.run_id for run in alike}


@pytest.mark.parametrize(
    ("name", "recipe", "said"),
    [
        (
            "wrn",
            {},
            r"suite mine\.toml: `overrides\.wrn` is another name of .*\. Write \[overrides\.wide_resnet101_2\]",
        ),
        ("resnet18", {}, r'another name of .*\. Write \[overrides\."torchvision:resnet18"\]'),
        ("resnet15", {}, r"architecture 'resnet15' is not known. Try resnet152"),
        (
            "resnet101",
            {"batch_size": 999},
            r"suite mine\.toml, where \[overrides\.resnet101\] sets recipe\.batch_size: `recipe\.batch_size` is 999, "
            r"more than the \d+ training images",
        ),
        (
            "resnet101",
            {"optimizer": "adamm", "optimizer_arguments": {}},
            r"where \[overrides\.resnet101\] sets recipe\.optimizer, recipe\.optimizer_arguments: recipe\.optimizer: "
            "'adamm' is not known",
        ),
        ("resnet101", {"weights": "gone.pth"}, r"\[overrides\.resnet101\] sets recipe\.weights: .*gone\.pth"),
    ],
)
def test_an_own_recipe_that_no_run_can_have_is_refused(
    suite: Suite, dataset: Dataset, tmp_path: Path, name: str, recipe: dict[str, object], said: str
) -> None:
    """An alias or an unknown name would silently train under the shared recipe; a large batch, not at all."""
    with pytest.raises(UserError, match=said):
        plan(
            own(suite, **{name: recipe}), dataset, CPU, ENVIRONMENT, runs=tmp_path,
            options=PlanOptions(origin="mine.toml"),
        )  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_auto_is_that_of_the_device(
    suite: Suite, dataset: Dataset, tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs record it as if the suite had named it."""
    monkeypatch.setattr(Device, "fastest_precision", precision)
    (auto, *_), (named, *_) = (
        plan(msgspec.structs.replace(suite, precision=each), dataset, CPU, ENVIRONMENT, runs=tmp_path)
        for each in ("auto", precision)
    )
    assert precision == auto.job.spec.conditions.precision
    assert auto.job == named.job


def test_an_unknown_architecture_is_refused_before_anything_runs(
    suite: Suite, dataset: Dataset, tmp_path: Path
) -> None:
    """With the names nearest to it."""
    with pytest.raises(UserError, match="Try resnet152"):
        plan(override(suite, architectures=("resnet15",)), dataset, CPU, ENVIRONMENT, runs=tmp_path)


@pytest.mark.parametrize(
    ("rerun", "standing"), [("none", ["failed", "finished"]), ("failed", ["finished"]), ("all", [])]
)
def test_what_is_made_again(
    suite: Suite, dataset: Dataset, tmp_path: Path, failed_record: RunRecord, rerun: Rerun, standing: list[str]
) -> None:
    """Nothing that is recorded, what failed, or everything."""
    first, second, *_ = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    finished, traces = synthetic_run("resnet101", 0, Study())
    write_run(tmp_path, msgspec.structs.replace(failed_record, run_id=first.job.run_id), {})
    write_run(tmp_path, msgspec.structs.replace(finished, run_id=second.job.run_id), traces)
    planned = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path, options=PlanOptions(rerun=rerun))
    records = [record for run in planned if (record := run.job.record()) is not None]
    assert standing == ["failed" if record.failure else "finished" for record in records]


def test_a_record_that_cannot_be_read_is_named_or_made_again(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """Whatever is wrong with it: without --rerun failed it is left alone, and the message says what helps."""
    first, second, *_ = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    record, traces = synthetic_run("resnet101", 0, Study())
    for run in (first, second):
        write_run(tmp_path, msgspec.structs.replace(record, run_id=run.job.run_id), traces)
    with (second.job.workspace.target / "traces.npz").open("ab") as file:
        file.write(b" ")
    assert [False, False, True, True] == [run.pending for run in plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)]
    (first.job.workspace.target / "record.json").write_text("{}")
    with pytest.raises(UserError, match=r"record\.json: not a readable record .*; --rerun failed repeats the run"):
        plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path)
    again = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path, options=PlanOptions(rerun="failed"))
    assert [(True, None), (True, None)] == [(run.pending, run.job.record()) for run in again[:2]]


def test_what_would_leave_more_than_is_read_is_refused(suite: Suite, dataset: Dataset, tmp_path: Path) -> None:
    """Before anything is trained: the names of 300,000 images of 600 characters each."""
    ids = tuple(f"{number:0600}" for number in range(1000))
    large = Split(ids * 300, (0,) * 300_000, (0,) * 300_000)
    refused = pytest.raises(UserError, match=r"would take 7[\d,]+ bytes in each record, and at most 536,870,912 can")
    with refused:
        plan(suite, msgspec.structs.replace(dataset, test=large), CPU, ENVIRONMENT, runs=tmp_path)
    large = msgspec.structs.replace(dataset, train=large)
    with refused:
        plan(suite, large, CPU, ENVIRONMENT, runs=tmp_path)
    assert plan(msgspec.structs.replace(suite, training_evaluation_images=1000), large, CPU, ENVIRONMENT, runs=tmp_path)
