"""Images that every architecture gets wrong are counted, and what is said of each of them depends on the runs."""

import pytest

from intelbench.reporting.document import Paragraph
from intelbench.reporting.sections.mistakes import mistakes
from tests.synthetic import Summarize


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ([0], "its true class, what it was predicted as, and with what confidence."),
        ([0, 1], "its true class, as what it was predicted in how many of all 2 runs, and the mean confidence of the"),
    ],
)
def test_what_is_said_of_an_image_fits_the_number_of_runs(summarize: Summarize, seeds: list[int], said: str) -> None:
    """One run has no other runs to count."""
    text, _ = mistakes(summarize(["a"], seeds, accuracies={"a": 0.5}))
    assert isinstance(text, Paragraph)
    assert f"Said of each image: {said}" in text.text
