"""The first sentences say what the comparisons allow, and not a word more."""

import re

import pytest

from intelbench.reporting.text.headline import headline, relative_speed
from tests.reporting.conftest import Summarize
from tests.reporting.synthetic import failure


def test_one_above_all(summarize: Summarize) -> None:
    """By the range of the differences; and who is faster."""
    text = headline(summarize(["a", "b", "c"], range(6), accuracies={"a": 0.95, "b": 0.5, "c": 0.5}))
    assert text.startswith("**In short:** on these images, at this budget, `a` is above `b` and `c` by ")
    low, high = map(float, re.search(r"by ([\d.]+) to ([\d.]+) points", text).groups())
    assert 35 < low <= high < 55


def test_two_alike_above_a_third(summarize: Summarize) -> None:
    """The two cannot be told apart, both are above the third, and one of them is faster."""
    summary = summarize(["a", "b", "c"], range(6), accuracies={"a": 0.8, "b": 0.8, "c": 0.4})
    text = headline(summary)
    assert "`a` and `b` cannot be told apart in test accuracy; both of them are above `c` by " in text
    fast, slow = (architecture for architecture in summary.finished if architecture.name in "ab")
    found = relative_speed(fast, slow)
    assert f"`a` trains {found.estimate.mean:.2f} × [" in text
    assert text.endswith("as many images a second as `b`.")


def test_nothing_told_apart(summarize: Summarize) -> None:
    """No winner inside the noise, and what could have been found."""
    text = headline(summarize(["a", "b", "c"], accuracies={"a": 0.6, "b": 0.6, "c": 0.6}))
    assert "no two of the 3 architectures can be told apart in test accuracy" in text
    assert "does not make them equal: it takes a difference of " in text
    assert "above" not in text


def test_of_two_both_are_meant(summarize: Summarize) -> None:
    """English for a pair."""
    assert "the two cannot be told apart" in headline(summarize(["a", "b"], accuracies={"a": 0.6, "b": 0.6}))


@pytest.mark.parametrize(
    "study",
    [
        {"seeds": [0]},
        {"architectures": ["a"]},
        {"other_batches": [("b", 1)], "architectures": ["a", "b"]},
        {"architectures": ["a", "b"], "failures": {("b", seed): failure() for seed in range(3)}},
    ],
)
def test_nothing_to_say(summarize: Summarize, study: dict[str, object]) -> None:
    """One seed, one architecture, other batches or only one that finished: nothing is compared."""
    assert "" == headline(summarize(**study))


def test_speed_is_paired_over_the_seeds_both_have(summarize: Summarize) -> None:
    """Twice the step time is half the speed, whatever seed is missing."""
    summary = summarize(["a", "b"], range(4), missing=[("b", 2)])
    first, second = sorted(summary.finished, key=lambda architecture: architecture.name)
    found = relative_speed(first, second)
    assert 3 == found.estimate.n
    assert found.estimate.low < second.median_step_seconds / first.median_step_seconds < found.estimate.high


def test_thirty_architectures_fit_a_paragraph(summarize: Summarize) -> None:
    """Long lists become numbers."""
    names = [f"model_{number:02d}" for number in range(30)]
    assert len(headline(summarize(names, range(3)))) < 1500
