"""Budgets, recipes and records refuse invalid values."""

import pickle
import re

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.records.types import Failure, RunRecord

budgets = st.one_of(
    st.builds(Budget, steps=st.integers(1, 2**53)),
    st.builds(Budget, images=st.integers(1, 2**53)),
    *(
        st.floats(0, most, exclude_min=True).map(lambda amount, unit=unit: Budget(**{unit: amount}))
        for unit, most in (("epochs", 1e9), ("seconds", 1e9), ("flops", 1e30))
    ),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60 s", Budget(seconds=60)),
        ("5min", Budget(seconds=300)),
        ("1.5 h", Budget(seconds=5400)),
        ("30 steps", Budget(steps=30)),
        (".5 h", Budget(seconds=1800)),
        ("1 epoch", Budget(epochs=1)),
        ("0.5 epochs", Budget(epochs=0.5)),
        ("10_000 images", Budget(images=10000)),
        ("1e15 FLOPs", Budget(flops=1e15)),
    ],
)
def test_budget_is_read_as_people_write_it(text: str, expected: Budget) -> None:
    """A budget is a number and a unit, in common spellings."""
    assert expected == Budget.parse(text)


@pytest.mark.parametrize(
    "text", ["60", "s", "-3 s", "0 s", "1.5 steps", "3 parsecs", "", "1e999 s", "nan s", "1.2.3 s", "1__0 s"]
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    """The message says what is expected."""
    with pytest.raises(ValueError, match=r"^not a budget\. Expected"):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 steps", "in steps, a whole number from 1 to 9,007,199,254,740,992"),
        ("1.5 steps", "in steps, a whole number from 1 to 9,007,199,254,740,992"),
        ("0 min", "in seconds, a number above 0 and at most 1,000,000,000"),
        ("1e31 flops", "in flops, a number above 0 and at most 1e+30"),
    ],
)
def test_an_amount_out_of_bounds_is_refused_with_the_bounds(text: str, expected: str) -> None:
    """The bounds have the unit of the budget."""
    with pytest.raises(ValueError, match=rf"^not a budget\. Expected, {re.escape(expected)}$"):
        Budget.parse(text)


@pytest.mark.parametrize(
    ("fields", "text"),
    [({"steps": 1}, "1 step"), ({"epochs": 1.0}, "1 epoch"), ({"epochs": 0.5}, "0.5 epochs"), ({"seconds": 1}, "1 s")],
)
def test_the_text_of_a_budget_has_the_noun_of_its_number(fields: dict[str, float], text: str) -> None:
    """Its unit is singular for one."""
    assert text == str(Budget(**fields))


@given(budgets)
def test_every_budget_that_is_accepted_can_be_typed(budget: Budget) -> None:
    """The text of a budget, read again, gives an equal budget."""
    assert budget == Budget.parse(str(budget))


@given(st.one_of(st.text(max_size=20), st.from_regex(r"[0-9][0-9_.eE+-]{0,12} ?(s|steps|epochs|images|flops|h)")))
@example("1e400 s")
@example("1._1 s")
@example("1e300 h")
@example("9" * 5000 + " steps")
def test_any_text_is_a_budget_or_a_value_error(text: str) -> None:
    """No other exception is raised, and the text of the budget can be read again."""
    try:
        budget = Budget.parse(text)
    except ValueError:
        return
    assert budget == Budget.parse(str(budget))


@pytest.mark.parametrize("fields", [{}, {"steps": 3, "epochs": 2}, {"seconds": 1, "flops": 1}])
def test_a_budget_is_exactly_one_thing(fields: dict[str, float]) -> None:
    """No unit and two units are refused; the message has the accepted and the given units."""
    with pytest.raises(msgspec.ValidationError, match=r"exactly one of steps, epochs, images, seconds, flops; got"):
        msgspec.convert(fields, Budget)


@pytest.mark.parametrize("fields", [{"crop_scale": (0.5, 0.1)}, {"crop_ratio": (2.0, 1.0)}, {"batch_size": 1}])
def test_a_recipe_that_cannot_be_carried_out_is_refused(fields: dict[str, object]) -> None:
    """Ranges must be ordered, and batch norm needs two images."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Recipe)


def test_a_record_holds_measurements_or_a_failure(synthetic_record: RunRecord) -> None:
    """A record with neither or both is refused."""
    failure = Failure(cause="error", message="no", step=None)
    with pytest.raises(ValueError, match="either `measurements` or `failure`"):
        msgspec.structs.replace(synthetic_record, failure=failure)
    with pytest.raises(ValueError, match="either `measurements` or `failure`"):
        msgspec.structs.replace(synthetic_record, measurements=None)


def test_a_record_travels_between_processes(synthetic_record: RunRecord) -> None:
    """A pickled record is equal to the original."""
    assert synthetic_record == pickle.loads(pickle.dumps(synthetic_record))
