"""Digests and names do not change when fields are added."""

from pathlib import Path

import msgspec

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Head, Recipe
from intelbench.records.identity import canonical_fields, changes, comparison_digest, facts, machine_digest, run_id
from intelbench.records.types import IMAGENET_NORMALIZATION, RunRecord, RunSpec, Weights
from tests.reading import read_runs

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "runs"


def test_committed_records_keep_their_names() -> None:
    """The name is a digest of everything that determines the result; figures are named by the keys of groups."""
    records = [stored.record for stored in read_runs(REFERENCE)[0]]
    assert 20 == len(records)
    assert [record.run_id for record in records] == [run_id(record.spec, record.environment) for record in records]
    assert 1 == len({comparison_digest(record.spec) for record in records})


def test_a_later_field_counts_where_it_says_something(synthetic_record: RunRecord) -> None:
    """A changed recipe is another comparison and another run."""
    spec = synthetic_record.spec
    recipe = msgspec.structs.replace(spec.conditions.recipe, weights="imagenet")
    changed = msgspec.structs.replace(spec, conditions=msgspec.structs.replace(spec.conditions, recipe=recipe))
    assert comparison_digest(spec) != comparison_digest(changed)


def test_recipes_of_their_own_are_one_comparison_and_other_runs(synthetic_record: RunRecord) -> None:
    """Architectures of one suite share a table under different recipes, but not with runs of one common recipe."""
    spec, environment = synthetic_record.spec, synthetic_record.environment
    shared = spec.conditions
    recipe = msgspec.structs.replace(shared.recipe, learning_rate=0.5)
    own = msgspec.structs.replace(shared, recipe=recipe)
    replace = msgspec.structs.replace
    specs = [replace(spec, suite_conditions=shared), replace(spec, conditions=own, suite_conditions=shared)]
    others = [spec, replace(spec, conditions=own), replace(spec, suite_conditions=own)]
    assert 1 == len({comparison_digest(each) for each in specs})
    assert not {comparison_digest(each) for each in specs} & {comparison_digest(each) for each in others}
    assert 5 == len({run_id(each, environment) for each in (*specs, *others)})


def test_a_run_is_named_by_its_weights_too(synthetic_record: RunRecord) -> None:
    """Two weight files with the same name give two runs, which can be compared."""
    spec, environment = synthetic_record.spec, synthetic_record.environment
    names = set()
    for digest in ("0" * 64, "1" * 64):
        weights = Weights(file="x.pth", sha256=digest, normalization=IMAGENET_NORMALIZATION)
        changed = msgspec.structs.replace(spec, weights=weights)
        assert comparison_digest(spec) == comparison_digest(changed)
        names.add(run_id(changed, environment))
    assert 3 == len(names | {run_id(spec, environment)})


def test_several_gpus_are_another_run_and_speed_but_the_same_comparison(synthetic_record: RunRecord) -> None:
    """Shards are another comparison; one GPU for a run, the default, changes no name."""
    record, replace = synthetic_record, msgspec.structs.replace
    spec = record.spec
    several = replace(spec, execution=replace(spec.execution, gpus=2))
    assert comparison_digest(spec) == comparison_digest(several)
    assert machine_digest(record) != machine_digest(replace(record, spec=several))
    assert run_id(spec, record.environment) != run_id(several, record.environment)
    alone = replace(spec, execution=several.execution.of_rank(1))
    assert run_id(spec, record.environment) == run_id(alone, record.environment)
    recipe = replace(spec.conditions.recipe, shards=2)
    sharded = replace(spec, conditions=replace(spec.conditions, recipe=recipe))
    assert comparison_digest(spec) != comparison_digest(sharded)


def test_few_images_are_another_comparison(synthetic_record: RunRecord) -> None:
    """It is also another run, whose name has the number of images."""
    spec, environment = synthetic_record.spec, synthetic_record.environment
    few = [msgspec.structs.replace(spec, images_per_class=number) for number in (10, 50)]
    assert 3 == len({comparison_digest(each) for each in (spec, *few)})
    assert f"{spec.architecture}-s{spec.seed}-n10" == run_id(few[0], environment).rpartition("-")[0]
    assert "images_per_class was all, is 50" == changes(facts(spec, environment), facts(few[1], environment))


def test_each_source_of_variance_is_another_comparison(synthetic_record: RunRecord) -> None:
    """And another run of the same seed; the seed that the others keep counts too, and is told among the facts."""
    spec, environment = synthetic_record.spec, synthetic_record.environment
    choices = [("init", 0), ("init", 1), ("order", 0)]
    alone = [msgspec.structs.replace(spec, vary=vary, fixed_seed=seed) for vary, seed in choices]
    assert 4 == len({comparison_digest(each) for each in (spec, *alone)})
    assert 4 == len({run_id(each, environment) for each in (spec, *alone)})
    assert f"{spec.architecture}-s{spec.seed}-init" == run_id(alone[0], environment).rpartition("-")[0]
    said = "vary was all, is init, the others keep seed 0"
    assert said == changes(facts(spec, environment), facts(alone[0], environment))


def test_seeds_that_draw_the_split_are_one_comparison(synthetic_record: RunRecord) -> None:
    """By the digest that the data have without the seed; on other data they are another."""
    spec, environment = synthetic_record.spec, synthetic_record.environment

    def split_by(seed: int, data: str) -> RunSpec:
        facts = msgspec.structs.replace(spec.data, digest=f"{data} {seed}", default_digest=data)
        return msgspec.structs.replace(spec, seed=seed, data=facts, vary="split", fixed_seed=0)

    first, second, elsewhere = split_by(0, "a"), split_by(1, "a"), split_by(0, "b")
    assert comparison_digest(first) == comparison_digest(second) != comparison_digest(elsewhere)
    assert 3 == len({run_id(each, environment) for each in (first, second, elsewhere)})


def test_fields_with_their_default_change_no_digest(synthetic_record: RunRecord) -> None:
    """A field that is added later, also in a nested struct, therefore keeps the names of older records."""
    conditions = Conditions(
        budget=Budget(steps=1), recipe=Recipe(weights="imagenet", head=Head(kind="mlp", widths=(8,)))
    )
    assert {
        "budget": {"steps": 1},
        "recipe": {"weights": "imagenet", "head": {"kind": "mlp", "widths": (8,)}},
    } == canonical_fields(conditions)


def test_another_optimizer_of_the_same_name_is_another_comparison(synthetic_record: RunRecord) -> None:
    """The code of a plug-in determines results."""
    spec, environment = synthetic_record.spec, synthetic_record.environment
    edited = msgspec.structs.replace(spec, optimizer_provider="lion.py sha256:123")
    assert comparison_digest(spec) != comparison_digest(edited)
    assert "optimizer was torch, is lion.py sha256:123" == changes(facts(spec, environment), facts(edited, environment))
