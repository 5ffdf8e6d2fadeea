"""Verdicts on steps to an accuracy, which some runs never reach and others before their first evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from intelbench.results.runs import RunSummary
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate
from tests.reporting.claimed import changed, verdict
from tests.synthetic import Summarize


def steps_to_half(summary: CohortSummary, reached: Mapping[str, Sequence[int | None]]) -> CohortSummary:
    """Runs that reach a validation accuracy of 50 % at these steps, or never."""

    def change(name: str, run: RunSummary) -> RunSummary:
        at = reached.get(name, [10] * 9)[run.seed]
        steps = np.arange(1, 101, dtype=np.float64)
        accuracy = np.where(steps >= at, 0.6, 0.4) if at is not None else np.full(100, 0.4)
        return replace(run, evaluation_step=steps, evaluation_accuracy=accuracy)

    return changed(summary, change)


def test_fewer_steps_are_faster(study: CohortSummary) -> None:
    """To the first evaluation point that has the accuracy."""
    changes = {"metric": "steps_to_accuracy", "relation": "lower", "accuracy": 0.5}
    found = verdict(steps_to_half(study, {"a": [10, 22, 29, 41], "b": [20, 40, 60, 80]}), **changes)
    assert ("supported", "times") == (found.verdict, found.unit)
    assert isinstance(found.measured, Estimate)
    assert 0.5 == round(found.measured.mean, 1)


def test_who_never_arrives_is_the_slower(summarize: Summarize) -> None:
    """By a sign test, as there is no number: six seeds can tell, five cannot."""
    changes = {"metric": "steps_to_accuracy", "relation": "lower", "accuracy": 0.5}
    summary = summarize(["a", "b"], range(6))
    six = verdict(steps_to_half(summary, {"a": [10] * 6, "b": [None] * 6}), **changes)
    assert ("supported", None, 0.03125) == (six.verdict, six.measured, six.p_value)
    assert "6 of 12 runs did not reach it" in six.reason
    five = verdict(steps_to_half(summary, {"a": [10] * 5 + [None], "b": [None] * 6}), **changes)
    assert "undecided" == five.verdict
    equal = verdict(steps_to_half(summary, {"a": [10] * 6, "b": [None] * 6}), **(changes | {"relation": "equivalent"}))
    assert ("not testable", "6 of 12 runs did not reach it, so there is no ratio") == (equal.verdict, equal.reason)


def test_who_had_it_at_the_first_evaluation_is_the_faster(summarize: Summarize) -> None:
    """By a sign test as well, since nobody knows how much sooner; and there is no figure."""
    changes = {"metric": "steps_to_accuracy", "relation": "lower", "accuracy": 0.5}
    summary = steps_to_half(summarize(["a", "b"], range(6)), {"a": [1] * 6, "b": [40] * 5 + [None]})
    found = verdict(summary, **changes)
    assert ("supported", None, 0.03125) == (found.verdict, found.measured, found.p_value)
    both = "1 of 12 runs did not reach it and 6 of 12 runs reached it before the first evaluation point"
    assert found.reason.startswith(both)
    figure = verdict(summary, **(changes | {"relation": "at_most", "value": 9, "others": None}))
    assert "a: 6 of 6 runs reached a validation accuracy of 50 % before the first evaluation point" == figure.reason


def test_evaluation_points_decide_nothing(study: CohortSummary) -> None:
    """Equal curves, of which one is evaluated at later steps, cannot be compared with few points, and can with many."""

    def evaluated(num_points: int) -> CohortSummary:
        def change(name: str, run: RunSummary) -> RunSummary:
            last = 110.0 if name == "a" else 40.0 if name == "b" and num_points > 3 else 100.0
            steps = last * np.arange(1, num_points + 1) / num_points
            accuracy = 0.2 + 0.6 * steps / last + 0.01 * run.seed * (name == "a")
            return replace(run, evaluation_step=steps, evaluation_accuracy=accuracy)

        return changed(study, change)

    changes = {"metric": "steps_to_accuracy", "relation": "higher", "accuracy": 0.5}
    few, many = (verdict(evaluated(num_points), **changes) for num_points in (3, 20))
    assert "not testable" == few.verdict
    assert few.reason.startswith("the runs were evaluated at different steps")
    assert ("supported", "times") == (many.verdict, many.unit)
