"""Suites are read strictly, and every complaint names the key and what is accepted."""

from pathlib import Path

import pytest

from intelbench.errors import UserError
from intelbench.records.suites import built_in_suites, encode_suite, load_suite, override
from intelbench.records.types import Budget

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
