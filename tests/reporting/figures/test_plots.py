"""Figures are well-formed, the same each time, and survive any name and any number of classes or architectures."""

import re
from xml.etree import ElementTree

import matplotlib as mpl
import msgspec
import pytest

from intelbench.config.budget import Budget
from intelbench.reporting.document import Figure
from intelbench.reporting.figures import canvas, plots
from intelbench.reporting.sections.results import results
from intelbench.results.summaries import ArchitectureSummary
from tests.synthetic import CONDITIONS, Summarize

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("森林", "<script>alert(1)</script>|x", "$a_b^$", "हिन्दी", "ש ל", "bell\x07", "😀" * 40)


def texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_figures_are_the_same_each_time(summarize: Summarize) -> None:
    """Drawing twice gives the same bytes, without a date, and leaves matplotlib's settings alone."""
    before = dict(mpl.rcParams)
    summary = summarize()
    for draw in (
        lambda: plots.curves(summary),
        lambda: plots.cost(summary),
        lambda: plots.confusion(summary.finished[0], summary.data.class_names),
    ):
        first = draw()
        assert first == draw()
        assert b"<dc:date>" not in first
    assert before == dict(mpl.rcParams)


def test_users_settings_do_not_show(summarize: Summarize) -> None:
    """A matplotlibrc of one's own does not change the report."""
    summary = summarize()
    expected = plots.curves(summary)
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30, "svg.fonttype": "path"}):
        assert expected == plots.curves(summary)


def test_any_class_name_can_be_drawn(summarize: Summarize) -> None:
    """Names in any script stand in the SVG as text; long ones are shortened and control characters replaced."""
    summary = summarize(["a", "b"], class_names=NAMES)
    found = texts(plots.confusion(summary.finished[0], NAMES))
    assert {"森林", "<script>alert(1)</script>|x", "$a_b^$", "bell\ufffd"} <= set(found)
    assert not any(len(text) > 60 for text in found)


def test_confusion_says_counts_and_shares(summarize: Summarize) -> None:
    """Each cell with an image shows both, and the figure says over how many runs and images."""
    summary = summarize(["a"], class_names=("cat", "dog"))
    found = texts(plots.confusion(summary.finished[0], ("cat", "dog")))
    counts = [str(count) for count in summary.finished[0].confusion.ravel()]
    assert set(counts) <= set(found)
    assert "3 runs × 300 images; each row sums to 100 %" in found


@pytest.mark.parametrize("num_classes", [1, 20, 21, 100])
def test_many_classes(summarize: Summarize, num_classes: int) -> None:
    """Cells are annotated up to twenty classes; a hundred classes still give a figure of modest size."""
    names = tuple(f"class {number}" for number in range(num_classes))
    summary = summarize(["a"], class_names=names)
    svg = plots.confusion(summary.finished[0], names)
    assert (num_classes <= plots.MAX_ANNOTATED_CLASSES) == any(re.match(r"\d+ %", text) for text in texts(svg))
    assert len(svg) < 400_000


def test_thirty_architectures_are_told_apart(summarize: Summarize) -> None:
    """Every architecture has its own look and stands in the key of both figures."""
    names = [f"model_{number:02d}" for number in range(30)]
    summary = summarize(names, (0, 1))
    assert 30 == len({str(canvas.look(index)) for index in range(30)})
    assert set(names) <= set(texts(plots.curves(summary)))
    key = " ".join(texts(plots.cost(summary)))
    assert all(name in key for name in names)


def test_few_architectures_are_named_beside_their_points(summarize: Summarize) -> None:
    """Each name stands once in each panel."""
    summary = summarize()
    found = texts(plots.cost(summary))
    assert [2] * 5 == [found.count(architecture.name) for architecture in summary.finished]


def test_heads_on_stored_features_cost_the_extraction(summarize: Summarize) -> None:
    """Not their own step, in which there is no backbone."""
    summary = summarize(["a"], [0, 1], features=True)
    rates = [run.extracted_images_per_second for run in summary.runs if run.extracted_images_per_second]
    assert summary.cost_panels["extraction_seconds"]["a"] == pytest.approx(
        sum(1000 / rate for rate in rates) / len(rates)
    )
    assert "extraction of features (ms an image)" in texts(plots.cost(summary))
    assert "step_seconds" not in summary.cost_panels


def test_time_budget_has_a_time_axis(summarize: Summarize) -> None:
    """Under a budget in seconds the curves run over seconds."""
    seconds = msgspec.structs.replace(CONDITIONS, budget=Budget(seconds=60))
    assert "training time (s)" in texts(plots.curves(summarize(conditions=seconds)))


@pytest.mark.parametrize("num_steps", [1, 2, 4])
def test_very_short_runs_are_drawn(summarize: Summarize, num_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of a step or two gives figures; without step times and memory there is none against cost."""
    short = msgspec.structs.replace(CONDITIONS, budget=Budget(steps=num_steps))
    summary = summarize(["a"], [0], conditions=short, num_steps=num_steps)
    assert texts(plots.curves(summary))
    assert (num_steps > 3) == ("step_seconds" in summary.cost_panels)
    monkeypatch.setattr(ArchitectureSummary, "peak_bytes", lambda *_: None)
    without = summarize(["a"], [0], conditions=short, num_steps=num_steps)
    assert (num_steps <= 3) == (not any(isinstance(block, Figure) for block in results(without)))
