"""Calibration errors and scores are what their definitions say."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import softmax

from intelbench.records.store import Traces, write_run
from intelbench.records.types import RunRecord
from intelbench.results import tables
from intelbench.results.metrics import METRICS
from intelbench.results.study import read
from intelbench.statistics import calibration as reliability
from intelbench.statistics.calibration import NUM_BINS, Temperature
from intelbench.statistics.estimates import Softmax
from tests.reporting.rendered import build
from tests.synthetic import Study, synthetic_run, synthetic_runs

shapes = st.tuples(st.integers(1, 40), st.just(4))
finite_logits = arrays(np.float64, shapes, elements=st.floats(-30, 30))
short_logits = arrays(np.float64, shapes, elements=st.floats(-30, 30, width=16))
"""To which a small whole number is added without rounding."""


def logits_of(*probabilities: list[float]) -> NDArray[np.float64]:
    """Whose softmax is that; an impossible class has a very small logit."""
    return np.log(np.maximum(probabilities, 1e-300))


def test_a_confidence_of_one_belongs_to_the_last_bin() -> None:
    """The textbook's 0.475, where a half-open last bin loses the sure images and gives another number."""
    probabilities = [[1.0, 0.0], [0.95, 0.05]]
    found = reliability.reliability(np.array([0, 1]), Softmax.of(logits_of(*probabilities)))
    assert found is not None
    assert pytest.approx(0.475) == found.expected_calibration_error
    assert 2 == found.num_images[-1]


def test_by_hand() -> None:
    """Two images at 0.9, one of them right, and two at 0.6, both right: (2 x 0.4 + 2 x 0.4) / 4."""
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]
    found = reliability.reliability(np.array([0, 1, 0, 0]), Softmax.of(logits_of(*probabilities)))
    assert found is not None
    assert pytest.approx(0.4) == found.expected_calibration_error
    assert pytest.approx((0.02 + 1.62 + 0.32 + 0.32) / 4) == found.brier_score
    confidence, accuracy = reliability.pooled_curve([found])
    assert pytest.approx([0.6, 0.9]) == confidence.tolist()
    assert pytest.approx([1.0, 0.5]) == accuracy.tolist()


def test_sure_and_right_is_perfect() -> None:
    """And sure and wrong is as bad as can be."""
    sure = Softmax.of(np.array([[1000.0, 0.0], [0.0, 1000.0]]))
    right, wrong = (reliability.reliability(np.array(labels), sure) for labels in ([0, 1], [1, 0]))
    assert right is not None
    assert wrong is not None
    assert [0.0, 0.0, 0.0] == [right.expected_calibration_error, right.adaptive_error, right.brier_score]
    assert [1.0, 1.0, 2.0] == [wrong.expected_calibration_error, wrong.adaptive_error, wrong.brier_score]


@given(finite_logits, st.data())
def test_every_image_is_in_one_bin(logits: NDArray[np.float64], data: st.DataObject) -> None:
    """The bins hold all images, the errors are shares, and none is below the distance of the two means."""
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(logits), max_size=len(logits))))
    found = reliability.reliability(labels, Softmax.of(logits))
    assert found is not None
    assert len(labels) == found.num_images.sum()
    distance = abs(found.right.sum() - found.confidence.sum()) / len(labels)
    for error in (found.expected_calibration_error, found.adaptive_error):
        assert distance - 1e-9 <= error <= 1
    assert 0 <= found.brier_score <= 2


@given(short_logits)
def test_a_constant_added_to_logits_changes_nothing(logits: NDArray[np.float64]) -> None:
    """Softmax knows differences alone."""
    labels = np.zeros(len(logits), dtype=np.int64)
    one, other = (reliability.reliability(labels, Softmax.of(each)) for each in (logits, logits + 8.0))
    assert one is not None
    assert other is not None
    assert pytest.approx(one.brier_score) == other.brier_score
    assert pytest.approx(one.adaptive_error, abs=1e-9) == other.adaptive_error


def test_adaptive_bins_hold_equally_many() -> None:
    """As many bins as images, where these are few: the error of each by itself."""
    confidence, right = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
    assert pytest.approx([0.1, 0.8, 0.3]) == reliability.adaptive_gaps(confidence, right).tolist()
    many = np.linspace(0.5, 1, 10 * NUM_BINS)
    assert pytest.approx(0.25, abs=0.01) == reliability.adaptive_gaps(many, np.ones(len(many), dtype=bool)).mean()


@given(st.lists(st.tuples(st.floats(0.2, 1), st.booleans()), min_size=1, max_size=60))
def test_a_calibration_error_is_a_mean_over_images(answers: list[tuple[float, bool]]) -> None:
    """The distances of the bins, weighted by their images, and each image has the sign of its bin."""
    confidence, right = np.array([c for c, _ in answers]), np.array([r for _, r in answers])
    order = np.argsort(confidence, kind="stable")
    adaptive = np.empty(len(order), dtype=np.int64)
    for number, of_bin in enumerate(np.array_split(order, NUM_BINS)):
        adaptive[of_bin] = number
    for bins, gaps in (
        (reliability.bin_of(confidence), reliability.gaps(confidence, right)),
        (adaptive, reliability.adaptive_gaps(confidence, right)),
    ):
        distances = [abs((right - confidence)[bins == number].sum()) for number in range(NUM_BINS)]
        assert gaps.mean() == pytest.approx(sum(distances) / len(order), abs=1e-12)
        assert np.abs(gaps) == pytest.approx(np.abs(right - confidence) * (np.array(distances)[bins] > 0))


def test_nothing_is_made_of_nothing() -> None:
    """No image, or a logit that is no number."""
    assert reliability.reliability(np.empty(0, dtype=np.int64), Softmax.of(np.empty((0, 3)))) is None
    assert reliability.reliability(np.array([0]), Softmax.of(np.array([[np.inf, 0.0]]))) is None


def test_the_report_has_means_over_seeds_and_a_diagram(tmp_path: Path) -> None:
    """The mean of what each run gives, in the table, and one line of the diagram for each architecture."""
    synthetic_runs(tmp_path, ["a", "b"], [0, 1])
    (summary,) = read(tmp_path).cohorts
    for row, architecture in zip(list(tables.reliability(summary)), summary.finished, strict=True):
        errors = [run.reliability.expected_calibration_error for run in architecture.runs if run.reliability]
        assert pytest.approx(np.mean(errors)) == row["expected_calibration_error"]
    report = build(tmp_path, full=True)
    assert "## Calibration" in report.text
    assert 1 == sum(name.startswith("reliability") for name in report.figures)


def test_logits_that_are_not_finite_are_said_to_have_no_calibration(tmp_path: Path) -> None:
    """A dash and no diagram."""
    record, traces = synthetic_run("a", 0, Study())
    traces = {**traces, "test_logits": np.full_like(traces["test_logits"], np.nan)}
    write_run(tmp_path, record, traces)
    report = build(tmp_path, full=True)
    (line,) = (
        each
        for each in report.text.split("## Calibration\n")[1].split("\n## ")[0].splitlines()
        if each.startswith("| a")
    )
    assert ["–", "–", "–", "–"] == [cell.strip() for cell in line.strip("|").split("|")][1:5]
    assert not any(name.startswith("reliability") for name in report.figures)


@given(st.floats(0.2, 5))
def test_the_temperature_undoes_a_scaling(factor: float) -> None:
    """Logits that were right, times a factor, are divided by that factor again."""
    random = np.random.default_rng(0)
    logits = random.standard_normal((400, 4))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    fitted = reliability.fitted_temperature(labels, logits)
    scaled = reliability.fitted_temperature(labels, factor * logits)
    assert fitted is not None
    assert scaled is not None
    assert scaled.value == pytest.approx(factor * fitted.value, rel=1e-6)


def test_no_other_temperature_is_more_likely() -> None:
    """Against scipy's minimiser of the likelihood itself."""
    random = np.random.default_rng(1)
    logits = 3 * random.standard_normal((200, 6))
    labels = (logits / 2 + random.gumbel(size=logits.shape)).argmax(axis=1)
    found = minimize_scalar(
        lambda temperature: Softmax.of(logits / temperature).losses(labels).mean(),
        bounds=(0.1, 10),
        options={"xatol": 1e-10},
    )
    fitted = reliability.fitted_temperature(labels, logits)
    assert fitted is not None
    assert fitted.value == pytest.approx(found.x, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 0.1, 1.0, 10.0, 1e3, 1e30])
@pytest.mark.parametrize("right", [0.1, 0.5, 0.9, 1.0])
def test_a_temperature_is_where_the_likelihood_has_no_slope(scale: float, right: float) -> None:
    """What a bracketing search finds, however large the logits are; not converged where there is none in its bounds."""
    random = np.random.default_rng(5)
    logits = scale * random.normal(size=(150, 5))
    labels = np.where(random.random(150) < right, logits.argmax(axis=1), random.integers(5, size=150))

    def slope(sharpness: float) -> float:
        return float(
            np.mean(logits[np.arange(150), labels] - (softmax(sharpness * logits, axis=1) * logits).sum(axis=1))
        )

    coldest, hottest = reliability.TEMPERATURES
    fitted = reliability.fitted_temperature(labels, logits)
    assert fitted is not None
    if slope(1 / coldest) >= 0:
        assert (None, coldest) == (fitted.value, fitted.bound)
    elif slope(1 / hottest) <= 0:
        assert (None, hottest) == (fitted.value, fitted.bound)
    else:
        assert fitted.bound is None
        assert fitted.value == pytest.approx(1 / brentq(slope, 1 / hottest, 1 / coldest, xtol=1e-14), rel=1e-9)


def test_a_temperature_has_bounds() -> None:
    """All right is never sure enough, all wrong never unsure enough: not converged. Without images there is none."""
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    coldest, hottest = reliability.TEMPERATURES
    assert Temperature(None, coldest) == reliability.fitted_temperature(np.array([0, 1]), logits)
    assert Temperature(None, hottest) == reliability.fitted_temperature(np.array([1, 0]), logits)
    assert reliability.fitted_temperature(np.empty(0, dtype=int), np.empty((0, 2))) is None


def test_records_without_validation_logits_have_no_temperature(tmp_path: Path) -> None:
    """Older ones; the report then has no columns for it."""
    synthetic_runs(tmp_path / "new", ["a"])
    for seed in range(3):
        record, traces = synthetic_run("a", seed, Study())
        write_run(
            tmp_path / "old", record, {name: array for name, array in traces.items() if name != "validation_logits"}
        )
    assert "NLL, scaled" in build(tmp_path / "new", full=True).text
    assert "NLL, scaled" not in build(tmp_path / "old", full=True).text
    (row, *_) = tables.reliability(read(tmp_path / "old").cohorts[0])
    assert (0, None) == (row["num_temperatures"], row["fitted_temperature"])


def without_information(record: RunRecord, traces: Traces) -> tuple[RunRecord, Traces]:
    """The run with validation logits that are always wrong, so that no temperature is found."""
    labels = traces["validation_labels"]
    logits = -10 * np.eye(len(record.spec.data.class_names), dtype=np.float32)[labels]
    return record, {**traces, "validation_logits": logits, "validation_predictions": _with_last(traces, logits)}


def _with_last(traces: Traces, logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """The predictions at the evaluation points, with those of the logits at the last."""
    return np.vstack([traces["validation_predictions"][:-1], logits.argmax(axis=1)])


def test_a_temperature_at_a_bound_is_not_averaged_but_reported(tmp_path: Path) -> None:
    """One of three runs: the mean is that of the other two, in the scaled columns too, and the note counts it."""
    for seed in range(3):
        run = synthetic_run("a", seed, Study())
        write_run(tmp_path, *(without_information(*run) if seed == 1 else run))
    (summary,) = read(tmp_path).cohorts
    (row,) = list(tables.reliability(summary))
    runs = [run for run in summary.finished[0].runs if run.seed != 1]
    assert (3, 2) == (row["num_temperatures"], row["num_temperatures_converged"])
    assert row["fitted_temperature"] == pytest.approx(np.mean([run.temperature.value for run in runs]))
    assert row["scaled_calibration_error"] == pytest.approx(np.mean([run.scaled_calibration_error for run in runs]))
    assert "The fit did not converge for `a` (1 of 3 runs)" in build(tmp_path, full=True).text


def test_where_no_temperature_was_found_the_table_says_so(tmp_path: Path) -> None:
    """Not a number at the bound of the search."""
    write_run(tmp_path, *without_information(*synthetic_run("a", 0, Study())))
    text = build(tmp_path, full=True).text
    assert "not converged" in text.split("## Calibration\n")[1].split("\n## ")[0]


def test_where_scaling_makes_the_calibration_worse_it_is_said(tmp_path: Path) -> None:
    """With the mean change of ECE and its interval; and nothing where it makes it better."""
    for seed in range(3):
        record, traces = synthetic_run("a", seed, Study())
        traces = {**traces, "validation_logits": 5 * traces["validation_logits"]}  # too sure, so T is above 1
        sure_and_right = 10 * np.eye(6)[traces["test_labels"]]
        write_run(tmp_path / "worse", record, {**traces, "test_logits": sure_and_right})
        write_run(tmp_path / "better", record, {**traces, "test_logits": sure_and_right[:, ::-1]})
    (worse,) = read(tmp_path / "worse").cohorts[0].finished
    assert METRICS.get("scaling_calibration_change").of(worse).mean > 0
    assert "Scaling makes ECE worse for `a` (+" in build(tmp_path / "worse", full=True).text
    better = build(tmp_path / "better", full=True).text
    assert "Scaling makes ECE worse" not in better
    assert "ECE is higher after scaling" not in better


def test_an_ece_that_chance_explains_is_said_to_be_none(tmp_path: Path) -> None:
    """Logits that are as often right as they are sure, and ten times these."""
    random = np.random.default_rng(0)
    for seed in range(3):
        for name, factor in (("a", 1.0), ("b", 10.0)):
            record, traces = synthetic_run(name, seed, Study())
            logits = random.standard_normal((len(traces["test_labels"]), 6))
            labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
            logits[np.arange(len(labels)), [labels, traces["test_labels"]]] = logits[
                np.arange(len(labels)), [traces["test_labels"], labels]
            ]  # the labels stay, and the logits change places
            write_run(tmp_path, record, {**traces, "test_logits": factor * logits})
    text = build(tmp_path, full=True).text
    assert "ECE is not beyond that of a calibrated network for `a`." in text


@pytest.mark.parametrize("num_images", [1, 7, 60, 900])
def test_the_error_of_a_calibrated_network_is_what_chance_gives(num_images: int) -> None:
    """The mean over simulated networks that are as often right as they are confident, within its own error."""
    random = np.random.default_rng(num_images)
    logits = 2 * random.standard_normal((num_images, 6))
    confidence = softmax(logits, axis=1).max(axis=1)
    found = reliability.reliability(np.zeros(num_images, dtype=int), Softmax.of(logits))
    assert found is not None
    bins = reliability.bin_of(confidence)
    sums = np.zeros((20_000, NUM_BINS))
    for image in range(num_images):
        sums[:, bins[image]] += (random.random(20_000) < confidence[image]) - confidence[image]
    errors = np.abs(sums).sum(axis=1) / num_images
    assert found.expected_calibration_error_if_calibrated == pytest.approx(errors.mean(), rel=0.02)


def test_a_network_that_is_always_sure_and_calibrated_shows_no_error() -> None:
    """Nothing is left to chance where the confidence is 1."""
    found = reliability.reliability(np.array([0, 0]), Softmax.of(np.array([[1000.0, 0.0], [1000.0, 0.0]])))
    assert found is not None
    assert 0 == found.expected_calibration_error_if_calibrated
