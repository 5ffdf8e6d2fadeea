"""The report says how steps were carried out where they were not to be eager."""

import msgspec
import pytest

from intelbench.reporting.sections.identical_batches import identical_batches
from intelbench.reporting.sections.preparation import preparation
from intelbench.reporting.sections.step_breakdown import step_breakdown
from tests.reporting.rendered import rendered
from tests.synthetic import CONDITIONS, Summarize

GRAPH, COMPILE = (msgspec.structs.replace(CONDITIONS, step=step) for step in ("graph", "compile"))


def test_eager_steps_have_no_preparation(summarize: Summarize) -> None:
    """They are listed among the conditions only."""
    summary = summarize(["a"])
    assert [] == preparation(summary)
    assert "`step = eager`" in "".join(rendered(identical_batches(summary)))


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (
            GRAPH,
            "The forward and the backward pass of a training step were replayed from a CUDA graph in 6 of 6 runs. "
            "Capturing it took 2.50 s a run (median), outside the budget and in no step time.",
        ),
        (
            COMPILE,
            "The forward and the backward pass of a training step were compiled by `torch.compile` in 6 of 6 runs. "
            "Compiling them took 2.50 s a run (median), outside the budget and in no step time.",
        ),
    ],
)
def test_preparing_is_told_with_its_seconds(summarize: Summarize, conditions: object, said: str) -> None:
    """Below the condition itself."""
    summary = summarize(["a", "b"], conditions=conditions)
    assert [said] == rendered(preparation(summary))
    text = "\n".join(rendered(identical_batches(summary)))
    assert said in text
    assert f"`step = {summary.cohort.spec.conditions.step}`" in text


def test_runs_with_eager_steps_are_named_with_the_reason(summarize: Summarize) -> None:
    """Those of one architecture together; what a plug-in says cannot break the report's lines."""
    fallbacks = {("b", 0): "ValueError: <b>", ("b", 1): "ValueError: <b>", ("c", 2): "no compiler"}
    answer, warning, reasons = rendered(preparation(summarize(["a", "b", "c"], conditions=GRAPH, fallbacks=fallbacks)))
    assert "in 6 of 9 runs" in answer
    assert warning == "**Steps were eager in 3 runs**, so their times are those of eager steps:"
    assert ["- b, seeds 0, 1: ValueError: &lt;b&gt;", "- c, seed 2: no compiler"] == sorted(reasons.splitlines())


def test_where_every_run_has_eager_steps(summarize: Summarize) -> None:
    """It is said first."""
    answer, warning, _ = rendered(
        preparation(summarize(["a"], seeds=[0], conditions=GRAPH, fallbacks={("a", 0): "no"}))
    )
    assert answer == "No run has steps of the kind `graph` throughout, which its conditions ask for."
    assert warning.startswith("**Steps were eager in 1 run**")


def test_a_step_breakdown_of_replayed_steps_says_what_its_parts_are(summarize: Summarize) -> None:
    """Both passes are one part there."""
    text = "\n".join(rendered(step_breakdown(summarize(["a"], seeds=[0], conditions=GRAPH))))
    assert "**Forward** is 0 there, and **Backward** is both." in text
