"""The first sentences say what the comparisons allow, and not a word more."""

import re

import pytest

from intelbench.reporting.sections.opening import headline
from intelbench.results.answers import SpeedComparison
from tests.synthetic import Summarize


def test_one_above_all(summarize: Summarize) -> None:
    """By the smallest of the differences, with its interval; and who is faster."""
    summary = summarize(["a", "b", "c"], range(6), accuracies={"a": 0.95, "b": 0.5, "c": 0.5})
    text = headline(summary)
    assert text.startswith("**In short:** on these images, at this budget, `a` is significantly above `b` and `c` ")
    shown = re.search(
        r"\(smallest difference: `a` over `[bc]` by ([\d.]+) \[([\d.]+), ([\d.]+)\] points; holds", text
    ).groups()
    found = [pair.difference for pair in summary.differences if summary.finished[pair.first].name == "a"]
    smallest = min(found, key=lambda difference: difference.mean)
    assert [f"{100 * value:.1f}" for value in (smallest.mean, smallest.low, smallest.high)] == list(shown)


def test_one_above_one_other(summarize: Summarize) -> None:
    """By its difference with the interval, which is no range of means."""
    text = headline(summarize(["a", "b"], range(6), accuracies={"a": 0.9, "b": 0.5}))
    assert re.search(r"`a` is significantly above `b` by [\d.]+ \[[\d.]+, [\d.]+\] points \(holds", text)


def test_two_alike_above_a_third(summarize: Summarize) -> None:
    """The two are not significantly different, both are above the third, and one of them is faster."""
    summary = summarize(["a", "b", "c"], range(6), accuracies={"a": 0.8, "b": 0.8, "c": 0.4})
    text = headline(summary)
    assert (
        "`a` and `b` are not significantly different in test accuracy; both of them are significantly above `c` ("
        in text
    )
    fast, slow = (architecture for architecture in summary.finished if architecture.name in "ab")
    found = SpeedComparison(fast, slow, 1).ratio()
    assert f"`a` trains {found.estimate.mean:.2f} × [" in text
    assert text.endswith("as many images a second as `b` (holds if any one seed is left out).")


def test_nothing_told_apart(summarize: Summarize) -> None:
    """No winner inside the noise, and that this is no equality."""
    text = headline(summarize(["a", "b", "c"], accuracies={"a": 0.6, "b": 0.6, "c": 0.6}))
    assert "no two of the 3 architectures are significantly different in test accuracy (means: " in text
    assert "That does not make them equal: no pair is shown to be equivalent within 1 point." in text
    assert "For no architecture is it shown that it is within 1 point of the best." in text
    assert "above" not in text


def test_two_are_named(summarize: Summarize) -> None:
    """A first sentence or a model card has named neither of them before."""
    said = headline(summarize(["a", "b"], accuracies={"a": 0.6, "b": 0.6}))
    assert "on these images, at this budget, `a` and `b` are not significantly different in test accuracy" in said


@pytest.mark.parametrize(
    "study",
    [
        {"seeds": [0]},
        {"architectures": ["a"]},
        {"other_batches": [("b", 1)], "architectures": ["a", "b"]},
    ],
)
def test_nothing_to_say(summarize: Summarize, study: dict[str, object]) -> None:
    """One seed, one architecture or other batches: nothing is compared."""
    assert "" == headline(summarize(**study))


def test_speed_is_paired_over_the_seeds_both_have(summarize: Summarize) -> None:
    """Twice the step time is half the speed, whatever seed is missing."""
    summary = summarize(["a", "b"], range(4), missing=[("b", 2)])
    first, second = sorted(summary.finished, key=lambda architecture: architecture.name)
    found = SpeedComparison(first, second, 1).ratio()
    assert 3 == found.estimate.n
    assert found.estimate.low < second.median_step_seconds / first.median_step_seconds < found.estimate.high


def test_thirty_architectures_fit_a_paragraph(summarize: Summarize) -> None:
    """Long lists become numbers."""
    names = [f"model_{number:02d}" for number in range(30)]
    assert len(headline(summarize(names, range(3)))) < 1500
