"""A prediction interval holds the mean of further runs as often as it says, however many seeds it is made of."""

import numpy as np
import pytest
from scipy import stats

from intelbench.statistics import inference
from intelbench.statistics.prediction import predict
from intelbench.statistics.shares import share_estimate
from tests.statistics import prediction_simulation
from tests.statistics.worlds import World

VALUES = np.array([0.2, 0.5, 0.3, 0.6, 0.4])


@pytest.mark.parametrize("runs", [1, 4, 10**9])
def test_over_seeds_it_is_students(runs: int) -> None:
    """Mean ± t s sqrt(1/n + 1/m), of ratios for the logarithm; for a mean of very many it is that of the mean."""
    half = stats.t.ppf(0.975, 4) * VALUES.std(ddof=1) * np.sqrt(1 / 5 + 1 / runs)
    found = predict(inference.infer_from_seeds(VALUES), runs)
    assert (VALUES.mean(), *VALUES.mean() + half * np.r_[-1, 1], 5) == pytest.approx(
        (found.mean, found.low, found.high, found.n)
    )
    ratio = predict(inference.infer_ratio(np.exp(VALUES), np.ones(5)), runs)
    assert np.exp((found.mean, found.low, found.high)) == pytest.approx((ratio.mean, ratio.low, ratio.high))
    if runs > 4:
        estimate = inference.infer_from_seeds(VALUES).estimate
        assert (estimate.low, estimate.high) == pytest.approx((found.low, found.high))


def test_other_images_count_twice() -> None:
    """Where seeds agree, a further run differs by both choices of images; where images agree, by the seeds alone."""
    images = np.tile(np.linspace(0, 1, 50), (4, 1))
    half = stats.t.ppf(0.975, 49) * images[0].std(ddof=1) * np.sqrt(2 / 50)
    found = predict(inference.infer(images), 1)
    assert (0.5 - half, 0.5 + half) == pytest.approx((found.low, found.high))
    seeds = predict(inference.infer(np.tile(VALUES[:, None], 50)), 1)
    alone = predict(inference.infer_from_seeds(VALUES), 1)
    assert (alone.low, alone.high) == pytest.approx((seeds.low, seeds.high))


def test_a_requirement_has_neither_seeds_nor_images() -> None:
    """Its interval is that of the mean; a mean of very many runs still has images of its own."""
    table = np.random.default_rng(0).random((4, 60)) < 0.8
    inferred = inference.infer(table)
    found, many = (predict(inferred, runs, 60) for runs in (None, 10**9))
    mean = share_estimate(inferred, 60)
    assert (mean.low, mean.high) == pytest.approx((found.low, found.high), abs=0.02)
    assert many.low < found.low < found.high < many.high
    over_seeds = predict(inference.infer_from_seeds(VALUES), None)
    assert inference.infer_from_seeds(VALUES).estimate == over_seeds


def test_one_seed_predicts_nothing() -> None:
    """It does not say how much seeds differ."""
    assert predict(inference.infer(np.ones((1, 5))), 1) is None


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
def test_a_true_figure_of_one_run_is_seldom_contradicted(num_seeds: int) -> None:
    """In at most 6 % of studies with normal seeds, even of two; the interval of the mean misses more."""
    runs = np.random.default_rng(num_seeds).normal(0.9, 0.01, (2000, num_seeds + 1))
    inferred = [inference.infer_from_seeds(seeds) for seeds in runs[:, :-1]]
    predicted = [predict(each, 1) for each in inferred]
    missed, by_mean = (
        np.mean([not each.low <= figure <= each.high for each, figure in zip(intervals, runs[:, -1], strict=True)])
        for intervals in (predicted, [each.estimate for each in inferred])
    )
    assert missed <= 0.06
    assert by_mean > 0.07


@pytest.mark.parametrize("num_seeds", prediction_simulation.SEEDS)
def test_a_true_accuracy_of_one_run_is_seldom_contradicted(num_seeds: int) -> None:
    """In a few studies of seeds and images; on other images than those of the study, and on the same."""
    found = prediction_simulation.simulate(prediction_simulation.WORLDS[1], num_seeds, 300)
    assert max(found.on_other_images, found.on_same_images, found.of_requirement) <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", prediction_simulation.SEEDS)
@pytest.mark.parametrize("world", prediction_simulation.WORLDS, ids=lambda world: world.name)
def test_true_accuracies_of_one_run_are_seldom_contradicted(world: World, num_seeds: int) -> None:
    """In at most 6 % of 2,000 studies."""
    found = prediction_simulation.simulate(world, num_seeds, 2000)
    assert found.on_other_images <= 0.06
    assert found.on_same_images <= 0.06
    assert found.of_requirement <= 0.06
