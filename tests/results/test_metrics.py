"""One list says everything about a metric, and tables, claims, gates and documents agree with it."""

import re
from pathlib import Path

import pytest

from intelbench.errors import UserError
from intelbench.results import tables
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.study import read
from intelbench.results.summaries import MEMORY_FIELDS
from tests.conftest import REPOSITORY
from tests.synthetic import Summarize

EVERY = [entry.value for entry in METRICS.entries.values()]
DOCUMENTED = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|", flags=re.MULTILINE)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_every_metric_says_what_it_is(metric: Metric) -> None:
    """In words without markup, as a claim's note and a heading show them."""
    assert metric.heading
    assert metric.definition
    assert not set("`*|") & set(metric.definition + metric.heading)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_every_metric_has_a_value(metric: Metric, summarize: Summarize, tmp_path: Path) -> None:
    """Of a run, of a network as it is defined, or for what a claim names; the top five are of many classes."""
    few = {} if metric.name != "top5" else {"class_names": tuple(f"class {index}" for index in range(20))}
    summarize(["a"], [0, 1], **few)
    (summary,) = read(tmp_path / "runs", asked=[metric.name]).cohorts
    (architecture,) = summary.finished
    (on_features,) = summarize(["a"], [0, 1], features=True).finished
    has_value = bool(metric.values(architecture) or metric.values(on_features))
    defined = metric.of_profile is not None and metric.of_profile(architecture.profile) is not None
    only_on_gpu = metric.name == "joules" or metric.name.startswith(("peak_cuda", "peak_nvml"))
    assert has_value or defined or metric.at_accuracy or metric.compared == "confusion" or only_on_gpu


def test_no_two_metrics_have_one_name_or_heading() -> None:
    """So that a column is found by either."""
    assert len(EVERY) == len({metric.name for metric in EVERY}) == len({metric.heading for metric in EVERY})


def test_an_unknown_metric_is_answered_with_the_nearest() -> None:
    """Which is what was meant."""
    with pytest.raises(UserError, match=r"metric 'test_acuracy' is not known\..* Try `test_accuracy`"):
        METRICS.get("test_acuracy")


def test_every_metric_is_documented_for_claims() -> None:
    """In the table of docs/claims.md, in the order of the list, and no other."""
    text = Path(REPOSITORY / "docs" / "claims.md").read_text("utf-8").partition("### Metrics")[2].partition("###")[0]
    names = [name for cell in DOCUMENTED.findall(text) for name in re.findall(r"`(\w+)`", cell)]
    assert [metric.name for metric in EVERY] == names


def test_runs_and_architectures_have_one_name_for_a_value(summarize: Summarize) -> None:
    """With one run, an architecture has the value of that run in every column that both have."""
    summary = summarize(["a"], [0])
    (architecture,), (run,) = tables.main(summary), tables.runs(summary)
    both = {metric.name for metric in metrics_in("export")} & {metric.name for metric in metrics_in("runs")}
    assert {"test_accuracy", "relative_loss_variance", "step_seconds", "num_steps"} <= both
    assert {name: pytest.approx(run[name]) for name in both} == {name: architecture[name] for name in both}


def test_every_kind_of_memory_has_a_metric() -> None:
    """Under the name of its field."""
    assert {f"peak_{field}" for field in MEMORY_FIELDS} < set(METRICS.entries)
