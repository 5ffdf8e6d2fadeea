"""A run is flagged for what was done to it: seldom on an idle machine, nearly always where a tenth was lost."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.records.types import Execution
from intelbench.results.disturbance import FLAGGED_CHANGE, LOST_SECONDS, disturbances
from intelbench.results.runs import RunSummary, _reduce
from tests.results import disturbance_simulation as simulation
from tests.synthetic import Study, synthetic_run

STUDY = Study()
IN_SECONDS = Study(conditions=Conditions(budget=Budget(seconds=20), recipe=Recipe(), image_size=64))
COMPETITORS = (simulation.ALL_ALONG, simulation.PART)
MACHINES = (simulation.QUIET, simulation.VIRTUAL)


def run_of(rate: float, study: Study = STUDY, *, others: slice = slice(None)) -> RunSummary:
    """A run from which others took a number of processor seconds per second, in some of its steps."""
    run = _reduce(*synthetic_run("a", 0, study))
    rates = np.zeros(len(run.step_seconds))
    rates[others] = rate
    return replace(run, contention_rates=rates)


@pytest.mark.parametrize("competitor", COMPETITORS, ids=lambda competitor: competitor.name)
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_flag_discriminates(machine: simulation.Machine, competitor: simulation.Competitor) -> None:
    """Of idle runs at most 5 % are flagged, of those that lost a tenth of the median step at least 95 %."""
    found = simulation.simulate(machine, competitor, num_studies=40)
    assert found.idle <= 0.05
    assert found.disturbed >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("steps", [27, 120])
@pytest.mark.parametrize("competitor", COMPETITORS, ids=lambda competitor: competitor.name)
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_stated_error_rates_hold(
    machine: simulation.Machine, competitor: simulation.Competitor, steps: int
) -> None:
    """Over many studies, with short and long runs; and the interval holds the true change in most of them."""
    found = simulation.simulate(machine, competitor, steps=steps, num_studies=1000)
    assert found.idle <= 0.05
    assert found.disturbed >= 0.945  # 95 %, less two standard errors of the simulation
    assert found.covered >= 0.85


def test_a_run_is_held_against_the_other_runs_alone() -> None:
    """By Student's prediction interval of the logarithms, with the spread of all runs but this one."""
    study = Study(slowed=[("a", 2)])
    runs = [_reduce(*synthetic_run(name, seed, study, ["a", "b"])) for name in "ab" for seed in range(4)]
    logs = {(run.record.spec.architecture, run.seed): np.log(run.median_step_seconds or np.nan) for run in runs}
    for run, found in zip(runs, disturbances(runs), strict=True):
        own = run.record.spec.architecture, run.seed
        left = {name: [value for key, value in logs.items() if key[0] == name and key != own] for name in "ab"}
        freedom = sum(len(values) - 1 for values in left.values())
        spread = np.sqrt(sum(np.var(values) * len(values) for values in left.values()) / freedom)
        change, others = logs[own] - np.mean(left[own[0]]), len(left[own[0]])
        half = stats.t.ppf(0.975, freedom) * spread * np.sqrt(1 + 1 / others)
        assert found.unexplained_change is not None
        assert others == found.unexplained_change.n
        expected = np.expm1([change, change - half, change + half]).tolist()
        estimate = found.unexplained_change
        assert expected == pytest.approx([estimate.mean, estimate.low, estimate.high])


def test_the_change_is_the_time_taken_out_of_every_step() -> None:
    """With a constant rate r, the median step was 1 / (1 - k r) times as long."""
    (found,) = disturbances([run_of(0.1)])
    assert found.step_change is not None
    expected = [1 / (1 - lost * 0.1) - 1 for lost in LOST_SECONDS]
    assert expected == pytest.approx([found.step_change.low, found.step_change.mean, found.step_change.high])
    assert ["others"] == found.step_reasons


def test_a_short_burst_changes_no_median() -> None:
    """However much was taken in a few steps; under a budget in seconds the run is flagged for the steps it lost."""
    for study, reasons in ((STUDY, []), (IN_SECONDS, ["others"])):
        (found,) = disturbances([run_of(1.0, study, others=slice(40, 50))])
        assert found.step_change is not None
        assert found.step_change.high < FLAGGED_CHANGE
        assert [] == found.step_reasons
        assert reasons == found.reasons


def test_processors_that_the_run_does_not_want_may_be_taken() -> None:
    """With one thread on two processors, another process has a processor to itself; a GPU run wants one."""
    for execution in (Execution(device="cpu", threads=1, workers=1), Execution(device="cuda", threads=2, workers=1)):
        (found,) = disturbances([run_of(0.9, Study(execution=execution))])
        assert found.step_change is not None
        assert 0 == found.step_change.mean
        (found,) = disturbances([run_of(1.2, Study(execution=execution))])
        assert found.step_change is not None
        assert found.step_change.low > FLAGGED_CHANGE
