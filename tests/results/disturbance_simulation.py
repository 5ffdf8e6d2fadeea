"""How often a run is flagged as disturbed: simulated runs, modelled on those of results/reference.

A study is five architectures with three seeds each. The logarithm of a step's seconds is that of its architecture, plus
a shift of the run, plus autocorrelated noise, plus episodes in which the machine is slower; others take the processor
time that an idle system takes, counted in hundredths of a second. On top of that, a competing process may make the
steps of one run longer, and the accounts show what it took. `python -m tests.results.disturbance_simulation` prints
the table of docs/statistics.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from intelbench.records.store import Traces
from intelbench.results.disturbance import Disturbance, disturbances
from intelbench.results.runs import RunSummary, _reduce
from intelbench.results.timing import read_contention, read_reference_kernels
from tests.synthetic import Study, synthetic_run

NUM_STUDIES = 200
ARCHITECTURES = {"inception_v3": 0.15, "resnet101": 0.42, "resnet101_leaky": 0.42, "resnet152": 0.57, "wide": 1.1}
"""Seconds of a step."""
SEEDS = (0, 1, 2)
SECONDS_LOST = (0.63, 0.89, 0.91, 0.98)
"""By a step, for each processor second that others took: in six runs of a reference study of 2026-11-24."""
NUM_CPUS = 2
COST = 1.1
"""What a competing process multiplies the median step by."""


@dataclass(frozen=True)
class Machine:
    """What an idle machine is like; standard deviations of the logarithm of seconds."""

    name: str
    between_runs: float
    within_run: float
    autocorrelation: float
    """Between one step and the next."""
    episode_share: float
    """Of the steps, in episodes of about thirty."""
    slow_reference: float
    """Chance that a reference kernel is slow at a moment: above its bound, on a machine that does nothing else."""
    idle_share: float = 0.006
    """Of the processors' time, taken by the operating system and its services."""


QUIET = Machine("quiet", 0.01, 0.02, 0.5, 0.0, 0.02)
VIRTUAL = Machine("virtual", 0.06, 0.08, 0.7, 0.15, 0.3)
"""As in that study, where medians of the runs of one architecture differ by 5 to 13 %."""


@dataclass(frozen=True)
class Competitor:
    """A process that competes with one run."""

    name: str
    share: float
    """Share of the steps that it hits, in one stretch; the median step becomes 1.1 times as long."""


ALL_ALONG = Competitor("all along", 1.0)
PART = Competitor("part of the run", 0.7)


@dataclass(frozen=True)
class Rates:
    """Shares of runs that were flagged."""

    idle: float
    disturbed: float
    covered: float
    """Disturbed runs whose interval of `step_change` holds the true change: 10 %, and what an idle system costs."""


def simulate(machine: Machine, competitor: Competitor, *, steps: int = 27, num_studies: int = NUM_STUDIES) -> Rates:
    """Return how often idle runs were flagged, and the disturbed run of each study, whose place is drawn."""
    random = np.random.default_rng([len(competitor.name), steps, int(1000 * machine.between_runs)])
    idle = flagged = covered = 0
    for study in range(num_studies):
        victim = study % (len(ARCHITECTURES) * len(SEEDS))
        lost = float(random.choice(SECONDS_LOST))
        runs = [
            _run(run, machine, steps, competitor if place == victim else None, lost, random)
            for place, run in enumerate(product(ARCHITECTURES, SEEDS))
        ]
        found = disturbances(runs)
        flagged += bool(found[victim].reasons)
        covered += _covers(found[victim], COST / (1 - lost * NUM_CPUS * machine.idle_share) - 1)
        idle += sum(bool(each.reasons) for place, each in enumerate(found) if place != victim)
    num_idle = num_studies * (len(ARCHITECTURES) * len(SEEDS) - 1)
    return Rates(idle / num_idle, flagged / num_studies, covered / num_studies)


def _covers(found: Disturbance, true_change: float) -> bool:
    change = found.step_change
    return change is not None and change.low <= true_change <= change.high


@cache
def _template(name: str, seed: int, steps: int) -> RunSummary:
    study = Study(num_steps=steps, num_train=6, num_validation=6, num_test=6)
    return _reduce(*synthetic_run(name, seed, study, (name,)))


def _run(
    run: tuple[str, int],
    machine: Machine,
    steps: int,
    competitor: Competitor | None,
    lost_per_cpu_second: float,
    random: np.random.Generator,
) -> RunSummary:
    """Return a run of an architecture and a seed, with a number of steps after the three of the warm-up."""
    name, seed = run
    template = _template(name, seed, steps + 3)
    noise = machine.between_runs * random.standard_normal() + _noise(machine, random, steps + 3)
    idle = ARCHITECTURES[name] * np.exp(noise)
    lost = np.zeros(len(idle)) if competitor is None else _lost_seconds(idle, competitor, random)
    step_seconds = idle + lost
    taken = lost / lost_per_cpu_second
    traces = _readings(step_seconds, taken + machine.idle_share * NUM_CPUS * step_seconds)
    cpu_seconds = float(traces["contention_others_cpu_seconds"].sum())
    measured = template.measurements
    assert measured.contention is not None
    contention = msgspec.structs.replace(
        measured.contention, seconds=float(step_seconds.sum()), others_cpu_seconds=cpu_seconds, stolen_cpu_seconds=0.0
    )
    record = msgspec.structs.replace(
        template.record, measurements=msgspec.structs.replace(measured, contention=contention)
    )
    return replace(
        template,
        record=record,
        step_seconds=step_seconds,
        total_seconds=step_seconds * 1.01,
        reference_kernels=read_reference_kernels(_reference_kernels(machine, random)),
        contention_rates=read_contention(traces, len(idle)),
    )


def _noise(machine: Machine, random: np.random.Generator, steps: int) -> NDArray[np.float64]:
    """Autocorrelated noise of the first order, and episodes in which a step takes 1.35 times as long."""
    shocks = machine.within_run * random.standard_normal(steps)
    shocks[1:] *= np.sqrt(1 - machine.autocorrelation**2)
    noise = lfilter([1.0], [1.0, -machine.autocorrelation], shocks)
    start = 0
    while machine.episode_share and start < steps:
        start += int(random.exponential(30 * (1 - machine.episode_share) / machine.episode_share)) + 1
        length = int(random.exponential(30)) + 1
        noise[start : start + length] += np.log(1.35)
        start += length
    return noise


def _lost_seconds(
    idle: NDArray[np.float64], competitor: Competitor, random: np.random.Generator
) -> NDArray[np.float64]:
    """Seconds that each step loses, so that the median after warm-up becomes `COST` times as long."""
    hit = np.zeros(len(idle))
    length = round(competitor.share * (len(idle) - 3))
    start = 3 + random.integers(len(idle) - 3 - length + 1)
    hit[start : start + length] = random.gamma(4, 0.25, length)  # a standard deviation of a half
    low, high, median = 0.0, 5.0, np.median(idle[3:])
    for _ in range(40):
        cost = (low + high) / 2
        longer = np.median((idle * (1 + cost * hit))[3:]) < COST * median
        low, high = (cost, high) if longer else (low, cost)
    return idle * low * hit


def _readings(step_seconds: NDArray[np.float64], taken: NDArray[np.float64]) -> Traces:
    """Return the accounts, which are read twice a second and count in hundredths."""
    now, took = np.cumsum(step_seconds), np.floor(100 * np.cumsum(taken)) / 100
    steps, last = [], 0.0
    for step, time in enumerate(now, start=1):
        if time - last >= 0.5 or step == len(now):
            steps.append(step)
            last = time
    places = np.array(steps) - 1
    return {
        "contention_step": np.array(steps),
        "contention_seconds": np.diff(now[places], prepend=0.0),
        "contention_others_cpu_seconds": np.diff(took[places], prepend=0.0),
    }


def _reference_kernels(machine: Machine, random: np.random.Generator) -> Traces:
    """Return their times at four moments, of which some are above the bounds that make them a possible cause."""
    slow = 1 + 1.5 * (random.random((3, 4, 1)) < machine.slow_reference) + 0.01 * random.random((3, 4, 5))
    return {
        "reference_kernel_step": np.arange(4),
        "reference_kernel_convolution_seconds": 0.008 * slow[0],
        "reference_kernel_matmul_seconds": 0.005 * slow[1],
        "reference_kernel_exchange_seconds": 0.0005 * slow[2],
    }


def main(write: Callable[[str], object] = print) -> None:
    """Print the table."""
    flagged = "Idle runs flagged | Disturbed runs flagged"
    write(f"| Machine | Competing process | Steps | {flagged} | Interval holds the true change |")
    write("|:--|:--|--:|--:|--:|--:|")
    for machine in (QUIET, VIRTUAL):
        for competitor in (ALL_ALONG, PART):
            for steps in (27, 120):
                found = simulate(machine, competitor, steps=steps, num_studies=1000)
                shares = [f"{100 * share:.1f} %" for share in (found.idle, found.disturbed, found.covered)]
                write(f"| {machine.name} | {competitor.name} | {steps} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
