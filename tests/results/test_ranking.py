"""Architectures are ranked by the metric of the suite or of the report, whatever its direction and its unit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intelbench.errors import UserError
from intelbench.plugins.loading import load_plugin
from intelbench.reporting.markdown import render
from intelbench.reporting.report import compose, write_plan
from intelbench.reporting.sections.opening import headline
from intelbench.reporting.verdicts import verdicts
from intelbench.results import baseline, choice, efficiency, tables
from intelbench.results.diff import Gate, compare, judge
from intelbench.results.metrics import METRICS, ranking_metric, ranking_metrics
from intelbench.results.runs import RunSummary
from intelbench.results.study import Study as Records
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary, summarize
from intelbench.statistics import scores
from tests.conftest import REPOSITORY
from tests.reading import read_runs
from tests.results.test_plugin_metrics import claim
from tests.results.test_sequential import DESIGN
from tests.synthetic import Study, Summarize, synthetic_runs

LABELS = np.repeat(np.arange(6, dtype=np.int16), [250, 10, 10, 10, 10, 10])
"""One class of 250 images and five of 10."""


def _majority(run: RunSummary) -> RunSummary:
    """Return a run that answers the largest class for nearly every image: 85 % right, and one class of six."""
    predictions = np.zeros(300, dtype=np.int16)
    predictions[250:255] = 1
    return replace(run, test_labels=LABELS, test_predictions=predictions)


def _every_class(run: RunSummary) -> RunSummary:
    """Return a run that recognises three quarters of every class, other images with every seed."""
    wrong = np.random.default_rng(run.seed).random(300) < 0.25
    return replace(run, test_labels=LABELS, test_predictions=np.where(wrong, (LABELS + 1) % 6, LABELS))


def ranked_by(
    metric: str, summary: CohortSummary, change: Callable[[str, RunSummary], RunSummary], margin: float = 0.01
) -> CohortSummary:
    """Return a cohort whose runs were changed, by architecture, ranked by a metric."""
    runs = {
        run.record.run_id: change(architecture.name, run)
        for architecture in summary.finished
        for run in architecture.runs
    }
    return summarize(summary.cohort, runs, margin, ranking_metric(metric).ranking)


@pytest.fixture
def imbalanced(summarize: Summarize) -> Callable[[str], CohortSummary]:
    """Return the function that ranks a network that answers the largest class, and one that knows every class."""
    summary = summarize(["every_class", "majority"])
    changes = {"every_class": _every_class, "majority": _majority}
    return lambda metric: ranked_by(metric, summary, lambda name, run: changes[name](run))


def test_classes_of_different_sizes_are_ranked_by_balanced_accuracy(
    imbalanced: Callable[[str], CohortSummary],
) -> None:
    """By accuracy the network that answers the largest class is the best, by balanced accuracy and F1 the other one."""
    best = {
        name: [(a.name, a.rank) for a in imbalanced(name).architectures]
        for name in ("accuracy", "balanced_accuracy", "macro_f1")
    }
    assert best == {
        "accuracy": [("majority", 1), ("every_class", 2)],
        "balanced_accuracy": [("every_class", 1), ("majority", 2)],
        "macro_f1": [("every_class", 1), ("majority", 2)],
    }


def test_tables_headline_and_choice_follow_the_metric(imbalanced: Callable[[str], CohortSummary]) -> None:
    """The score of a row, the pairs, the probability of being the best, the front, and the words."""
    summary = imbalanced("balanced_accuracy")
    rows = tables.main(summary)
    score = scores.OF_PREDICTIONS["balanced_accuracy"]
    means = {a.name: np.mean([score(LABELS, r.test_predictions).mean() for r in a.runs])
             for a in summary.finished}  # fmt: skip
    assert {row["architecture"]: row["score"] for row in rows} == pytest.approx(means)
    assert ["balanced_accuracy"] * 2 == [row["metric"] for row in rows]
    (pair,) = tables.differences(summary)
    assert pair["metric"] == "balanced_accuracy"
    assert (pair["better"], pair["answer"]) == ("every_class", "better")
    assert pair["difference"] == pytest.approx(means["every_class"] - means["majority"], abs=1e-6)
    (accuracy,) = tables.differences(summary, "test_accuracy")
    assert accuracy["better"] == "majority"
    assert tables.standings(summary)[0]["best_probability"] > 0.99
    assert {row["metric"] for row in list(efficiency.pareto(summary))} == {"balanced_accuracy"}
    assert ["every_class"] == [a.name for a in choice.not_inferior(summary)]
    assert "`every_class` is significantly above `majority` in balanced accuracy by " in headline(summary)


def test_lower_is_better_of_a_loss(summarize: Summarize) -> None:
    """The architecture with the smaller log loss is the first, and the words and the margin have its unit."""
    summary = summarize(["low", "high"])
    loss = {"low": 0.4, "high": 0.9}

    def change(name: str, run: RunSummary) -> RunSummary:
        noise = np.random.default_rng(run.seed).normal(0, 0.1, 300)
        losses = (loss[name] + noise).astype(np.float32)
        return replace(run, images=replace(run.images, test_losses=losses), test_cross_entropy=float(losses.mean()))

    ranked = ranked_by("log_loss", summary, change, margin=0.02)
    assert ["low", "high"] == [a.name for a in ranked.architectures]
    text = headline(ranked)
    assert "`low` is significantly better than `high` in test NLL by 0.500" in text
    assert "nats" in text
    assert "within 0.02 nats of the best" in text
    assert tables.standings(ranked)[0]["best_probability"] > 0.99
    front = [row for row in list(efficiency.pareto(ranked)) if row["cost"] == "training_seconds"]
    assert [True] == [row["on_front"] for row in front if row["architecture"] == "low"]
    (pair,) = tables.differences(ranked)
    assert abs(pair["difference"]) == pytest.approx(0.5)
    assert pair["better"] == "low"


def test_who_is_not_better_than_answers_without_a_look_is_named(summarize: Summarize) -> None:
    """By balanced accuracy: a network that answers one class every time is at 1 of 6, however right it mostly is."""

    def change(name: str, run: RunSummary) -> RunSummary:
        return _every_class(run) if name == "a" else replace(run, test_labels=LABELS, test_predictions=0 * LABELS)

    summary = ranked_by("balanced_accuracy", summarize(["a", "b"]), change)
    assert baseline.baseline_value(summary) == pytest.approx(1 / 6)
    assert ["b"] == [architecture.name for architecture in baseline.not_above_baseline(summary)]
    said = "`b` is not significantly better in balanced accuracy than answers that do not look at the image (16.7 %)"
    assert said in headline(summary)


@pytest.mark.parametrize("name", [name for name in ranking_metrics() if name != "top5"])
def test_a_report_by_any_metric_can_be_written(name: str, tmp_path: Path) -> None:
    """Its main table has a column of the metric with the value of the baseline, and it says what ranks."""
    synthetic_runs(tmp_path, ["a", "b"], [0, 1])
    study = read(tmp_path, metric=name)
    text, metric = render(compose(study)), ranking_metric(name)
    assert f"| {metric.heading}" in " ".join(text.split())
    assert f"whose {metric.noun} is significantly better" in text
    assert (f"are by **{metric.noun}**" in text) == (name != "accuracy")
    assert baseline.baseline_value(study.cohorts[0]) is not None
    assert "pair" in write_plan(study)


def test_the_metric_of_the_suite_ranks_unless_another_is_given(tmp_path: Path) -> None:
    """It is in the records, is no part of their names, and separates no runs: the newest run has the word."""
    synthetic_runs(tmp_path / "accuracy", ["a", "b"])
    synthetic_runs(tmp_path / "both", ["a", "b"], [0, 1], Study(metric="macro_f1"))
    synthetic_runs(tmp_path / "both", ["a", "b"], [2], Study(metric="balanced_accuracy"))
    names = [[run.record.run_id for run in read_runs(tmp_path / folder)[0]] for folder in ("accuracy", "both")]
    assert names[0] == names[1]
    (summary,) = read(tmp_path / "both").cohorts
    assert summary.cohort.metrics == ("balanced_accuracy", "macro_f1")
    assert summary.ranking.metric == "balanced_accuracy"
    assert read(tmp_path / "both", metric="accuracy").cohorts[0].ranking.is_accuracy
    assert read(tmp_path / "accuracy").cohorts[0].ranking.is_accuracy


def test_a_metric_that_is_not_known_or_ranks_nothing_is_refused(tmp_path: Path) -> None:
    """With those that are accepted, and the nearest."""
    synthetic_runs(tmp_path, ["a"], [0])
    with pytest.raises(UserError, match=r"metric 'balanced': not known\. Try `balanced_accuracy`\. Expected one of: "):
        read(tmp_path, metric="balanced")
    with pytest.raises(UserError, match="metric 'step_seconds': architectures cannot be ranked by it"):
        read(tmp_path, metric="step_seconds")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("f1", "macro_f1"),
        ("F1-score", "macro_f1"),
        ("top1", "accuracy"),
        ("acc", "accuracy"),
        ("test_acuracy", "test_accuracy"),
        ("macro_recall", "balanced_accuracy"),
        ("recall", "balanced_accuracy"),
        ("precision", "macro_precision"),
        ("kappa", "quadratic_kappa"),
        ("roc_auc", "auroc"),
        ("nll", "log_loss"),
        ("cross_entropy", "log_loss"),
        ("brier", "brier_score"),
        ("top_5", "top5"),
    ],
)
def test_another_usual_name_of_a_metric_is_answered_with_its_name(written: str, name: str) -> None:
    """As people and libraries call it; both accepted names of a metric are listed."""
    with pytest.raises(UserError, match=f"not known. Try `{name}`. Expected one of: accuracy, .*test_accuracy"):
        ranking_metric(written)


def test_every_other_name_belongs_to_one_metric() -> None:
    """And is not the name of another one."""
    metrics = [entry.value for entry in METRICS.entries.values()]
    names = [name for metric in metrics for name in {metric.name, metric.short_name, *metric.synonyms}]
    assert len(names) == len(set(names))


def test_without_the_plugin_of_the_metric_accuracy_ranks(tmp_path: Path) -> None:
    """And the report says so, instead of failing."""
    synthetic_runs(tmp_path, ["a", "b"], study=Study(metric="cost_of_mistakes"))
    study = read(tmp_path)
    assert study.cohorts[0].ranking.is_accuracy
    assert "The metric of the suite, `cost_of_mistakes`, is not known here" in render(compose(study))


def test_a_metric_of_a_plugin_ranks(tmp_path: Path) -> None:
    """By its name, as a built-in one, with its column, its pairs and its words."""
    load_plugin(REPOSITORY / "tests" / "plugins" / "metric.py")
    name = "top2_accuracy"
    synthetic_runs(tmp_path, ["a", "b"], study=Study(accuracies={"a": 0.4, "b": 0.9}))
    study = read(tmp_path, metric=name)
    (summary,) = study.cohorts
    assert ["b", "a"] == [architecture.name for architecture in summary.architectures]
    assert {row["metric"] for row in tables.differences(summary)} == {name}
    assert f"are by **{METRICS.get(name).noun}**" in render(compose(study))


def test_auroc_is_computed_where_it_is_asked_for(tmp_path: Path) -> None:
    """From the logits in the records; nowhere else, since it takes long."""
    synthetic_runs(tmp_path, ["a", "b"])
    assert "auroc" not in read(tmp_path).cohorts[0].runs[0].of_logits
    (summary,) = read(tmp_path, metric="auroc").cohorts
    stored, _ = read_runs(tmp_path)
    for run in stored:
        traces = run.traces()
        expected = scores.auroc(traces["test_labels"], traces["test_logits"]).mean()
        (same,) = [each for each in summary.runs if each.record.run_id == run.record.run_id]
        assert METRICS.get("auroc").value(same) == pytest.approx(expected, abs=1e-6)
    assert read(tmp_path, asked=["auroc"]).cohorts[0].runs[0].of_logits.keys() == {"auroc"}


def test_top_5_of_few_classes_is_refused(tmp_path: Path) -> None:
    """With the metrics that rank; from 20 classes on it is a column that needs no asking."""
    synthetic_runs(tmp_path / "few", ["a", "b"])
    with pytest.raises(UserError, match=r"metric 'top5': not defined for 6 classes, it needs at least 20\.") as caught:
        read(tmp_path / "few", metric="top5")
    accepted = str(caught.value).partition("Expected one of: ")[2].split(", ")
    assert "accuracy" in accepted
    assert "top5" not in accepted
    many = Study(class_names=tuple(f"class {index}" for index in range(20)))
    synthetic_runs(tmp_path / "many", ["a", "b"], study=many)
    assert "| Top-5 accuracy (300 images) |" in " ".join(render(compose(read(tmp_path / "many"))).split())
    assert read(tmp_path / "many", metric="top5").cohorts[0].ranked


def test_looks_at_accuracy_are_ranked_by_accuracy(summarize: Summarize, tmp_path: Path) -> None:
    """Since their levels are those of tests of accuracy; the report says that it does not follow the metric."""
    summarize(["a", "b", "c"], range(5), design=DESIGN)
    study: Records = read(tmp_path / "runs", metric="macro_f1")
    assert study.cohorts[0].ranking.is_accuracy
    assert "ranks and differences are by it, and not by `macro_f1`" in render(compose(study))


def test_ranking_by_accuracy_is_what_it_was(tmp_path: Path) -> None:
    """Naming it changes nothing."""
    synthetic_runs(tmp_path, ["a", "b", "c"])
    named = read(tmp_path, metric="test_accuracy")
    assert render(compose(read(tmp_path), full=True)) == render(compose(named, full=True))


def test_what_takes_long_or_many_classes_is_claimed_and_gated(tmp_path: Path) -> None:
    """AUROC is computed for the claims and gates that name it, and top-5 accuracy where there are 20 classes."""
    class_names = tuple(f"class {index}" for index in range(20))
    for folder, year in (("before", 2026), ("after", 2027)):
        many = Study(class_names=class_names, accuracies={"a": 0.9, "b": 0.4}, year=year)
        synthetic_runs(tmp_path / folder / "runs", ["a", "b"], study=many)
    (summary,) = read(tmp_path / "before" / "runs", asked=["auroc"]).cohorts
    judged = verdicts(summary, [claim("auroc", "higher"), claim("top5", "higher")])
    assert ["supported", "supported"] == [verdict.verdict for verdict in judged]
    gates = [Gate(name, 0.02) for name in ("auroc", "top5", "balanced_accuracy")]
    comparison = compare(tmp_path / "before", tmp_path / "after", gates)
    assert {"passed"} == {verdict.outcome for verdict in judge(comparison, gates)}


def test_differences_of_accuracy_stay_where_another_metric_ranks(tmp_path: Path) -> None:
    """Claims about accuracy, and sections about it, are judged by it: as if it ranked."""
    synthetic_runs(tmp_path, ["a", "b", "c"])
    by_accuracy, by_loss = (read(tmp_path, metric=name).cohorts[0] for name in ("accuracy", "log_loss"))
    claims = [claim("test_accuracy", "higher")]
    assert verdicts(by_accuracy, claims) == verdicts(by_loss, claims)
