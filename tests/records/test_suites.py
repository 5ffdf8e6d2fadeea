"""Suites are read strictly, and every complaint names the key and what is accepted."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.errors import UserError
from intelbench.records.suites import built_in_suites, encode_suite, load_suite, override
from intelbench.records.types import Budget, Recipe, Suite
from tests.records.test_types import budgets

SUITE = """
name = "mine"
architectures = ["resnet101"]
seeds = [0]
{top}
[budget]
{budget}
[recipe]
{recipe}
"""


def write(tmp_path: Path, top: str = "", budget: str = "steps = 3", recipe: str = "") -> str:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(top=top, budget=budget, recipe=recipe))
    return str(path)


@pytest.mark.parametrize("name", built_in_suites())
def test_built_in_suites_are_what_they_say(name: str) -> None:
    """Each decodes, carries its file's name, compares the five, and survives being written and read again."""
    suite = load_suite(name)
    assert name == suite.name
    assert 5 == len(suite.architectures)


@pytest.mark.parametrize("name", built_in_suites())
def test_a_written_suite_is_read_back_equal(name: str, tmp_path: Path) -> None:
    """`encode_suite` and `load_suite` are inverse."""
    path = tmp_path / "again.toml"
    path.write_text(encode_suite(load_suite(name)))
    assert load_suite(name) == load_suite(str(path))


def test_quick_is_the_quick_one_and_paper_the_published_one() -> None:
    """What the documentation promises of the two."""
    quick, paper = load_suite("quick"), load_suite("paper")
    assert ("scenes", 3) == (quick.data, len(quick.seeds))
    assert quick.image_size >= 75
    assert (224, 32, (0.08, 1.0), "epochs") == (
        paper.image_size,
        paper.recipe.batch_size,
        paper.recipe.crop_scale,
        paper.budget.unit,
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"top": "imge_size = 3"}, r"unknown field `imge_size`; accepted: .*image_size"),
        ({"top": "precision = 'fp8'"}, r"'fp8', at key `precision`; accepted: bf16, fp16, fp32"),
        ({"top": "image_size = 'big'"}, r"Expected `int`, got `str`, at key `image_size`"),
        ({"top": "validation_fraction = 1.0"}, r"Expected `float` < 1.0, at key `validation_fraction`"),
        ({"budget": "step = 3"}, r"unknown field `step`, at key `budget`; accepted: steps, epochs, images"),
        ({"budget": "steps = 3\nepochs = 2"}, r"exactly one of .*; got steps, epochs, at key `budget`"),
        ({"budget": ""}, r"exactly one of .*; got none, at key `budget`"),
        ({"recipe": "optimizer = 'lion'"}, r"'lion', at key `recipe.optimizer`; accepted: adam, adamw, sgd"),
        ({"recipe": "lr = 1"}, r"unknown field `lr`, at key `recipe`; accepted: optimizer, learning_rate"),
        ({"recipe": "batch_size = 1"}, r"at key `recipe.batch_size`"),
        (
            {"recipe": "freeze_backbone = 'alway'"},
            r"at key `recipe.freeze_backbone`; accepted: always, never, a number",
        ),
        ({"recipe": "freeze_backbone = -1"}, r"at key `recipe.freeze_backbone`"),
        ({"recipe": "head = {kind = 'mlp'}"}, r"an `mlp` has `widths`.*, at key `recipe.head`"),
        ({"recipe": "head = {widths = [3]}"}, r"a `linear` head has no hidden layer.*, at key `recipe.head`"),
        ({"recipe": "head = {kind = 'deep'}"}, r"'deep', at key `recipe.head.kind`; accepted: linear, mlp"),
        (
            {"budget": "flops = 1e9", "recipe": "freeze_backbone = 3"},
            r"a budget in FLOPs needs `recipe.freeze_backbone`",
        ),
        ({"recipe": "= 3"}, r"suite .*mine\.toml: "),
        ({"top": "image_size = 1_000_000_000"}, r"Expected `int` <= 4096, at key `image_size`"),
        ({"top": "evaluation_points = 1_000_000_000_000"}, r"Expected `int` <= 10000, at key `evaluation_points`"),
        ({"recipe": "batch_size = 1_000_000_000_000"}, r"Expected `int` <= 65536, at key `recipe.batch_size`"),
        ({"recipe": "learning_rate = inf"}, r"Expected `float` <= 1000000.0, at key `recipe.learning_rate`"),
        ({"recipe": "weight_decay = nan"}, r"Expected `float` >= 0.0, at key `recipe.weight_decay`"),
        ({"recipe": "crop_ratio = [1, inf]"}, r"Expected `float` <= 100.0, at key `recipe.crop_ratio\[1\]`"),
        ({"recipe": "betas = [nan, nan]"}, r"`betas` must lie in \[0, 1\); got \[nan, nan\], at key `recipe`"),
        ({"budget": "steps = 1" + "0" * 30}, r"Expected `int` <= 9007199254740992, at key `budget.steps`"),
        ({"budget": "seconds = nan"}, r"Expected `float` > 0.0, at key `budget.seconds`"),
        ({"budget": "seconds = inf"}, r"Expected `float` <= 1000000000.0, at key `budget.seconds`"),
        ({"budget": "flops = 1e300"}, r"Expected `float` <= 1e\+30, at key `budget.flops`"),
        ({"top": 'description = "\\u001b[31m"'}, r"Expected `str` without control characters, at key `description`"),
        ({"top": 'data = "\\u0000"'}, r"Expected `str` without control characters, at key `data`"),
    ],
)
def test_a_mistake_names_its_key_and_what_is_accepted(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    """Unknown keys, wrong types, wrong values, broken TOML."""
    with pytest.raises(UserError, match=said):
        load_suite(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("name", "said"),
    [("quik", "did you mean 'quick'"), ("nothing", "Built in: paper, quick"), ("no/such.toml", "cannot be read")],
)
def test_a_suite_that_is_not_there_is_said_so(name: str, said: str) -> None:
    """With the nearest name, or the names there are, or the file that could not be read."""
    with pytest.raises(UserError, match=said):
        load_suite(name)


def test_overrides_replace_only_what_is_given() -> None:
    """The effective suite differs in the budget alone."""
    quick = load_suite("quick")
    effective = override(quick, budget=Budget(seconds=60))
    assert Budget(seconds=60) == effective.budget
    assert quick == override(effective, budget=quick.budget)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": (10**30,)}, r"Expected `int` <= 9223372036854775807, at key `seeds\[0\]`"),
        ({"seeds": tuple(range(2001))}, "`architectures` x `seeds` are 10,005 runs; at most 10,000 are accepted"),
        ({"architectures": ("a\x1b[31m",)}, r"Expected `str` without control characters, at key `architectures\[0\]`"),
        ({"data": ""}, r"Expected `str` of length >= 1, at key `data`"),
    ],
)
def test_an_override_is_held_to_what_a_file_is_held_to(changes: dict[str, Any], said: str) -> None:
    """The command line cannot say what a suite could not."""
    with pytest.raises(UserError, match=f"suite quick, with what was given in its place: {said}"):
        override(load_suite("quick"), **changes)


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)
recipes = st.builds(
    Recipe,
    optimizer=st.sampled_from(["adam", "adamw", "sgd"]),
    learning_rate=st.floats(0, 1e6, exclude_min=True),
    betas=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2),
    batch_size=st.integers(2, 65_536),
    crop_ratio=st.tuples(*[st.floats(0.01, 100)] * 2).map(lambda pair: (min(pair), max(pair))),
    flip=st.booleans(),
)
suites = st.builds(
    Suite,
    name=names,
    description=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20),
    architectures=st.lists(names, min_size=1, max_size=3).map(tuple),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3).map(tuple),
    data=names,
    image_size=st.integers(8, 4096),
    training_evaluation_images=st.none() | st.integers(1, 2**53),
    validation_fraction=st.floats(0, 1, exclude_min=True, exclude_max=True),
    budget=budgets,
    recipe=recipes,
)


@given(suites)
def test_whatever_a_suite_may_hold_survives_being_written_and_read(
    tmp_path_factory: pytest.TempPathFactory, suite: Suite
) -> None:
    """Up to the bounds of every number, in any script: `encode_suite` and `load_suite` are inverse."""
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text(encode_suite(suite), encoding="utf-8")
    assert suite == load_suite(str(path)) == override(suite)
