"""What the report concludes, without each of the seeds and without disturbed runs."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from intelbench.config.budget import Budget
from intelbench.reporting.sections.differences import differences
from intelbench.reporting.sections.opening import headline
from intelbench.results import summaries
from intelbench.results.answers import answer, answers_without_each_seed, without_disturbed_runs
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.comparisons import differences_without_each_seed, paired_differences
from tests.reporting.rendered import rendered
from tests.synthetic import CONDITIONS, Summarize

IN_SECONDS = msgspec.structs.replace(CONDITIONS, budget=Budget(seconds=12.0))


def with_wrong_answers(summary: CohortSummary, architecture: str, seed: int) -> CohortSummary:
    """Return the cohort with a run that recognises nothing."""
    observed = {
        run.record.run_id: replace(run, test_predictions=(run.test_labels + 1) % 6)
        if (run.record.spec.architecture, run.seed) == (architecture, seed)
        else run
        for run in summary.runs
    }
    return summaries.summarize(summary.cohort, observed)


def without_seed(summary: CohortSummary, seed: int) -> CohortSummary:
    """Return the cohort as if a seed had never been run."""
    kept = tuple(run for run in summary.cohort.runs if run.record.spec.seed != seed)
    return summaries.summarize(replace(summary.cohort, runs=kept), {run.record.run_id: run for run in summary.runs})


def test_without_a_seed_it_is_what_the_other_seeds_alone_conclude(summarize: Summarize) -> None:
    """The fast way gives what a report on the other records gives."""
    summary = summarize(["a", "b", "c"], range(5), spread=0.05)
    answers = answers_without_each_seed(summary)
    assert list(range(5)) == list(answers)
    for seed, found in answers.items():
        expected = answer(without_seed(summary, seed))
        assert (expected.better, expected.equivalent) == (found.better, found.equivalent)
        assert expected.within_margin == found.within_margin


def test_a_clear_lead_holds_without_any_seed(summarize: Summarize) -> None:
    """It is said next to the statement."""
    text = headline(summarize(["a", "b"], range(5), accuracies={"a": 0.9, "b": 0.5}))
    assert "points (holds if any one seed is left out)." in text
    assert "does not hold" not in text


def test_one_bad_seed_is_named_by_the_headline_and_by_the_warning(summarize: Summarize) -> None:
    """A bad seed hides a lead: without it the two differ, and the section on differences names the same seed."""
    summary = with_wrong_answers(summarize(["a", "b"], range(5), accuracies={"a": 0.8, "b": 0.6}), "a", 3)
    assert not answer(summary).better
    assert answers_without_each_seed(summary)[3].better == {("a", "b")}
    assert "(they are significantly different if seed 3 is left out)" in headline(summary)
    assert "seed 3 of `a` is" in " ".join(rendered(differences(summary)))


def test_two_seeds_cannot_tell(summarize: Summarize) -> None:
    """One seed that is left has no test, so nothing is said to hold or not to hold."""
    summary = summarize(["a", "b"], range(2), accuracies={"a": 0.99, "b": 0.2})
    assert answers_without_each_seed(summary) is None
    assert headline(summary).endswith("With two seeds, it cannot be said whether one of them decides.")


def test_of_very_many_seeds_none_is_left_out(summarize: Summarize, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them has a weight, and nothing is said of it."""
    summary = summarize(["a", "b"], range(5), accuracies={"a": 0.9, "b": 0.5})
    assert answers_without_each_seed(summary) is not None
    monkeypatch.setattr("intelbench.results.answers.MAX_SEEDS", 4)
    assert answers_without_each_seed(summary) is None
    assert "left out" not in headline(summary)


def test_without_disturbed_runs_the_answer_is_given_again(summarize: Summarize) -> None:
    """Under a budget in seconds; the same, or what changes; nothing where none is disturbed."""
    calm = summarize(["a", "b"], range(4), accuracies={"a": 0.9, "b": 0.5}, conditions=IN_SECONDS)
    assert without_disturbed_runs(calm) is None
    assert "disturbed" not in headline(calm)


def test_one_disturbed_run_changes_nothing_here(summarize: Summarize) -> None:
    """Three seeds are enough for such a lead."""
    accuracies = {"a": 0.9, "b": 0.5}
    disturbed = [("a", 1)]
    summary = summarize(["a", "b"], range(5), accuracies=accuracies, conditions=IN_SECONDS, disturbed=disturbed)
    assert headline(summary).endswith("Without the disturbed run the answer is the same.")


def test_a_disturbed_run_that_decides(summarize: Summarize) -> None:
    """What is concluded in addition without it is named."""
    summary = summarize(
        ["a", "b"], range(5), accuracies={"a": 0.8, "b": 0.6}, conditions=IN_SECONDS, disturbed=[("a", 3)]
    )
    text = headline(with_wrong_answers(summary, "a", 3))
    assert "Without the disturbed run the answer changes: `a` is significantly above `b`" in text


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_p_values_without_each_seed_are_those_of_the_others(summarize: Summarize, num_seeds: int) -> None:
    """To rounding, with the variances moderated by the seeds that are left."""
    table = summarize(["a", "b", "c", "d"], range(num_seeds), spread=0.05, missing=[("c", 1)]).correct
    for seed, pairs in differences_without_each_seed(table).items():
        finished = table.finished.copy()
        finished[:, table.seeds.index(seed)] = False
        expected = paired_differences(replace(table, finished=finished))
        assert [(p.first, p.second, p.seeds) for p in expected] == [(p.first, p.second, p.seeds) for p in pairs]
        for name in ("p_holm", "p_equivalent"):
            values = [[getattr(p, name) for p in of] for of in (expected, pairs)]
            assert np.array(values[0], dtype=float) == pytest.approx(
                np.array(values[1], dtype=float), abs=1e-9, nan_ok=True
            )
