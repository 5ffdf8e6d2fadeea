"""The section on claims shows every verdict with its figures and reasons, and nothing from outside as markup."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from markdown_it import MarkdownIt

from intelbench.reporting.export import claims_rows
from intelbench.reporting.sections.claims import measured_cell, published_cell, published_claims
from intelbench.reporting.verdicts import Verdict, verdict_table
from intelbench.results.claims import Claim, load_claims
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate
from tests.reporting.rendered import rendered
from tests.synthetic import Summarize

EVIL = "a | b <script>alert(1)</script> `c` [d](http://e) **f**\n# g"


def claim(**changes: Any) -> Claim:
    """One that can be judged, with changes."""
    fields: dict[str, Any] = {"id": "c", "statement": "It is so.", "source": "r", "metric": "relative_loss_variance"}
    fields |= {"relation": "higher", "architecture": "resnet152"}
    return msgspec.convert(fields | changes, Claim)


@pytest.fixture
def summary(summarize: Summarize) -> CohortSummary:
    """Of five architectures on three seeds."""
    return summarize(["resnet152", "wide_resnet101_2", "inception_v3", "resnet101_leaky", "resnet101"])


def test_every_claim_has_a_row_and_a_note(summary: CohortSummary) -> None:
    """Numbered alike; the first sentence counts the verdicts."""
    claims = load_claims()
    counted, table, _, untestable, notes = rendered(published_claims(summary, claims))
    assert counted.startswith(f"{len(claims)} claims: ")
    assert len(claims) == len(table.splitlines()) - 2
    for number, each in enumerate(claims, start=1):
        assert f"\n{number}. `{each.id}` ({each.source}). {each.known[:10]}" in notes
    assert "weights = imagenet (here random)" in untestable
    assert rendered(published_claims(summary, claims)) == rendered(published_claims(summary, claims))


def test_the_reasons_for_not_testing_are_put_together(summary: CohortSummary) -> None:
    """Claims that fail for one reason share a line, and there is no such block where all can be tested."""
    missing = claim(architecture="none")
    blocks = rendered(published_claims(summary, [missing, claim(), msgspec.structs.replace(missing, id="d")]))
    assert "- 1, 3: none did not run." in blocks[3]
    assert not any("Not testable" in block for block in rendered(published_claims(summary, [claim()]))[2:])


def test_no_claims_make_no_section(summary: CohortSummary) -> None:
    """Not even its title."""
    assert [] == published_claims(summary, [])
    assert [] == claims_rows(summary, [])


@pytest.mark.parametrize("field", ["statement", "source", "known", "architecture"])
def test_texts_of_a_claim_are_no_markup(summary: CohortSummary, field: str) -> None:
    """Neither in the table nor below it: no tag, no link, no further column or heading."""
    text = "\n\n".join(rendered(published_claims(summary, [claim(**{field: EVIL})])))
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    assert "<script" not in text
    assert "<a " not in html
    assert "<h" not in html
    (row,) = (line for line in text.splitlines() if line.startswith("| 1 "))
    assert 6 == row.count("|") - row.count(r"\|")


def test_names_of_others_and_classes_are_no_markup() -> None:
    """As they stand in the published column."""
    assert r"higher than a \| b" == published_cell(claim(others=["a | b"]))
    confused = claim(metric="confusion", classes=[["<a>", "b|c"]])
    assert r"above all other pairs: &lt;a&gt;/b\|c" == published_cell(confused)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"metric": "num_parameters", "relation": "equal", "value": 60e6, "tolerance": 5e5}, "60,000,000 ± 500,000"),
        ({"metric": "test_accuracy", "relation": "at_least", "value": 0.931}, "≥ 93.10 %"),
        ({"metric": "torchsummary_memory_mebibytes", "relation": "equal", "value": 333, "tolerance": 0.5},
         "333.00 MB ± 0.50 MB"),
        ({"metric": "step_seconds", "relation": "at_most", "value": 0.25}, "≤ 250 ms"),
        ({"metric": "num_parameters", "relation": "equal", "value": 2, "others": ["b"]}, "2.00 × b"),
        ({"metric": "peak_memory_bytes", "relation": "at_most", "value": 2**30}, "≤ 1.00 GiB"),
        ({"metric": "training_flops_per_image", "relation": "at_most", "value": 2e9}, "≤ 2.00 GFLOP"),
        ({"metric": "steps_to_accuracy", "accuracy": 0.5, "relation": "at_most", "value": 90}, "≤ 90 steps"),
        ({"metric": "steps_to_accuracy", "accuracy": 0.5, "relation": "at_most", "value": 1}, "≤ 1 step"),
        ({"metric": "mean_activation", "relation": "equal", "value": 0, "tolerance": 0.1}, "0 ± 0.100"),
        ({}, "higher than every other"),
        ({"relation": "lower", "others": ["b", "d"]}, "lower than b and d"),
        ({"relation": "equivalent", "others": ["b"]}, "equivalent to b"),
    ],
)  # fmt: skip
def test_what_was_published_has_its_unit(changes: dict[str, Any], text: str) -> None:
    """And its tolerance, or whom it is about."""
    assert text == published_cell(claim(**changes))


@pytest.mark.parametrize(
    ("measured", "unit", "text"),
    [
        (60_192_808.0, "parameters", "60,192,808"),
        (1343.714, "mebibytes", "1343.71 MB"),
        (2.108, "times", "2.11 ×"),
        (Estimate(0.931, 0.92, 0.94, 3), "share", "93.1 % [92.0, 94.0]"),
        (Estimate(-0.01, -0.03, 0.01, 3), "points", "−1.0 [−3.0, +1.0] points"),
        (Estimate(12.68, 10.41, 15.44, 3), "times", "12.7 [10.4, 15.4] ×"),
        (Estimate(-0.002, -0.004, 0.001, 3), "difference", "−0.00200 [−0.00400, 0.00100]"),
        (Estimate(0.2, 0.1, 0.3, 3), "seconds", "200 [100, 300] ms"),
        (Estimate(2e9, 1e9, 3e9, 3), "bytes", "1.86 GiB [0.931 GiB, 2.79 GiB]"),
    ],
)
def test_what_was_measured_has_its_unit_and_interval(measured: Estimate | float, unit: str, text: str) -> None:
    """And against whom, where it is a comparison."""
    found = Verdict(claim(), "supported", measured, unit)
    assert text == measured_cell(found)
    assert f"{text} (b)" == measured_cell(replace(found, against="b"))


def test_nothing_measured_is_a_dash() -> None:
    """A comparison without a number says so."""
    assert "–" == measured_cell(Verdict(claim(), "not testable"))
    assert "no figure (b)" == measured_cell(Verdict(claim(), "supported", None, "times", "b"))


def test_rows_are_in_base_units(summary: CohortSummary) -> None:
    """One for each claim, all with the same keys, and JSON can hold them; its id has the name of the data frame."""
    claims = load_claims()
    found = claims_rows(summary, claims)
    assert [each.id for each in claims] == [row["claim"] for row in found]
    assert [row["claim"] for row in verdict_table(summary, claims)] == [row["claim"] for row in found]
    assert 1 == len({tuple(row) for row in found})
    plain = json.loads(msgspec.json.encode(found))
    rows = {row["claim"]: row for row in plain}
    assert (60e6, 5e5) == (rows["resnet152-parameters"]["published"], rows["resnet152-parameters"]["tolerance"])
    best = rows["resnet152-best"]
    assert (None, None, 3, "share") == (best["published"], best["tolerance"], best["num_seeds"], best["unit"])
    assert best["measured_low"] < best["measured"] < best["measured_high"]
    assert None is rows["resnet152-accuracy"]["rule"]
    assert (None, 0.01, None) == (best["published_runs"], best["margin"], best["predicted_low"])
    mean = rows["leaky-mean-near-zero"]
    assert (1, None) == (mean["published_runs"], mean["margin"])
    assert mean["predicted_low"] < mean["measured_low"] < mean["measured_high"] < mean["predicted_high"]
