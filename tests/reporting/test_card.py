"""Model cards, as the library of the Hub reads them."""

from dataclasses import replace
from typing import Any

import pytest
from huggingface_hub import ModelCard

from intelbench.errors import UserError
from intelbench.reporting.card import _scalar, model_card
from intelbench.results.choice import recommended
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import CohortSummary
from tests.synthetic import Summarize, failure


def results_of(card: str) -> dict[str, Any]:
    """The evaluation results in the metadata, by the type of their metric."""
    read = ModelCard(card).data.eval_results
    assert read is not None
    return {result.metric_type: result for result in read}


def test_the_metadata_are_what_was_measured(summarize: Summarize) -> None:
    """Value, n and interval, with suite and digest of the data."""
    summary = summarize(["resnet101", "resnet152"])
    card = model_card([summary], "resnet152")
    (architecture,) = [each for each in summary.finished if each.name == "resnet152"]
    accuracy = architecture.test_accuracy
    assert accuracy is not None
    result = results_of(card)["accuracy"]
    assert accuracy.mean == result.metric_value
    assert {"num_seeds": 3, "interval_95_percent": [accuracy.low, accuracy.high]} == result.metric_args
    assert (summary.data.digest, "scenes", "test") == (
        result.dataset_revision, result.dataset_name, result.dataset_split,
    )  # fmt: skip
    assert {"suite": "quick", "num_images": 300} == result.dataset_args
    assert {"cross_entropy", "expected_calibration_error", "brier_score"} < results_of(card).keys()
    data = ModelCard(card).data
    assert ("resnet152", "image-classification", "pytorch") == (data.model_name, data.pipeline_tag, data.library_name)


def test_the_metric_that_ranks_comes_first(summarize: Summarize) -> None:
    """With its name in suites; the other metrics follow."""
    by_f1 = replace(summarize(["resnet101"]), ranking=METRICS.get("macro_f1").ranking)
    results = results_of(model_card([by_f1], "resnet101"))
    assert ["macro_f1", "accuracy"] == list(results)[:2]
    assert METRICS.get("macro_f1").of(by_f1.finished[0]).mean == results["macro_f1"].metric_value


def test_the_text_says_what_it_rests_on(summarize: Summarize) -> None:
    """Results, training, command and limits."""
    failures = {("resnet152", 2): failure()}
    summary = summarize(["resnet101", "resnet152"], failures=failures)
    card = model_card([summary], "resnet152")
    text = ModelCard(card).text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert ["# resnet152 on scenes", "## Results", "## Training", "## Limits"] == headings
    assert "mean over 2 seeds [95 % interval over seeds and test images]" in text
    assert f"Data digest: `{summary.data.digest}`" in text
    assert "intelbench run " in text
    assert "- Failed runs: out of memory (1 run)." in text
    assert "- Measured on 300 test images of one data set alone" in text
    assert "Recall of each class, the lowest first:" in text


def test_without_a_name_it_is_the_recommended_one(summarize: Summarize) -> None:
    """By the rules of the report and of `predict`; who shares its rank is said."""
    summary = summarize(["resnet101", "resnet152"], accuracies={"resnet101": 0.62, "resnet152": 0.62})
    best, _ = recommended(summary)
    card = model_card([summary])
    assert best.name == ModelCard(card).data.model_name
    (other,) = {"resnet101", "resnet152"} - {best.name}
    assert f"- `{best.name}` shares its rank with `{other}`." in card


def test_a_single_run_says_so(summarize: Summarize) -> None:
    """It has an interval over no seeds."""
    card = model_card([summarize(["resnet101"], [0])])
    assert "With one seed, nothing is known about the variation between seeds." in card
    assert {"num_seeds": 1} == results_of(card)["brier_score"].metric_args


def test_an_unknown_architecture_is_answered_with_the_nearest(summarize: Summarize) -> None:
    """And failed runs alone give no card."""
    summary = summarize(["resnet101"])
    with pytest.raises(UserError, match=r"architecture 'resnet10'.* Try `resnet101`"):
        model_card([summary], "resnet10")


def test_failed_runs_give_no_card(summarize: Summarize) -> None:
    """There is nothing to describe."""
    summary: CohortSummary = summarize(["resnet101"], [0], failures={("resnet101", 0): failure()})
    with pytest.raises(UserError, match="no run with test images has finished"):
        model_card([summary])


@pytest.mark.parametrize("value", [1e-05, 1.5e-07, 1e22, 0.25, 3, 'say "hi": [no]\n', ["a", 0.5]])
def test_scalars_are_read_as_they_were(value: Any) -> None:
    """YAML takes `1e-05` for a text."""
    import yaml

    read = yaml.safe_load(f"key: {_scalar(value)}")["key"]
    if isinstance(value, str):
        assert " ".join(value.split()) == read
    else:
        assert value == read
        assert not isinstance(read, str)
