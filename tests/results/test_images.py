"""Means over images are compared over seeds and images, so that two equal networks seldom differ by any of them."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from intelbench.results import tables
from intelbench.results.images import half, single
from intelbench.results.metric import Metric, differences
from intelbench.results.metrics import METRICS
from intelbench.results.study import read
from intelbench.statistics import stability
from intelbench.statistics.estimates import mean_interval
from tests.results import metric_simulation
from tests.synthetic import Study, Summarize, synthetic_runs

BY_IMAGE = [entry.value for entry in METRICS.entries.values() if entry.value.per_image]


@pytest.mark.parametrize("metric", BY_IMAGE, ids=lambda metric: metric.name)
def test_a_metric_is_the_mean_of_its_images(metric: Metric, summarize: Summarize, tmp_path: Path) -> None:
    """In every run, on as many images as its split has; its interval is over them, and pairs are compared by it."""
    few = {} if metric.name != "top5" else {"class_names": tuple(f"class {index}" for index in range(20))}
    summarize(["a", "b"], num_validation=90, **few)
    (summary,) = read(tmp_path / "runs", asked=[metric.name]).cohorts
    num_images = {"test": 300, "validation": 90, "training": 120}[metric.split]
    for run in summary.runs:
        values = metric.per_image(run)
        assert (num_images,) == values.shape == run.ids(metric.split).shape
        assert metric.value(run) == pytest.approx(np.mean(values, dtype=np.float64), abs=5e-5)
    estimate = metric.of(summary.finished[0])
    assert np.mean(metric.values(summary.finished[0])) == pytest.approx(estimate.mean, abs=5e-5)
    (pair,) = differences(metric, summary)
    first, second = (metric.of(summary.finished[place]).mean for place in (pair.first, pair.second))
    assert first - second == pytest.approx(pair.difference.mean, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS.providers())
def test_what_has_images_is_compared_by_them(metric: str) -> None:
    """And nothing else is."""
    assert (METRICS.get(metric).per_image is not None) == (METRICS.get(metric).compared == "images")


def test_runs_without_the_metric_are_left_out_of_its_mean(summarize: Summarize) -> None:
    """There are no pairs by it, nor where runs have other images: then the interval is over the seeds alone."""
    summary = summarize(["a"])
    (a,), metric = summary.finished, METRICS.get("scaled_cross_entropy")
    first, *others = a.runs
    without = replace(first, scaled_cross_entropy=None, images=replace(first.images, scaled_losses=None))
    assert metric.of(replace(a, runs=(without, *others))) == metric.of(replace(a, runs=tuple(others)))
    assert metric.table([without, *others]) is None
    accuracy = METRICS.get("validation_accuracy")
    elsewhere = replace(first, images=replace(first.images, validation_ids=first.images.validation_ids[::-1]))
    assert accuracy.table([elsewhere, *others]) is None
    over_seeds = mean_interval([METRICS.get("validation_accuracy").value(run) for run in a.runs], 0, 1)
    assert accuracy.of(replace(a, runs=(elsewhere, *others))) == over_seeds


def test_an_accuracy_without_an_error_is_not_certain(summarize: Summarize) -> None:
    """Of the validation and the training images, as of the test images."""
    (a,) = summarize(["a"]).finished
    all_right = np.packbits(np.ones((4, 60), dtype=np.bool_), axis=1)
    images = replace(a.runs[0].images, validation_right=all_right, training_right=np.ones(120, dtype=np.bool_))
    runs = [replace(run, images=images) for run in a.runs]
    for name in ("validation_accuracy", "training_accuracy"):
        estimate = METRICS.get(name).mean(runs)
        assert estimate.low < 0.98
        assert 1 == estimate.mean == estimate.high


def test_pairs_by_any_mean_over_images_are_a_table(summarize: Summarize) -> None:
    """With one row for each pair."""
    rows = tables.differences(summarize(["a", "b", "c"]), "test_cross_entropy")
    assert ["test_cross_entropy"] * 3 == [row["metric"] for row in rows]
    assert all(row["p_holm"] is not None for row in rows)


evaluations = arrays(np.int64, st.tuples(st.integers(2, 6), st.integers(1, 30)), elements=st.integers(0, 3))


@given(evaluations)
def test_stability_is_a_mean_over_validation_images(predicted: np.ndarray) -> None:
    """As the functions of all predictions have it."""
    labels = np.arange(predicted.shape[1]) % 4
    right = predicted == labels
    images = metric_simulation.evaluated(right, predicted[1:] != predicted[:-1])
    churn = stability.churn_between_evaluations(labels, predicted)
    falls = np.maximum(-np.diff(right.mean(axis=1)), 0).mean()
    expected = {
        "churn": churn.total,
        "unnecessary_churn": churn.unnecessary,
        "swing": np.abs(np.diff(right.mean(axis=1))).mean(),
        "setback": falls,
        "forgetting_events": (right[:-1] & ~right[1:]).sum(axis=0).mean(),
    }
    assert {name: pytest.approx(value, abs=1e-6) for name, value in expected.items()} == {
        name: float(getattr(images, name).mean()) for name in expected
    }
    assert right[-1].tolist() == images.kept_right.tolist()


def test_one_evaluation_point_has_no_stability() -> None:
    """Nor has none an accuracy."""
    once, never = (metric_simulation.evaluated(np.ones((points, 5), dtype=np.bool_)) for points in (1, 0))
    assert once.kept_right is not None
    assert [None] * 5 == [once.churn, once.swing, once.setback, once.unnecessary_churn, once.forgetting_events]
    assert [None] * 2 == [never.kept_right, never.swing]


def test_values_that_are_not_finite_are_absent() -> None:
    """Also those that the precision cannot hold."""
    for rounded, precision, large in ((single, np.float32, 1e300), (half, np.float16, 1e5)):
        assert rounded(np.array([1.0, 2.0])).dtype == precision
        assert rounded(np.array([1.0, np.nan])) is rounded(np.array([large])) is rounded(np.array([])) is None


def test_a_run_is_small_in_memory(tmp_path: Path) -> None:
    """At most 56 kB of arrays with 3,000 test images, so that a report on 10,000 runs takes less than a gigabyte."""
    synthetic_runs(tmp_path, ["a"], [0, 1], Study(num_test=3000, num_validation=240))
    first, second = read(tmp_path).cohorts[0].runs
    both, alone = len(pickle.dumps([first, second])), len(pickle.dumps(first))  # what the two share counts once
    assert both - alone < 56_000 + len(pickle.dumps(second.record))


def test_two_equal_networks_seldom_differ() -> None:
    """By no metric in more than 12 % of 150 studies, which three standard errors above 6 % are."""
    found = metric_simulation.false_positives(3, 0.3, 150, num_images=200)
    assert {name: share for name, (share, _) in found.items() if share > 0.12} == {}


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", metric_simulation.NUM_SEEDS)
@pytest.mark.parametrize("seed", [0.05, 0.3])
def test_two_equal_networks_differ_in_six_percent_at_most(num_seeds: int, seed: float) -> None:
    """By every metric, of 2,000 studies each; over the seeds alone up to half of them would differ."""
    found = metric_simulation.false_positives(num_seeds, seed, 2000)
    assert {name: share for name, (share, _) in found.items() if share > 0.06} == {}
