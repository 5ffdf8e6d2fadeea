"""Budgets, recipes and records refuse what makes no sense."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.records.types import Budget, Failure, Recipe, RunRecord


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60 s", Budget(seconds=60)),
        ("5min", Budget(seconds=300)),
        ("1.5 h", Budget(seconds=5400)),
        ("30 steps", Budget(steps=30)),
        ("1 epoch", Budget(epochs=1)),
        ("0.5 epochs", Budget(epochs=0.5)),
        ("10_000 images", Budget(images=10000)),
        ("1e15 FLOPs", Budget(flops=1e15)),
    ],
)
def test_budget_is_read_as_people_write_it(text: str, expected: Budget) -> None:
    """A number and a unit, in the spellings people use."""
    assert expected == Budget.parse(text)


@pytest.mark.parametrize("text", ["60", "s", "-3 s", "0 s", "1.5 steps", "3 parsecs", "", "1e999 s", "nan s"])
def test_what_is_no_budget_is_refused_with_its_text(text: str) -> None:
    """The message repeats what was given."""
    with pytest.raises(ValueError, match="is not a budget") as caught:
        Budget.parse(text)
    assert repr(text) in str(caught.value)


@given(st.integers(1, 10**9), st.sampled_from(["steps", "images", "s", "epochs", "flops"]))
def test_a_printed_budget_is_read_back(amount: int, unit: str) -> None:
    """What is printed means the same when typed again."""
    budget = Budget.parse(f"{amount} {unit}")
    assert budget == Budget.parse(str(budget))
    assert unit == ("s" if budget.unit == "seconds" else budget.unit)


@pytest.mark.parametrize("fields", [{}, {"steps": 3, "epochs": 2}, {"seconds": 1, "flops": 1}])
def test_a_budget_is_exactly_one_thing(fields: dict[str, float]) -> None:
    """None and two are refused, and the message names what is accepted and what was given."""
    with pytest.raises(msgspec.ValidationError, match=r"exactly one of steps, epochs, images, seconds, flops; got"):
        msgspec.convert(fields, Budget)


@pytest.mark.parametrize(
    "fields", [{"crop_scale": (0.5, 0.1)}, {"crop_ratio": (2.0, 1.0)}, {"betas": (0.9, 1.0)}, {"batch_size": 1}]
)
def test_a_recipe_that_cannot_be_carried_out_is_refused(fields: dict[str, object]) -> None:
    """Ranges are ordered, decay rates are below one, and batch norm has two images to look at."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Recipe)


def test_a_record_holds_measurements_or_a_failure(synthetic_record: RunRecord) -> None:
    """Neither and both are refused."""
    failure = Failure(cause="error", message="no", step=None)
    with pytest.raises(ValueError, match="either `measurements` or `failure`"):
        msgspec.structs.replace(synthetic_record, failure=failure)
    with pytest.raises(ValueError, match="either `measurements` or `failure`"):
        msgspec.structs.replace(synthetic_record, measurements=None)
