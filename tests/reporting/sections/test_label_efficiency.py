"""The section on labels says what was found, and no more."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from intelbench.config.budget import Budget
from intelbench.reporting.document import Section
from intelbench.reporting.export import as_json
from intelbench.reporting.report import compose
from intelbench.reporting.sections.label_efficiency import label_efficiency
from intelbench.results.study import read
from tests.reporting.rendered import build, rendered
from tests.results.test_label_efficiency import Accuracies, studies
from tests.synthetic import CONDITIONS, failure

APART: Accuracies = {5: {"a": 0.6, "b": 0.3}, 10: {"a": 0.75, "b": 0.5}, None: {"a": 0.9, "b": 0.72}}
ALIKE: Accuracies = {5: {"a": 0.5, "b": 0.5}, None: {"a": 0.8, "b": 0.8}}


def answer(folder: Path, accuracies: Accuracies, seeds: Sequence[int] = range(4), **changes: object) -> str:
    """The first sentence of the section."""
    (study,) = studies(folder, accuracies, seeds, **changes)
    return rendered(label_efficiency(study))[0]


def test_who_needs_the_fewest(tmp_path: Path) -> None:
    """With the target, the number and its interval."""
    said = answer(tmp_path, APART)
    assert said.startswith("**In short:** to reach a test accuracy of 70 %, `a` needs the fewest images of each class")
    assert said.endswith("].")


def test_no_winner_inside_the_noise(tmp_path: Path) -> None:
    """Two that are alike, or one seed."""
    said = answer(tmp_path / "several", ALIKE)
    assert "`a` and `b` are not significantly different in how many images they need" in said
    assert "one seed does not show which" in answer(tmp_path / "one", APART, seeds=[0])


def test_of_three_what_can_be_said(tmp_path: Path) -> None:
    """One is better than another, and nobody is the best."""
    few, many = {"a": 0.6, "b": 0.61, "c": 0.3}, {"a": 0.85, "b": 0.85, "c": 0.72}
    said = answer(tmp_path, {5: few, None: many})
    assert "`a` needs fewer images of each class than `c`; `b` needs fewer images of each class than `c`." in said


def test_what_cannot_be_said_has_its_reason(tmp_path: Path) -> None:
    """No target in common; nothing finished everywhere; a single architecture."""
    low = {5: {"a": 0.5, "b": 0.05}, None: {"a": 0.8, "b": 0.05}}
    assert "no multiple of 5 % above chance is an accuracy that all" in answer(
        tmp_path / "low", low, class_names=("x", "y")
    )
    failures = {("a", seed): failure() for seed in range(4)}
    none = answer(tmp_path / "none", {5: {"a": 0.5}, None: {"a": 0.5}}, failures=failures)
    assert "no architecture has finished runs of one seed with every number" in none
    alone = answer(tmp_path / "alone", {5: {"a": 0.4}, None: {"a": 0.8}})
    assert "to reach a test accuracy of 80 %, `a` needs " in alone or "of 75 %, `a` needs " in alone


def test_the_table_has_each_number_of_images(tmp_path: Path) -> None:
    """Accuracy by architecture and number, what it needs, and every pair; numbers that differ are bold."""
    (study,) = studies(tmp_path, APART)
    blocks = rendered(label_efficiency(study))
    header = blocks[1].splitlines()[0]
    assert ["Architecture", "5", "10", "all (20)", "Images of each class for 70 %"] == [
        cell.strip() for cell in header.strip("|").split("|")
    ]
    pairs = blocks[-2].splitlines()
    assert ["Pair", "5", "10", "all (20)", "p (Holm)", "Needs fewer"] == [
        cell.strip() for cell in pairs[0].strip("|").split("|")
    ]
    assert 3 == pairs[2].count("**+")
    assert "a" == pairs[2].strip("|").split("|")[-1].strip()
    assert f"![Test accuracy by training images of each class](figures/labels-{study.key}.svg)" in blocks
    assert "so that each image is seen more often" in blocks[4]


def test_a_budget_of_epochs_is_warned_of(tmp_path: Path) -> None:
    """Fewer images then are fewer steps."""
    conditions = msgspec.structs.replace(CONDITIONS, budget=Budget(epochs=3))
    (study,) = studies(tmp_path, ALIKE, conditions=conditions)
    assert "fewer labels also meant less training" in " ".join(rendered(label_efficiency(study)))


def test_own_recipes_are_said_to_be(tmp_path: Path) -> None:
    """With every budget."""
    own = {"a": msgspec.structs.replace(CONDITIONS, budget=Budget(steps=59))}
    (study,) = studies(tmp_path, ALIKE, own=own)
    note = " ".join(rendered(label_efficiency(study)))
    assert "The budget of 59 steps or 60 steps is the same for every number of images" in note
    assert "Each architecture has a recipe of its own, so a difference is one of both." in note


def test_the_report_has_the_section_once_before_the_groups(tmp_path: Path) -> None:
    """With its figure; the groups are never put into one table elsewhere."""
    studies(tmp_path, APART)
    report = build(tmp_path)
    before, _, after = report.text.partition("## Group 1 of 3: 8 runs\n")
    assert 1 == before.count("## Labelled images needed")
    assert "## Labelled images needed" not in after
    assert "## Group 2 of 3: 8 runs, 10 images of each class\n" in after
    assert "--images-per-class" not in after  # no built-in suite has these conditions
    (figure,) = (name for name in report.figures if name.startswith("labels-"))
    assert f"(figures/{figure})" in before
    found = [block.title for block in compose(read(tmp_path)).blocks if isinstance(block, Section)]
    assert "Labelled images needed" == found[0]


def test_reports_without_several_numbers_have_no_such_section(tmp_path: Path) -> None:
    """One number alone tells nothing."""
    assert [] == studies(tmp_path, {5: {"a": 0.5}})
    assert "Labelled images needed" not in build(tmp_path).text


def test_machines_get_the_same(tmp_path: Path) -> None:
    """Accuracies, target, numbers and pairs."""
    studies(tmp_path, APART)
    (found,) = msgspec.json.decode(as_json(read(tmp_path)).encode())["label_efficiency"]
    assert 0.7 == found["target"]
    assert [5, 5, 10, 10, 20, 20] == [row["images_per_class"] for row in found["accuracies"]]
    assert "a" == found["comparisons"][0]["fewer"]
    assert found["needed"][0]["images_per_class"] < found["needed"][1]["images_per_class"]


@pytest.mark.parametrize("number", [None, 10])
def test_the_command_makes_the_same_runs_again(tmp_path: Path, number: int | None) -> None:
    """The suite of a group has its number of images."""
    studies(tmp_path, {number: {"a": 0.5}})
    text = build(tmp_path).text
    assert (number is not None) == ("images_per_class = [\n    10,\n]" in text)
