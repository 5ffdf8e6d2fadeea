"""Validation accuracy after equal steps and after equal time."""

from dataclasses import replace

import numpy as np
import pytest

from intelbench.reporting.sections.equal_budgets import equal_budgets_section
from intelbench.results import summaries
from intelbench.results.equal_budgets import equal_budget_table, equal_budgets, order_change
from intelbench.results.summaries import CohortSummary
from tests.reporting.rendered import rendered
from tests.synthetic import Summarize


def trained(summary: CohortSummary, curves: dict[str, list[tuple[float, float, float]]]) -> CohortSummary:
    """Return the cohort with other curves: steps, seconds and accuracy at each evaluation point, by architecture."""
    observed = {}
    for run in summary.runs:
        steps, seconds, accuracies = np.array(curves[run.record.spec.architecture]).T
        images = (np.arange(len(run.images.validation_ids)) + 0.5) / len(run.images.validation_ids)
        shifted = accuracies[:, None] + 0.02 * (run.seed - 1)
        right = np.packbits(images < shifted, axis=1)
        observed[run.record.run_id] = replace(
            run,
            evaluation_step=steps,
            evaluation_seconds=seconds,
            evaluation_accuracy=(images < shifted).mean(axis=1),
            images=replace(run.images, validation_right=right),
        )
    return summaries.summarize(summary.cohort, observed)


@pytest.fixture
def crossed(summarize: Summarize) -> CohortSummary:
    """`slow` learns more from each step, and makes a tenth of the steps of `fast` in the same time."""
    curves = {
        "slow": [(10, 50.0, 0.3), (20, 100.0, 0.5)],
        "fast": [(10, 5.0, 0.1), (20, 10.0, 0.2), (200, 100.0, 0.9)],
    }
    return trained(summarize(["fast", "slow"], range(3), num_validation=100), curves)


def test_it_is_on_straight_lines_between_evaluation_points(summarize: Summarize) -> None:
    """At 15 steps half of the way from one point to the next, for the mean and for the images."""
    curves = {"a": [(10, 1.0, 0.2), (20, 2.0, 0.6)], "b": [(10, 1.0, 0.2), (15, 1.5, 0.3)]}
    rows = equal_budget_table(trained(summarize(["a", "b"], range(3), num_validation=100), curves))
    found = {(row["architecture"], row["unit"]): row for row in rows}
    assert (15, 1.5) == (found["a", "steps"]["amount"], found["a", "seconds"]["amount"])
    assert found["a", "steps"]["validation_accuracy"] == pytest.approx(0.4)
    assert found["b", "steps"]["validation_accuracy"] == pytest.approx(0.3)
    assert all(row["validation_accuracy_low"] < row["validation_accuracy"] for row in rows)


def test_the_order_changes_where_both_leads_are_significant(crossed: CohortSummary) -> None:
    """The one is ahead at equal steps, the other at equal time."""
    change = order_change(crossed)
    assert (1, 1) == (change.num_pairs, change.num_changed)
    assert ("slow", "fast") == (change.reversals[0].first, change.reversals[0].second)
    assert change.reversals[0].at_equal_steps.mean == pytest.approx(0.3)
    text = " ".join(rendered(equal_budgets_section(crossed)))
    assert "**The order changes** beyond chance: `slow` is ahead of `fast` by +30.0 [" in text


def test_one_that_was_evaluated_later_is_not_available(summarize: Summarize) -> None:
    """Before its first evaluation point nothing is known, and no accuracy is guessed."""
    curves = {"a": [(10, 10.0, 0.3)], "b": [(30, 3.0, 0.2), (100, 10.0, 0.6)]}
    summary = trained(summarize(["a", "b"], range(3), num_validation=100), curves)
    assert equal_budgets(summary)[0].accuracy(1 if summary.finished[1].name == "b" else 0) is None
    text = " ".join(rendered(equal_budgets_section(summary)))
    assert "not available" in text
    assert "Whether the order changes between the two is not tested: that takes" in text
    assert order_change(summary) is None


def test_equal_curves_have_one_order(summarize: Summarize) -> None:
    """Under a budget in steps both reach the last evaluation point."""
    text = " ".join(rendered(equal_budgets_section(summarize(["a", "b"], range(3)))))
    assert "| a " in text
    assert "After 60 steps (%)" in text


def test_a_lead_smaller_than_the_bend_is_no_reversal(summarize: Summarize) -> None:
    """Far from evaluation points a straight line decides nothing, even if both leads are significant on it."""
    curves = {"slow": [(10, 50.0, 0.1), (20, 100.0, 0.16)], "fast": [(1, 0.5, 0.0), (200, 100.0, 0.9)]}
    summary = trained(summarize(["fast", "slow"], range(3), num_validation=400), curves)
    assert all(view.differences()[0].better is not None for view in equal_budgets(summary))
    change = order_change(summary)
    assert (1, 0) == (change.num_changed, len(change.reversals))
