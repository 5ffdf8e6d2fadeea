"""The journal records losses and predictions up to the last finite loss."""

import math

import numpy as np
import pytest
import torch

from intelbench.data.dataset import Split
from intelbench.profiling.activations import Activations
from intelbench.profiling.steps import LapClock
from intelbench.training.journal import Journal

CPU = torch.device("cpu")
VALIDATION = Split(("a", "b", "c"), (0, 1, 1), (0, 1, 2))
LOGITS = np.array([[2, 1], [2, 1], [0, 3]], dtype=np.float32)


def write(journal: Journal, loss: float, norm: float = 1.0, rate: float = 0.1) -> None:
    """Record a step."""
    journal.add_step(torch.tensor(float(loss), requires_grad=True), torch.tensor(float(norm)), rate)


def clock_of(num_steps: int) -> LapClock:
    """Return a clock that has counted this number of steps."""
    clock = LapClock(CPU)
    clock.start()
    for _ in range(num_steps):
        clock.lap("transfer")
        clock.lap("optimizer")
        clock.lap("pause")
    clock.settle()
    return clock


def test_an_empty_journal() -> None:
    """There is no loss and no accuracy, and every array has its shape."""
    journal = Journal(CPU, VALIDATION)
    traces = journal.traces(clock_of(0))
    assert (0, 0, None, None) == (
        journal.num_steps, journal.num_evaluations, journal.latest[0], journal.latest[1]
    )  # fmt: skip
    assert {"validation_ids": (3,), "validation_labels": (3,), "validation_predictions": (0, 3)} == {
        name: array.shape
        for name, array in traces.items()
        if name.startswith("validation_") and name != "validation_loss"
    }
    for name in ("step_loss", "step_seconds", "data_wait_seconds", "gradient_norm", "learning_rate",
                 "evaluation_step", "evaluation_seconds", "validation_loss"):  # fmt: skip
        assert (0,) == traces[name].shape


def activations(dead_share: float) -> Activations:
    """Return the activations of two sites, the second one without dead units."""
    return Activations(
        ("relu 1", "head 1"), np.array([8, 4]), np.array([dead_share, 0]), np.array([0.5, 1]), np.array([0.1, 0.2])
    )


def test_a_network_without_rectifiers_has_no_sites() -> None:
    """Only the arrays of activations are absent."""
    journal = Journal(CPU, VALIDATION)
    write(journal, 1)
    nothing = np.empty(0)
    journal.add_evaluation(1, 0.5, LOGITS, Activations((), nothing, nothing, nothing, nothing))
    assert not [name for name in journal.traces(clock_of(1)) if name.startswith("activation")]


def test_steps_and_evaluations_become_arrays() -> None:
    """Arrays have one value for each step, or one row for each evaluation point."""
    journal = Journal(CPU, VALIDATION)
    for step in range(4):
        write(journal, 4 - step, 10 + step, 0.1 * step)
    journal.add_evaluation(2, 0.5, LOGITS, activations(0.5))
    journal.add_evaluation(4, 1.5, -LOGITS, activations(0.25))
    traces = journal.traces(clock_of(4))
    assert [4, 3, 2, 1] == traces["step_loss"].tolist()
    assert [10, 11, 12, 13] == traces["gradient_norm"].tolist()
    assert [0.1 * step for step in range(4)] == traces["learning_rate"].tolist()
    assert (4,) == traces["step_seconds"].shape == traces["data_wait_seconds"].shape
    assert [2, 4] == traces["evaluation_step"].tolist()
    assert [0.5, 1.5] == traces["evaluation_seconds"].tolist()
    assert [[0, 0, 1], [1, 1, 0]] == traces["validation_predictions"].tolist()
    assert (-LOGITS).tolist() == traces["validation_logits"].tolist()
    assert ["a", "b", "c"] == traces["validation_ids"].tolist()
    assert [0, 1, 1] == traces["validation_labels"].tolist()
    assert (1, pytest.approx(1 / 3)) == (journal.latest[0], journal.latest[1])
    assert (4, 2) == (journal.num_steps, journal.num_evaluations)
    assert ["relu 1", "head 1"] == traces["activation_sites"].tolist()
    assert [8, 4] == traces["activation_units"].tolist()
    assert [[0.5, 0], [0.25, 0]] == traces["activation_dead_share"].tolist()
    assert (2, 2) == traces["activation_positive_share"].shape == traces["activation_mean"].shape


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_the_intake(loss: float) -> None:
    """The traces end with the step before it, whatever comes later."""
    journal = Journal(CPU, VALIDATION)
    write(journal, 2)
    write(journal, 1)
    write(journal, loss)
    write(journal, 5)
    traces = journal.traces(clock_of(4))
    assert journal.divergence
    assert (2, 1) == (journal.num_steps, journal.latest[0])
    for name in ("step_loss", "step_seconds", "data_wait_seconds", "gradient_norm", "learning_rate"):
        assert (2,) == traces[name].shape
    assert [2, 1] == traces["step_loss"].tolist()


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_a_divergence(wrong: float) -> None:
    """Weights that the last step ruined show in an evaluation first: no NaN is stored, and the run has diverged."""
    journal = Journal(CPU, VALIDATION)
    write(journal, 1)
    logits = LOGITS.copy()
    logits[1, 1] = wrong
    with np.errstate(all="ignore"):
        journal.add_evaluation(1, 0.5, logits, activations(0.5))
    assert journal.divergence
    assert np.isfinite(journal.traces(clock_of(1))["validation_loss"]).all()


def test_settling_a_processors_journal_is_nothing() -> None:
    """On a CPU, numbers are recorded at once."""
    journal = Journal(CPU, VALIDATION)
    write(journal, 1)
    journal.settle()
    assert 1 == journal.num_steps


@pytest.mark.gpu
def test_a_gpus_numbers_arrive_in_order() -> None:
    """All numbers of a GPU are recorded."""
    journal = Journal(torch.device("cuda"), VALIDATION)
    for step in range(50):
        journal.add_step(torch.tensor(float(step), device="cuda"), torch.tensor(1.0, device="cuda"), 0.1)
    journal.settle()
    assert list(range(50)) == journal.traces(clock_of(50))["step_loss"].tolist()


@pytest.mark.usefixtures("fake_cuda")
def test_a_gpus_numbers_arrive_late_and_in_order() -> None:
    """A number is recorded when its event has finished, and all numbers after `settle`."""
    journal = Journal(CPU, VALIDATION)
    known = []
    for step in range(5):
        write(journal, step)
        known.append(journal.num_steps)
    assert [0, 1, 2, 3, 4] == known
    journal.settle()
    assert [0, 1, 2, 3, 4] == journal.traces(clock_of(5))["step_loss"].tolist()
