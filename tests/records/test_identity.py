"""Digests and names stay what they were when fields are added."""

from pathlib import Path

import msgspec

from intelbench.records.identity import comparison_digest, run_id, settled
from intelbench.records.store import read_runs
from intelbench.records.types import IMAGENET_NORMALIZATION, Budget, Conditions, Recipe, RunRecord, Weights

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "runs"


def test_committed_records_keep_their_names() -> None:
    """Which are digests of all that decides a result; their groups keep the keys that figures are named by."""
    records = [stored.record for stored in read_runs(REFERENCE)[0]]
    assert 30 == len(records)
    assert [record.run_id for record in records] == [run_id(record.spec, record.environment) for record in records]
    assert 1 == len({comparison_digest(record.spec) for record in records})


def test_a_later_field_counts_where_it_says_something(synthetic_record: RunRecord) -> None:
    """Another recipe is another comparison and another run."""
    spec = synthetic_record.spec
    recipe = msgspec.structs.replace(spec.conditions.recipe, weights="imagenet")
    changed = msgspec.structs.replace(spec, conditions=msgspec.structs.replace(spec.conditions, recipe=recipe))
    assert comparison_digest(spec) != comparison_digest(changed)


def test_a_run_is_named_by_its_weights_too(synthetic_record: RunRecord) -> None:
    """Two files of one name are two runs that may be compared."""
    spec, environment = synthetic_record.spec, synthetic_record.environment
    names = set()
    for digest in ("0" * 64, "1" * 64):
        weights = Weights(file="x.pth", sha256=digest, normalization=IMAGENET_NORMALIZATION)
        changed = msgspec.structs.replace(spec, weights=weights)
        assert comparison_digest(spec) == comparison_digest(changed)
        names.add(run_id(changed, environment))
    assert 3 == len(names | {run_id(spec, environment)})


def test_what_is_settled_is_what_was_always_said_and_what_is_new() -> None:
    """In the order of the fields."""
    conditions = Conditions(budget=Budget(steps=1), recipe=Recipe(weights="imagenet"))
    first = settled(Conditions(budget=Budget(steps=1), recipe=Recipe()))
    assert list(first) == list(settled(conditions))
    assert first["recipe"] == {
        name: value for name, value in settled(conditions)["recipe"].items() if name != "weights"
    }
    assert "weights" == list(settled(conditions)["recipe"])[-1]
