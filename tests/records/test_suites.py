"""Suites are read strictly, and every complaint names the key and what is accepted."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.architectures.reference import REFERENCE
from intelbench.errors import UserError
from intelbench.records.claims import differing_conditions, load_claims
from intelbench.records.suites import budgets as budgets_of
from intelbench.records.suites import built_in_suites, conditions_of, encode_suite, load_suite, override
from intelbench.records.types import Budget, Head, Own, Recipe, Suite
from tests.records.test_types import budgets
from tests.reporting.synthetic import Study, synthetic_run

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
    """Each decodes, carries its file's name, says what it is, and compares several architectures."""
    suite = load_suite(name)
    assert name == suite.name
    assert suite.description
    assert len(suite.architectures) >= 3
    assert set(suite.own) <= set(suite.architectures)


@pytest.mark.parametrize("name", ["quick", "paper", "published"])
def test_the_reference_suites_compare_the_five(name: str) -> None:
    """The architectures of the published comparison, and the twin of the one with LeakyReLU."""
    assert set(REFERENCE) == set(load_suite(name).architectures)


def test_quick_transfer_needs_no_network() -> None:
    """Its architectures bring their weights along, and only a head is trained, on features."""
    suite = load_suite("quick-transfer")
    assert suite.architectures == tuple(f"efficientnet_lite{number}" for number in range(3))
    assert ("imagenet", "always", "none") == (
        suite.recipe.weights,
        suite.recipe.freeze_backbone,
        suite.recipe.augmentation,
    )


@pytest.mark.parametrize("name", built_in_suites())
def test_a_written_suite_is_read_back_equal(name: str, tmp_path: Path) -> None:
    """`encode_suite` and `load_suite` are inverse."""
    path = tmp_path / "again.toml"
    path.write_text(encode_suite(load_suite(name)))
    assert load_suite(name) == load_suite(str(path))


@pytest.mark.parametrize("name", ["quick", "paper"])
def test_a_suite_of_one_recipe_says_nothing_of_others(name: str) -> None:
    """Written out, it is the file that it was before architectures could have their own."""
    assert "own" not in tomllib.loads(encode_suite(load_suite(name)))


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
        ({"top": "images_per_class = [10, 'al']"}, r"'al', at key `images_per_class\[1\]`; accepted: all, a number"),
        ({"top": "images_per_class = [0]"}, r"Expected `int` >= 1, at key `images_per_class\[0\]`"),
        ({"top": "images_per_class = []"}, r"Expected `array` of length >= 1, at key `images_per_class`"),
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
        (
            {"recipe": "[own.a.recipe]\nlr = 1"},
            r"own\.a: Object contains unknown field `lr`, at key `recipe`; accepted: optimizer, learning_rate",
        ),
        ({"recipe": "[own.a]\nrecipe.optimizer = 'lion'"}, r"own\.a: .*'lion', at key `recipe.optimizer`; accepted"),
        ({"recipe": "[own.a]\nrecipe.head.widths = [3]"}, r"own\.a: a `linear` head has no .*, at key `recipe.head`"),
        ({"recipe": "[own.a]\nrecipe.learning_rate = 1" + "0" * 400}, r"own\.a: .*, at key `recipe.learning_rate`"),
        ({"recipe": "[own.a]\nrecipe = 3"}, r"Expected `object`, got `int`.*recipe.* \(own\.a\)"),
        (
            {"recipe": "[own.b]\nbudget.steps = 2\n[own.a]\nbudget.epoch = 1"},
            r"unknown field `epoch`, at key `own\[\.\.\.\]\.budget`; accepted: steps, epochs, .* \(own\.a\)",
        ),
        ({"recipe": "[own.a]\nimage_size = 9"}, r"`image_size`, .*; accepted: budget, recipe \(own\.a\)"),
        (
            {"recipe": "[own.a]\nbudget.flops = 1e9\nrecipe.freeze_backbone = 'always'"},
            r"own\.a: a budget in FLOPs needs `recipe.freeze_backbone`",
        ),
        ({"recipe": '[own."\\u001b[31m"]'}, r"Expected `str` without control characters"),
    ],
)
def test_a_mistake_names_its_key_and_what_is_accepted(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    """Unknown keys, wrong types, wrong values, broken TOML."""
    with pytest.raises(UserError, match=said):
        load_suite(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quik", "did you mean 'quick'"),
        ("nothing", "Built in: paper, published, quick, quick-transfer"),
        ("no/such.toml", "cannot be read"),
    ],
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
    assert quick == override(override(quick, image_size=96), image_size=quick.image_size)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": (10**30,)}, r"Expected `int` <= 9223372036854775807, at key `seeds\[0\]`"),
        ({"seeds": tuple(range(2001))}, "`architectures` x `seeds` are 10,005 runs; at most 10,000 are accepted"),
        ({"images_per_class": (0,)}, r"Expected `int` >= 1, at key `images_per_class\[0\]`"),
        (
            {"seeds": tuple(range(1000)), "images_per_class": (1, 2, "all")},
            "`architectures` x `seeds` x `images_per_class` are 15,000 runs; at most 10,000 are accepted",
        ),
        ({"architectures": ("a\x1b[31m",)}, r"Expected `str` without control characters, at key `architectures\[0\]`"),
        ({"image_size": 7}, "Expected `int` >= 8, at key `image_size`"),
        ({"data": ""}, r"Expected `str` of length >= 1, at key `data`"),
    ],
)
def test_an_override_is_held_to_what_a_file_is_held_to(changes: dict[str, Any], said: str) -> None:
    """The command line cannot say what a suite could not."""
    with pytest.raises(UserError, match=f"suite quick, with what was given in its place: {said}"):
        override(load_suite("quick"), **changes)


def test_published_is_what_was_published() -> None:
    """Each architecture has the recipe that its source gives it; the twin has that of the one with LeakyReLU."""
    suite = load_suite("published")
    assert 224 == suite.image_size
    found = {name: conditions_of(suite, name) for name in suite.architectures}
    assert found["resnet101"] == found["resnet101_leaky"]
    epochs = {"resnet152": 40, "wide_resnet101_2": 30, "inception_v3": 30}
    assert epochs == {name: found[name].budget.epochs for name in epochs}
    shared = Recipe(weights="imagenet")
    replace = msgspec.structs.replace
    assert {
        "resnet152": replace(
            shared, freeze_backbone=10.0, head=Head(kind="mlp", widths=(1024, 256), activation="relu", dropout=0.25)
        ),
        "wide_resnet101_2": replace(
            shared,
            learning_rate=1e-3,
            betas=(0.9, 0.9),
            freeze_backbone="always",
            head=Head(kind="mlp", widths=(1024,), activation="relu", dropout=0.5),
        ),
        "inception_v3": replace(shared, betas=(0.9, 0.9), freeze_backbone="always"),
        "resnet101_leaky": replace(shared, schedule="cosine"),
    } == {name: found[name].recipe for name in found if name != "resnet101"}


def test_the_published_claims_are_about_the_published_suite() -> None:
    """What the claims on accuracy demand of a recipe, this suite has; how many test images there are is the data's."""
    suite = load_suite("published")
    for claim in load_claims():
        if not claim.id.endswith("-accuracy") or claim.comparative:
            continue
        study = Study(conditions=suite.conditions, own={name: conditions_of(suite, name) for name in suite.own})
        record, _ = synthetic_run(claim.architecture, 0, study)
        assert {"data.num_test"} == set(differing_conditions(claim, [record])), claim.id


def test_an_architecture_without_its_own_recipe_has_the_shared_one() -> None:
    """As one that the command line names."""
    suite = override(load_suite("published"), architectures=("resnet152", "efficientnet_lite0"))
    assert suite.conditions == conditions_of(suite, "efficientnet_lite0") != conditions_of(suite, "resnet152")


def test_a_share_scales_what_each_architecture_has() -> None:
    """Budgets and frozen epochs, shared and own, keep their proportions; nothing else changes."""
    suite = load_suite("published")
    tenth = override(suite, budget=0.1)
    assert [Budget(epochs=4), Budget(epochs=3)] == budgets_of(tenth)
    recipes = [conditions_of(each, "resnet152").recipe for each in (suite, tenth)]
    assert recipes[1] == msgspec.structs.replace(recipes[0], freeze_backbone=1.0)
    for name in suite.architectures[1:]:
        assert conditions_of(suite, name).recipe == conditions_of(tenth, name).recipe
    recipe = msgspec.structs.replace(suite.recipe, freeze_backbone=4.0)
    shared = msgspec.structs.replace(suite, recipe=recipe, budget=Budget(steps=3), own={})
    assert (Budget(steps=1), 1.0) == (
        override(shared, budget=0.25).budget,
        override(shared, budget=0.25).recipe.freeze_backbone,
    )


def test_a_budget_is_that_of_every_architecture() -> None:
    """Given on the command line, it takes the place of their own; the rest of their recipes stays."""
    suite = load_suite("published")
    assert [Budget(epochs=40), Budget(epochs=30)] == budgets_of(suite)
    effective = override(suite, budget=Budget(steps=5))
    assert [Budget(steps=5)] == budgets_of(effective)
    assert conditions_of(suite, "resnet152").recipe == conditions_of(effective, "resnet152").recipe
    with pytest.raises(UserError, match=r"suite published, with what .*: own\.resnet152: a budget in FLOPs needs"):
        override(suite, budget=Budget(flops=1e9))


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
own_recipes = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate": st.floats(0, 1e6, exclude_min=True),
        "betas": st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2),
        "batch_size": st.integers(2, 65_536),
        "augmentation": st.sampled_from(["fresh", "none"]) | st.integers(1, 2**53),
        "head": st.just({"kind": "mlp", "widths": [8, 4], "dropout": 0.5}),
    },
)
suites = st.builds(
    Suite,
    name=names,
    description=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20),
    architectures=st.lists(names, min_size=1, max_size=3).map(tuple),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3).map(tuple),
    data=names,
    images_per_class=st.lists(st.integers(1, 2**53) | st.just("all"), min_size=1, max_size=3).map(tuple),
    image_size=st.integers(8, 4096),
    training_evaluation_images=st.none() | st.integers(1, 2**53),
    validation_fraction=st.floats(0, 1, exclude_min=True, exclude_max=True),
    budget=budgets,
    recipe=recipes,
    own=st.dictionaries(names, st.builds(Own, budget=st.none() | budgets, recipe=own_recipes), max_size=3),
)


@given(suites)
def test_whatever_a_suite_may_hold_survives_being_written_and_read(
    tmp_path_factory: pytest.TempPathFactory, suite: Suite
) -> None:
    """Up to the bounds of every number, in any script: `encode_suite` and `load_suite` are inverse."""
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text(encode_suite(suite), encoding="utf-8")
    assert suite == load_suite(str(path)) == override(suite)
