"""Suites are what they say, and survive being written and read."""

import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import torchvision
from hypothesis import given
from hypothesis import strategies as st

from intelbench.architectures.reference import REFERENCE
from intelbench.config.budget import Budget
from intelbench.config.conditions import Override, Suite
from intelbench.config.fields import Vary
from intelbench.config.recipe import Head, Recipe
from intelbench.config.suites import budgets as budgets_of
from intelbench.config.suites import (
    built_in_suites,
    conditions_of,
    encode_suite,
    encode_with_comments,
    load_suite,
    override,
)
from intelbench.errors import UserError
from intelbench.records.types import RunSpec
from intelbench.results.claims import differing_conditions, load_claims
from intelbench.statistics.comparisons import MARGIN
from tests.records.test_types import budgets
from tests.synthetic import Study, synthetic_run


def test_a_written_suite_has_only_the_optional_keys_that_it_uses() -> None:
    """Those that change nothing by default are left out; the others stay, also at their defaults."""
    plain, modern = (encode_suite(load_suite(name)) for name in ("paper", "modern"))
    assert "label_smoothing = 0.0" in plain
    for key in (
        "transforms",
        "mixup_alpha",
        "sampling",
        "ema_decay",
        "keep",
        "shards",
        "micro_batches",
        "class_weights",
    ):
        assert f"\n{key} = " not in plain
    for key in ("transforms", "mixup_alpha", "ema_decay", "decay_norms_and_biases"):
        assert f"\n{key} = " in modern


@pytest.mark.parametrize("name", built_in_suites())
def test_built_in_suites_are_what_they_say(name: str) -> None:
    """Each decodes, carries its file's name, says what it is, and compares several architectures."""
    suite = load_suite(name)
    assert name == suite.name
    assert suite.description
    assert len(suite.architectures) >= 3
    assert set(suite.overrides) <= set(suite.architectures)


@pytest.mark.parametrize("name", ["quick", "paper", "published"])
def test_the_reference_suites_compare_the_five(name: str) -> None:
    """The architectures of the published comparison, and the twin of the one with LeakyReLU."""
    assert set(REFERENCE) == set(load_suite(name).architectures)


@pytest.mark.parametrize("name", ["transfer", "finetune"])
def test_suites_for_an_own_folder_start_from_weights(name: str) -> None:
    """At the size of those weights, on networks that torchvision has weights for."""
    suite = load_suite(name)
    assert (224, "default") == (suite.image_size, suite.recipe.weights)
    assert set(suite.architectures) <= set(torchvision.models.list_models())


def test_transfer_trains_heads_on_features_and_finetune_heads_first() -> None:
    """Features are computed once if the views are those of evaluation and the backbone never trains."""
    transfer, finetune = load_suite("transfer").recipe, load_suite("finetune").recipe
    assert ("always", "none") == (transfer.freeze_backbone, transfer.augmentation)
    assert ("never", 0.1, 0.1) == (finetune.freeze_backbone, finetune.frozen_fraction, finetune.backbone_learning_rate)


def test_a_share_of_the_budget_keeps_the_share_in_which_a_backbone_is_frozen() -> None:
    """It is a share already."""
    assert 0.1 == override(load_suite("finetune"), budget=0.5).recipe.frozen_fraction


@pytest.mark.parametrize("name", built_in_suites())
def test_a_written_suite_is_read_back_equal(name: str, tmp_path: Path) -> None:
    """`encode_suite` and `load_suite` are inverse."""
    path = tmp_path / "again.toml"
    path.write_text(encode_suite(load_suite(name)))
    assert load_suite(name) == load_suite(str(path))
    assert load_suite(name) == load_suite(str(path.rename(tmp_path / "AGAIN.TOML")))  # as `start --out` may write it


def test_the_margin_is_in_percentage_points_as_that_of_the_command_line() -> None:
    """1 unless the suite has another; a fraction of it is refused, so that nobody asks for a hundredth of a point."""
    suite = load_suite("quick")
    recorded = {field.name: field.default for field in msgspec.structs.fields(RunSpec)}["margin"]
    assert (1.0, 0.01, MARGIN) == (suite.margin, suite.margin_fraction, recorded)
    assert 0.025 == override(suite, margin=2.5).margin_fraction
    with pytest.raises(UserError, match=r"`margin`: 0\.01 is not accepted.*in percentage points \(1 is 1 %\)"):
        override(suite, margin=0.01)


@pytest.mark.parametrize("name", ["quick", "paper"])
def test_a_suite_of_one_recipe_says_nothing_of_others(name: str) -> None:
    """Written out, it is the file that it was before architectures could have their own."""
    assert "overrides" not in tomllib.loads(encode_suite(load_suite(name)))


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


def test_overrides_replace_only_what_is_given() -> None:
    """The effective suite differs in the budget alone."""
    quick = load_suite("quick")
    effective = override(quick, budget=Budget(seconds=60))
    assert Budget(seconds=60) == effective.budget
    assert quick == override(effective, budget=quick.budget)
    assert quick == override(override(quick, image_size=96), image_size=quick.image_size)


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
            optimizer_arguments={"betas": (0.9, 0.9)},
            freeze_backbone="always",
            head=Head(kind="mlp", widths=(1024,), activation="relu", dropout=0.5),
        ),
        "inception_v3": replace(shared, optimizer_arguments={"betas": (0.9, 0.9)}, freeze_backbone="always"),
        "resnet101_leaky": replace(shared, schedule="cosine"),
    } == {name: found[name].recipe for name in found if name != "resnet101"}


def test_the_published_claims_are_about_the_published_suite() -> None:
    """What the claims on accuracy demand of a recipe, this suite has; how many test images there are is the data's."""
    suite = load_suite("published")
    for claim in load_claims():
        if not claim.id.endswith("-accuracy") or claim.comparative:
            continue
        study = Study(conditions=suite.conditions, own={name: conditions_of(suite, name) for name in suite.overrides})
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
    shared = msgspec.structs.replace(suite, recipe=recipe, budget=Budget(steps=3), overrides={})
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
    with pytest.raises(
        UserError, match=r"suite published with the options .*: key `overrides\.resnet152`: a budget in FLOPs needs"
    ):
        override(suite, budget=Budget(flops=1e9))


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)


recipes = st.builds(
    Recipe,
    optimizer=st.sampled_from(["adam", "adamw", "sgd"]),
    learning_rate=st.floats(0, 1e6, exclude_min=True),
    optimizer_arguments=st.dictionaries(
        st.sampled_from(["betas", "momentum", "nesterov"]),
        st.booleans() | st.floats(0, 1) | st.tuples(*[st.floats(0, 1)] * 2),
    ),
    batch_size=st.integers(2, 65_536),
    crop_ratio=st.tuples(*[st.floats(0.01, 100)] * 2).map(lambda pair: (min(pair), max(pair))),
    flip=st.booleans(),
)


override_recipes = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate": st.floats(0, 1e6, exclude_min=True),
        "optimizer_arguments": st.fixed_dictionaries({"betas": st.lists(st.floats(0, 1), min_size=2, max_size=2)}),
        "batch_size": st.integers(2, 65_536),
        "augmentation": st.sampled_from(["fresh", "none"]) | st.integers(1, 2**53),
        "head": st.just({"kind": "mlp", "widths": [8, 4], "dropout": 0.5}),
    },
)


SOURCES = get_args(Vary)


suites = st.builds(
    Suite,
    name=names,
    description=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20),
    architectures=st.lists(names, min_size=1, max_size=3).map(tuple),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3).map(tuple),
    data=names,
    images_per_class=st.lists(st.integers(1, 2**53) | st.just("all"), min_size=1, max_size=3).map(tuple),
    vary=st.sampled_from(SOURCES) | st.lists(st.sampled_from(SOURCES), min_size=1, max_size=3).map(tuple),
    image_size=st.integers(8, 4096),
    training_evaluation_images=st.none() | st.integers(1, 2**53),
    validation_fraction=st.floats(0, 1, exclude_min=True, exclude_max=True),
    budget=budgets,
    recipe=recipes,
    overrides=st.dictionaries(
        names, st.builds(Override, budget=st.none() | budgets, recipe=override_recipes), max_size=3
    ),
)


@given(suites)
def test_whatever_a_suite_may_hold_survives_being_written_and_read(
    tmp_path_factory: pytest.TempPathFactory, suite: Suite
) -> None:
    """Up to the bounds of every number, in any script: `encode_suite` and `load_suite` are inverse."""
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text(encode_suite(suite), encoding="utf-8")
    assert suite == load_suite(str(path)) == override(suite)
    path.write_text(encode_with_comments(suite, {"": "Why.", "seeds": "So many."}), encoding="utf-8")
    assert suite == load_suite(str(path))


def test_comments_are_above_what_they_explain() -> None:
    """At the top, above keys and above tables, wrapped; keys that have their default are left out without one."""
    suite = override(load_suite("quick"), validation_fraction=0.1)
    written = encode_with_comments(
        suite, {"": "First.\nSecond.", "seeds": "long " * 30, "budget": "Short.", "recipe.flip": "Both ways."}
    )
    lines = written.splitlines()
    assert ["# First.", "# Second.", 'name = "quick"'] == lines[:3]
    assert [["# " + "long " * 18 + "long", "# " + "long " * 10 + "long"]] == [
        lines[number - 2 : number] for number, line in enumerate(lines) if line == "seeds = [0, 1, 2]"
    ]
    assert ["", "# Short.", "[budget]", "steps = 30", ""] == lines[lines.index("# Short.") - 1 :][:5]
    assert ["", "# Both ways.", "flip = true"] == lines[lines.index("# Both ways.") - 1 :][:3]
    assert "validation_fraction" not in written
    assert "crop_scale" not in written
