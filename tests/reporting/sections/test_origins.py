"""The section on architectures and recipes is there where it can be, and says in words what was found."""

import json
from pathlib import Path

import msgspec
import pytest

from intelbench.config.budget import Budget
from intelbench.reporting.export import as_json
from intelbench.reporting.html.page import as_html
from intelbench.reporting.sections.origins import origin
from intelbench.results.claims import Claim, load_claims
from intelbench.results.study import read
from tests.reporting.rendered import build, rendered
from tests.synthetic import CONDITIONS, Study, synthetic_runs

OWN = msgspec.structs.replace(CONDITIONS, budget=Budget(epochs=2))
NAMES = ["resnet152", "wide_resnet101_2", "inception_v3", "resnet101_leaky"]
PUBLISHED = {"resnet152": 0.9, "wide_resnet101_2": 0.7, "inception_v3": 0.5, "resnet101_leaky": 0.7}
LEVEL = {**PUBLISHED, "resnet152": 0.7}
CLOSER = {**PUBLISHED, "resnet152": 0.8, "wide_resnet101_2": 0.7}
REVERSED = {**PUBLISHED, "resnet152": 0.3}


def claim(**changes: object) -> Claim:
    """That ResNet-152 is more accurate than the wide one, with changes."""
    fields = {"id": "c", "statement": "It is.", "source": "r", "metric": "test_accuracy", "relation": "higher"}
    fields |= {"architecture": "resnet152", "others": ["wide_resnet101_2"]}
    return msgspec.convert(fields | changes, Claim)


def write(folder: Path, own: dict[str, float], identical: dict[str, float] | None) -> Path:
    """Records of both kinds, or of one."""
    synthetic_runs(folder, NAMES, range(5), Study(own={"resnet152": OWN}, accuracies=own))
    if identical:
        synthetic_runs(folder, NAMES[:2], range(5), Study(accuracies=identical))
    return folder


@pytest.mark.parametrize(
    ("own", "identical", "pair", "conclusion"),
    [
        (PUBLISHED, PUBLISHED, "architecture: it holds under both", "holds under both"),
        (PUBLISHED, CLOSER, "architecture and recipe: it holds under both, and own recipes add", "holds under both"),
        (CLOSER, PUBLISHED, "architecture: own recipes reduce it", "holds under both"),
        (PUBLISHED, LEVEL, "recipe: only under own recipes", "holds under own recipes; under identical conditions not"),
        (LEVEL, PUBLISHED, "recipe: own recipes hide", "holds under identical conditions; under own recipes not"),
        (PUBLISHED, REVERSED, "recipe: reversed under", "recipe: reversed under identical conditions"),
        (REVERSED, PUBLISHED, "recipe: reversed under", "recipe: own recipes reverse what identical conditions show"),
        (REVERSED, REVERSED, "architecture: it holds under both", "holds under neither"),
        (LEVEL, REVERSED, "recipe: own recipes hide", "contradicted under identical conditions; under own recipes not"),
        (REVERSED, LEVEL, "recipe: only under own recipes", "contradicted under own recipes; under identical conditio"),
        (LEVEL, LEVEL, "not decided: significant under neither", "not decided"),
    ],
)
def test_every_conclusion_is_said(
    tmp_path: Path, own: dict[str, float], identical: dict[str, float], pair: str, conclusion: str
) -> None:
    """Of the pair, with both differences and the change; and of the claim, with both verdicts."""
    introduction, counted, pairs, _, _, claims = rendered(
        origin(read(write(tmp_path, own, identical)).cohorts, [claim()])
    )
    assert "Group 1 has resnet152 and wide_resnet101_2 **each under its own recipe**, group 2 has them" in introduction
    assert counted.startswith(f"**1 pair in test accuracy:** {pair.split(': significant')[0]}")
    assert f"| {pair}" in pairs
    assert f"| {conclusion}" in claims


def test_claims_that_only_one_of_them_can_test_are_named(tmp_path: Path) -> None:
    """Those about others than the two in common, and no arithmetic; figures are compared with no figures."""
    cohorts = read(write(tmp_path, PUBLISHED, LEVEL)).cohorts
    claims = [
        claim(id="others", others=["inception_v3"]),
        claim(id="figure", relation="at_least", value=0.5, others=None),
        claim(id="exact", metric="num_parameters"),
    ]
    blocks = rendered(origin(cohorts, claims))
    assert "Not testable under both: `others`." == blocks[-1]
    assert not any("`figure`" in block or "`exact`" in block for block in blocks)


def test_one_kind_of_records_has_no_such_section(tmp_path: Path) -> None:
    """Under own recipes alone nothing can be separated; the report says what its differences are of."""
    text = build(write(tmp_path, PUBLISHED, None)).text
    assert "Architecture or recipe" not in text
    assert (
        "**In short:** on these images, each architecture under its own recipe, `resnet152` is significantly above"
        in text
    )
    assert "trained under its own recipe** (they differ in `budget.steps` and `budget.epochs`)" in text
    assert "a budget of 60 steps or 2 epochs a run" in text
    assert "Difference of architecture and recipe (points)" in text
    assert "a comparison is one of architecture and recipe together." in text
    assert "Budget of each run" not in text
    assert "| `budget.epochs` " in text


def test_the_report_has_it_in_every_form(tmp_path: Path) -> None:
    """Markdown, page and JSON; the groups keep tables of their own."""
    folder = write(tmp_path / "runs", PUBLISHED, LEVEL)
    text = build(folder).text
    group = text.index("## Group 1 of 2: 20 runs, each architecture under its own recipe")
    assert text.index("## Architecture or recipe") < group
    assert "they differ in `recipes`" in text
    assert "Architecture or recipe</h2>" in as_html(read(folder), None, tmp_path / "cache")
    (found,) = json.loads(as_json(read(folder)))["origins"]
    (pair,) = found["pairs"]
    assert ("resnet152", "wide_resnet101_2", "recipe") == (pair["first"], pair["second"], pair["origin"])
    assert pair["change_low"] > 0
    assert {each["claim"] for each in found["claims"]} <= {each.id for each in load_claims()}
