"""Claims that these records cannot test say why, and others get a verdict."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intelbench.reporting.verdicts import verdicts
from intelbench.results.claims import load_claims
from intelbench.results.runs import RunSummary
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from tests.reporting.claimed import changed, verdict
from tests.synthetic import CONDITIONS, Study, Summarize, synthetic_runs


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": "d"}, r"^d did not run$"),
        ({"others": ["b", "d"]}, r"^d did not run$"),
        ({"conditions": {"weights": "imagenet"}}, r"other conditions: weights = imagenet \(here random\)$"),
        ({"conditions": {"budget": {"epochs": 2}}}, r"budget.epochs = 2 \(here none\)$"),
        (
            {"conditions": {"image_size": 8, "weights": "x", "head": "x", "backbone": "x", "data.num_test": 1}},
            r"image_size = 8 \(here 64\); .*; and 1 other$",
        ),
        ({"metric": "confusion", "classes": [["sea", "desert"]]}, r"no class desert$"),
        ({"metric": "steps_to_accuracy", "accuracy": 0.99}, r"^no run reached a validation accuracy of 99 %"),
        (
            {"metric": "steps_to_accuracy", "accuracy": 0.99, "relation": "at_most", "value": 9, "others": None},
            r"^a: 4 of 4 runs did not reach a validation accuracy of 99 %",
        ),
    ],
)
def test_what_is_not_testable_says_why(study: CohortSummary, changes: dict[str, Any], reason: str) -> None:
    """Nothing is measured then, and no rule applied."""
    found = verdict(study, **changes)
    assert ("not testable", None, "") == (found.verdict, found.measured, found.rule)
    assert re.search(reason, found.reason)


def test_conditions_that_hold_let_the_claim_be_judged(study: CohortSummary) -> None:
    """A list as a tuple, a whole number as a fraction."""
    held = {"image_size": 64, "recipe": {"optimizer": "adam", "label_smoothing": 0}, "weights": "random"}
    assert verdict(study, conditions=held).verdict != "not testable"


@pytest.mark.parametrize("metric", ["relative_loss_variance", "test_accuracy"])
def test_one_seed_in_common_is_too_few(summarize: Summarize, metric: str) -> None:
    """For a comparison as for an interval."""
    summary = summarize(["a", "b"], [0, 1], missing=[("b", 1)])
    assert "not testable" == verdict(summary, metric=metric).verdict
    figure = verdict(summary, metric=metric, architecture="b", relation="equal", value=0.5, others=None)
    assert "one finished seed gives no interval; it takes two" == figure.reason


def test_other_batches_are_not_compared(summarize: Summarize) -> None:
    """A claim about one architecture alone is still tested against the published value."""
    summary = summarize(["a", "b"], range(3), other_batches=[("b", 1)])
    for metric in ("relative_loss_variance", "test_accuracy"):
        found = verdict(summary, metric=metric)
        assert "not testable" == found.verdict
        assert "same batches" in found.reason
    assert "supported" == verdict(summary, relation="at_least", value=0.0, others=None).verdict


def test_one_architecture_alone_is_not_the_highest(summarize: Summarize) -> None:
    """There is nobody to compare it with."""
    found = verdict(summarize(["a"], range(3)), others=None)
    assert "no other architecture has a finished run" == found.reason


def test_a_network_without_rectifiers_has_no_dead_units(study: CohortSummary) -> None:
    """So none can be counted; where both have them and none is dead, there is nothing to avoid."""
    changes = {"metric": "dead_share", "relation": "lower"}
    without = changed(study, lambda name, run: replace(run, rectifiers=None) if name == "b" else run)
    assert "no run of b tells it" == verdict(without, **changes).reason

    def alive(name: str, run: RunSummary) -> RunSummary:
        assert run.rectifiers is not None
        return replace(run, rectifiers=replace(run.rectifiers, last_dead_share=0.0))

    found = verdict(changed(study, alive), **changes)
    assert ("undecided", "0 in every run of both") == (found.verdict, found.reason)


def test_two_of_one_name_are_asked_to_be_told_apart(tmp_path: Path) -> None:
    """By the name in full, which the report shows."""
    synthetic_runs(tmp_path, ["a", "b"], range(3))
    synthetic_runs(tmp_path, ["a", "b"], range(3), Study(providers={"a": "mine"}))
    (summary,) = read(tmp_path).cohorts
    assert "several bear the name a: a (mine) and a (torchvision); name one in full" == verdict(summary).reason
    assert verdict(summary, architecture="a (mine)").verdict != "not testable"


def test_every_built_in_claim_gets_a_verdict(summarize: Summarize) -> None:
    """In their order; a study of other architectures can test none of them, one that failed says so."""
    claims = load_claims()
    assert [each.id for each in claims] == [found.claim.id for found in verdicts(summarize(["mine"]), claims)]
    assert {"not testable"} == {found.verdict for found in verdicts(summarize(["mine"]), claims)}


def test_the_budget_is_a_condition(study: CohortSummary) -> None:
    """As it was given: in steps here."""
    assert 60 == CONDITIONS.budget.steps
    assert verdict(study, conditions={"budget.steps": 60}).verdict != "not testable"
