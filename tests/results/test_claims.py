"""Claims are read strictly, the built-in ones are those of the published project, and every complaint names its key."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.architectures.reference import REFERENCE
from intelbench.config.recipe import Head, Recipe
from intelbench.errors import UserError
from intelbench.results.claims import IN_WORDS, Claim, condition_keys, differing_conditions, load_claims
from tests.synthetic import CONDITIONS as CONDITIONS_OF_STUDY
from tests.synthetic import Study, synthetic_run

RESNET_HEAD = Head(kind="mlp", widths=(1024, 256), activation="relu", dropout=0.25)

VALID = """
[[claim]]
id = "first"
statement = "It is steady."
source = "a paper"
metric = "churn"
relation = "lower"
architecture = "mine"

[[claim]]
id = "second"
statement = "It is right."
source = "a paper"
architecture = "mine"
"""
SECOND = 'metric = "test_accuracy"\nrelation = "at_least"\nvalue = 0.9\n'
BUILT_IN = {claim.id: claim for claim in load_claims()}
CONDITIONS: dict[str, Any] = {
    "weights": "imagenet",
    "image_size": 224,
    "budget.epochs": 40,
    "recipe.learning_rate": 1e-4,
    "recipe.optimizer_arguments.betas": [0.9, 0.98],
    "data.class_names": ["cat", "dog"],
    "execution.device": "cuda",
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def claim(**changes: Any) -> Claim:
    """A valid one, with changes."""
    fields = {"id": "c", "statement": "s", "source": "r", "metric": "churn", "relation": "lower", "architecture": "a"}
    return msgspec.convert(fields | changes, Claim)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("resnet152-parameters", 60_192_808),
        ("wrn-parameters", 126_886_696),
        ("wrn-double-resnet152", 126_886_696 / 60_192_808),
        ("inception-parameters", 27_161_264),
        ("resnet152-memory", 1343.71),
        ("wrn-memory", 1481.65),
        ("inception-memory", 333.30),
        ("resnet152-accuracy", 2793 / 3000),
        ("wrn-accuracy", 2685 / 3000),
        ("inception-accuracy", 2609 / 3000),
    ],
)
def test_published_figures_are_near_what_is_known_of_them(name: str, figure: float) -> None:
    """Each known figure lies within the tolerance of its claim, and the tolerance is a fraction of it."""
    published = BUILT_IN[name]
    assert published.value is not None
    assert abs(figure - published.value) <= published.tolerance <= published.value / 4


def test_the_built_in_claims_are_about_the_reference_architectures() -> None:
    """And each says where it was published and what is known of it."""
    for each in BUILT_IN.values():
        assert {each.architecture, *(each.others or ())} <= set(REFERENCE)
        assert each.source in ("report", "README", "notebook")
        assert each.known


def test_what_was_said_without_a_figure_is_built_in_too() -> None:
    """Best, stable, costly, inconsistent; what LeakyReLU does; the largest confusions."""
    comparative = {name for name, each in BUILT_IN.items() if each.comparative}
    assert {
        "resnet152-best",
        "resnet152-stable-loss",
        "wrn-unstable-loss",
        "wrn-costly-time",
        "inception-unstable-loss",
        "inception-inconsistent",
        "leaky-dead-units",
        "leaky-mean-lower",
        "leaky-faster-50",
        "resnet152-confusions",
    } <= comparative
    assert (("buildings", "street"), ("glacier", "mountain")) == BUILT_IN["resnet152-confusions"].classes


def test_published_accuracies_need_pretrained_weights() -> None:
    """So they are never held against runs from random ones, which the plain suites make."""
    figures = [each for each in BUILT_IN.values() if each.metric in ("test_accuracy", "training_accuracy")]
    absolute = [each for each in figures if not each.comparative]
    assert 5 == len(figures) - 1 == len(absolute)
    assert {"imagenet"} == {each.required["weights"] for each in absolute}
    assert "random" == IN_WORDS["weights"](synthetic_run("resnet101", 0, Study())[0])


def test_a_file_of_the_users_own_is_read(tmp_path: Path) -> None:
    """In its order, with defaults for what it leaves out."""
    first, second = load_claims(write(tmp_path, VALID + SECOND))
    assert ("first", None, {}) == (first.id, first.others, first.required)
    assert ("second", 0.9, 0.0) == (second.id, second.value, second.tolerance)
    assert (True, False) == (first.comparative, second.comparative)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("claims = 3", r"key `claims`: not known. Expected one of: claim. Try `claim`$"),
        (
            "claim = []",
            r"key `claim`: an empty array is not accepted. Expected an array of at least 1 item, each a table$",
        ),
        (
            VALID + SECOND + "colour = 3",
            r"key `claim\[1\]\.colour`: not known. Expected one of: id, .* \(claim 'second'\)$",
        ),
        (
            VALID + SECOND.replace("at_least", "best"),
            r"key `claim\[1\].relation`: 'best' is not accepted. Expected 'at_least', 'at_most'",
        ),
        (
            VALID + SECOND.replace("0.9", "'much'"),
            r"key `claim\[1\].value`: 'much' is not accepted. Expected a number \(",
        ),
        (
            VALID + SECOND.replace("test_accuracy", "accuracy"),
            r"key `claim\[1\]`: `metric` 'accuracy' is not known. Try `test_accuracy`. Expected one of: test_acc",
        ),
        (VALID + SECOND.replace("0.9", "93.1"), r"fraction from 0 to 1; got 93.1.*\(claim 'second'\)"),
        (VALID + SECOND.replace("0.9", "nan"), r"finite numbers.*\(claim 'second'\)"),
        (VALID + SECOND + "tolerance = -1", r"key `claim\[1\].tolerance`: -1 is not .* a number of at least 0 \("),
        (VALID + SECOND.replace("value = 0.9", ""), r"relation `at_least` needs a `value`"),
        (VALID.replace('"lower"', '"lower"\nvalue = 1') + SECOND, r"takes neither `value`, .*\(claim 'first'\)"),
        (
            VALID + SECOND + "runs = 0",
            r"key `claim\[1\].runs`: 0 is not accepted. Expected a whole number of at least 1",
        ),
        (VALID + SECOND + "margin = 0.1", r"`at_least` takes a `tolerance` and no `margin` \(claim 'second'\)"),
        (VALID + SECOND.replace("test_accuracy", "num_parameters") + "runs = 2", r"`runs` is for what runs measure"),
        (VALID.replace('"lower"', '"lower"\nruns = 2') + SECOND, r"takes neither .* nor `runs`.*\(claim 'first'\)"),
        (VALID.replace('"lower"', '"lower"\nmargin = inf') + SECOND, r"finite numbers.*\(claim 'first'\)"),
        (VALID.replace('"lower"', '"lower"\nmargin = 2') + SECOND, r"`margin` of `churn` is a fraction below 1; got 2"),
        (
            VALID.replace('"churn"\nrelation = "lower"', '"brier_score"\nrelation = "equivalent"') + SECOND,
            r"`equivalent` needs a `margin` above 0 for `brier_score`",
        ),
        (VALID + SECOND + "others = ['b', 'c']", r"`others` is one architecture; got 2"),
        (VALID + SECOND + "others = ['mine']", r"holds 'mine', which is `architecture` itself"),
        (VALID + SECOND + "accuracy = 0.5", r"`accuracy` belongs to metric `steps_to_accuracy`"),
        (VALID + SECOND + "classes = [['a', 'b']]", r"`classes` belongs to metric `confusion`"),
        (
            VALID + SECOND + "conditions.size = 3",
            r"unknown key `size`. Expected one of: weights, backbone, .*image_size",
        ),
        (
            VALID + SECOND + "conditions.image_size = 'big'",
            r"condition `image_size`: 'big' is not accepted. Expected a whole",
        ),
        (
            VALID + SECOND + "conditions.recipe.optimizer = 'Lion'",
            r"condition `recipe.optimizer`: 'Lion' is not accepted",
        ),
        (VALID + SECOND.replace("value", "id"), r"mine\.toml: "),
        (VALID.replace("second", "first") + SECOND, r"key `id`: first given more than once"),
        (
            VALID.replace("second", "Not an id") + SECOND,
            r"key `claim\[1\].id`: 'Not an id' is not .* small letters and",
        ),
        (
            "[claim]\nid = 'a'",
            r"key `claim`: a table is not accepted. Expected an array of at least 1 item, each a table$",
        ),
        (VALID, r"key `claim\[1\]\.metric`: missing. Expected text \(claim 'second'\)$"),
    ],
)
def test_a_mistake_names_its_key_and_what_is_accepted(tmp_path: Path, text: str, said: str) -> None:
    """Unknown keys, wrong types, wrong values, keys that do not go together, an id given twice."""
    with pytest.raises(UserError, match=said):
        load_claims(write(tmp_path, text))


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(UserError, match=r"claims .*none\.toml: cannot be read"):
        load_claims(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": "confusion"},
        {"metric": "confusion", "relation": "lower", "classes": [["a", "b"]]},
        {"metric": "confusion", "relation": "higher", "classes": [["a", "a"]]},
        {"metric": "confusion", "relation": "higher", "classes": [["a", "b"], ["b", "a"]]},
        {"metric": "steps_to_accuracy"},
        {"others": []},
    ],
)
def test_keys_that_belong_together_are_asked_for(changes: dict[str, Any]) -> None:
    """Pairs of different classes, each once, for confusions; an accuracy to wait for; others that are not none."""
    with pytest.raises(msgspec.ValidationError):
        claim(**changes)


@pytest.mark.parametrize(
    ("metric", "margin"),
    [("churn", 0.01), ("test_accuracy", 0.01), ("step_seconds", 0.02), ("num_parameters", 0.02), ("brier_score", 0.0)],
)
def test_the_usual_margin_is_that_of_the_kind_of_comparison(metric: str, margin: float) -> None:
    """A point, 2 %, or none; a claim can name another."""
    assert margin == claim(metric=metric).largest_equivalent
    assert 0.125 == claim(metric=metric, margin=0.125).largest_equivalent


@given(st.dictionaries(st.sampled_from(sorted(CONDITIONS)), st.booleans()))
def test_conditions_may_be_nested_or_dotted(chosen: dict[str, bool]) -> None:
    """A table inside a table, and its keys joined by dots, require the same."""
    written: dict[str, Any] = {}
    for key, nested in chosen.items():
        *path, last = key.split(".") if nested else [key]
        table = written
        for part in path:
            table = table.setdefault(part, {})
        table[last] = CONDITIONS[key]
    assert {key: CONDITIONS[key] for key in chosen} == claim(conditions=written).required


def test_records_hold_every_condition() -> None:
    """A record meets what it holds itself, key by key; what it does not hold is named with both values."""
    record, _ = synthetic_run("resnet101", 0, Study())
    facts = msgspec.to_builtins(record)
    for key in condition_keys():
        held = IN_WORDS[key](record) if key in IN_WORDS else value_at(facts, key)
        if held is not None:
            assert {} == differing_conditions(claim(conditions={key: held}), [record])
    assert {"image_size": (224, 64)} == differing_conditions(claim(conditions={"image_size": 224}), [record])
    assert {"weights": ("imagenet", "random")} == differing_conditions(
        claim(conditions={"weights": "imagenet"}), [record]
    )


@pytest.mark.parametrize(
    ("recipe", "conditions", "meets"),
    [
        ({}, {"weights": "random", "backbone": "trained", "head": "one linear layer"}, True),
        ({"weights": "imagenet"}, {"weights": "imagenet"}, True),
        ({"weights": "imagenet-v2"}, {"weights": "imagenet"}, False),
        ({"freeze_backbone": "always"}, {"backbone": "frozen"}, True),
        ({"freeze_backbone": 10}, {"backbone": "frozen for 10 epochs, then trained"}, True),
        ({"frozen_fraction": 0.1}, {"backbone": "frozen for 10 % of the budget, then trained"}, True),
        ({"freeze_backbone": 9}, {"backbone": "frozen for 10 epochs, then trained"}, False),
        ({"head": RESNET_HEAD}, {"head": "2048-1024-256-6, ReLU, dropout 0.25"}, True),
        ({"head": RESNET_HEAD}, {"head": "1024-256-6, dropout 0.25"}, True),
        ({"head": RESNET_HEAD}, {"head": "2048-256-6, ReLU, dropout 0.25"}, False),
        ({"head": RESNET_HEAD}, {"head": "2048-1024-256-6, ReLU, dropout 0.5"}, False),
        ({"head": RESNET_HEAD}, {"head": "one linear layer"}, False),
        ({"head": RESNET_HEAD}, {"recipe.head.activation": "relu", "recipe.head.widths": [1024, 256]}, True),
    ],
)
def test_the_recipe_is_said_in_words_too(recipe: dict[str, Any], conditions: dict[str, Any], meets: bool) -> None:
    """As publications say it: a head's features are the architecture's, and what is not said is not asked for."""
    changed = msgspec.structs.replace(CONDITIONS_OF_STUDY, recipe=Recipe(**recipe))
    record, _ = synthetic_run("resnet101", 0, Study(conditions=changed))
    assert meets == (not differing_conditions(claim(conditions=conditions), [record]))


@pytest.mark.parametrize(
    ("changes", "meets"),
    [
        ({"metric": "test_accuracy", "relation": "at_least", "value": 0.5}, True),
        ({"others": ["c"]}, True),
        ({"others": ["b"]}, False),
        ({}, False),
    ],
)
def test_only_those_that_a_claim_is_about_need_its_conditions(changes: dict[str, Any], meets: bool) -> None:
    """Under recipes of their own the others have others; a claim about every other architecture is about all."""
    own = msgspec.structs.replace(CONDITIONS_OF_STUDY, recipe=Recipe(learning_rate=0.5))
    records = [synthetic_run(name, 0, Study(own={"b": own}))[0] for name in "abc"]
    found = differing_conditions(claim(conditions={"recipe.learning_rate": 1e-4}, **changes), records)
    assert meets == (not found)


def value_at(facts: dict[str, Any], key: str) -> Any:
    """What a record in plain values holds under a key of `conditions`."""
    group, _, rest = key.partition(".")
    at: Any = {"data": facts["spec"]["data"], "execution": facts["spec"]["execution"]}.get(group)
    at = facts["environment"] if group == "environment" else at
    for name in (key if at is None else rest).split("."):
        at = (facts["spec"]["conditions"] if at is None else at).get(name)
    return at
