"""The effect of other work on the machine on a run, and whether it is enough to flag the run as disturbed.

There are two estimates, each with an interval. The first follows from the CPU times that the operating system reports:
other processes and the hypervisor took CPU seconds, and every thread of a step waits for the slowest one. The second is
what those times do not explain, such as a machine that became slower: the median step of the run over those of the
other runs of the architecture, with the noise between runs. A run is disturbed where an interval is above
`FLAGGED_CHANGE`. docs/statistics.md gives the error rates.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from intelbench.results.runs import CLOCK_SECONDS, RunSummary
from intelbench.results.timing import REFERENCE_KERNELS
from intelbench.statistics.estimates import CONFIDENCE, Estimate

FLAGGED_CHANGE = 0.05
"""Change of the median step, or of the steps within a budget in seconds, above which a run is disturbed."""
OTHERS_SHARE = 0.05
"""Share of CPU time above which other processes, or the hypervisor, can be a cause of slower steps."""
COMPUTE_SLOWDOWN = 1.2
"""The convolution or matrix product can be a cause where it took more than this multiple of its quickest time."""
EXCHANGE_SLOWDOWN = 2.0
"""The exchange between threads can be a cause where it took more than this multiple of its quickest time."""
LOST_SECONDS = (0.6, 0.9, 1.2)
"""Seconds that a step loses for each CPU second that is taken from it: minimum, expected and maximum. It was 0.63 to
1.23 in the six runs of results/reference in which others took more than a second beyond what an idle system takes."""
_MAX_LOST = 0.95
"""Largest share of a step that can have been lost."""
_CAUSE_SHARE = 0.25
"""Share of the CPU seconds taken, from which on other processes, or the hypervisor, are named as the cause."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Disturbance:
    """Other work during one run, and its effect; unknown values are `None`."""

    run: RunSummary
    others_share: float | None
    """Share of CPU time that other processes took."""
    stolen_share: float | None
    """Share of CPU time that the hypervisor took."""
    involuntary_switches_per_second: float | None
    """Involuntary context switches of the run's process."""
    load_before: float | None
    compute_slowdown: float | None
    """Slowest moment of convolution or matrix product over the cohort's quickest."""
    exchange_slowdown: float | None
    """Slowest moment of the exchange between threads over the cohort's quickest."""
    clock_seconds: float
    """Seconds for which the machine slept, or by which its clock was set."""
    step_change: Estimate | None
    """Share by which other processes and the hypervisor made the median step longer."""
    unexplained_change: Estimate | None
    """Share by which the median step, without `step_change`, was longer than in the architecture's other runs."""
    budget_change: Estimate | None
    """Share of steps that the run would have made in addition without other work; for budgets in seconds alone."""

    @property
    def step_reasons(self) -> list[str]:
        """Return the causes of a median step that is longer by more than `FLAGGED_CHANGE`, beyond the noise."""
        known = self._cpu_users if exceeds(self.step_change) else []
        possible = self._possible_causes if exceeds(self.unexplained_change) else []
        return list(dict.fromkeys([*known, *possible]))

    @property
    def reasons(self) -> list[str]:
        """Return the reasons to flag the run: `others`, `stolen`, `compute`, `exchange`, `clock`."""
        of_budget = self._cpu_users if exceeds(self.budget_change) else []
        reasons = {*of_budget, *self.step_reasons, *(["clock"] if self.clock_seconds > CLOCK_SECONDS else [])}
        return [name for name in ("others", "stolen", "compute", "exchange", "clock") if name in reasons]

    @property
    def steps_lost(self) -> Estimate | None:
        """Return the steps that the run would have made in addition within its budget in seconds."""
        change, num_steps = self.budget_change, self.run.measurements.num_steps
        if change is None or change.low is None or change.high is None:
            return None
        return Estimate(num_steps * change.mean, num_steps * change.low, num_steps * change.high, change.n)

    @property
    def _cpu_users(self) -> list[str]:
        taken = {"others": self.others_share or 0.0, "stolen": self.stolen_share or 0.0}
        return [name for name, share in taken.items() if share >= _CAUSE_SHARE * sum(taken.values())]

    @property
    def _possible_causes(self) -> list[str]:
        """Return the possible causes of longer steps that `step_change` does not cover."""
        bounds = {
            "others": (self.others_share if self.step_change is None else None, OTHERS_SHARE),
            "stolen": (self.stolen_share if self.step_change is None else None, OTHERS_SHARE),
            "compute": (self.compute_slowdown, COMPUTE_SLOWDOWN),
            "exchange": (self.exchange_slowdown, EXCHANGE_SLOWDOWN),
        }
        return [name for name, (value, bound) in bounds.items() if value is not None and value > bound]


def disturbances(runs: Sequence[RunSummary]) -> list[Disturbance]:
    """Return the effect of other work on each run of a cohort."""
    quickest = {
        name: min((run.reference_kernels.quickest[name] for run in runs), default=np.nan) for name in REFERENCE_KERNELS
    }
    steps = [_step_change(run) for run in runs]
    unexplained = _unexplained_changes(runs, steps)
    return [_disturbance(run, quickest, *changes) for run, *changes in zip(runs, steps, unexplained, strict=True)]


def _disturbance(
    run: RunSummary, quickest: Mapping[str, float], step: Estimate | None, unexplained: Estimate | None
) -> Disturbance:
    contention = run.measurements.contention
    all_cpu_seconds = run.record.environment.num_cpus * contention.seconds
    switches = contention.involuntary_switches / contention.seconds if contention.seconds else None

    def share(cpu_seconds: float | None) -> float | None:
        return cpu_seconds / all_cpu_seconds if cpu_seconds is not None and all_cpu_seconds else None

    def slowdown(*names: str) -> float | None:
        return max(run.reference_kernels.slowest[name] / quickest[name] for name in names)

    return Disturbance(
        run=run,
        others_share=share(contention.others_cpu_seconds),
        stolen_share=share(contention.stolen_cpu_seconds),
        involuntary_switches_per_second=switches,
        load_before=contention.load_before,
        compute_slowdown=slowdown("convolution", "matmul"),
        exchange_slowdown=slowdown("exchange"),
        clock_seconds=run.clock_seconds,
        step_change=step,
        unexplained_change=unexplained,
        budget_change=_budget_change(run),
    )


def _step_change(run: RunSummary) -> Estimate | None:
    """Return the median step over the median of the steps without the time that others took, minus 1."""
    rates = run.contention_rates
    if rates is None or not run.warm.any():
        return None
    return change_of_median(run.warm_step_seconds, _taken(run, rates)[run.warm])


def _budget_change(run: RunSummary) -> Estimate | None:
    """Return the seconds of all steps over their seconds without the time that others took, minus 1.

    A record without readings by step has the mean over the run for every step.
    """
    contention = run.measurements.contention
    if run.record.spec.conditions.budget.unit != "seconds" or not len(run.total_seconds):
        return None
    rates = run.contention_rates
    if rates is None:
        if contention.others_cpu_seconds is None or not contention.seconds:
            return None
        taken = contention.others_cpu_seconds + (contention.stolen_cpu_seconds or 0.0)
        rates = np.full_like(run.total_seconds, taken / contention.seconds)
    return _change(run.total_seconds, _taken(run, rates), partial(np.sum, axis=-1))


def _taken(run: RunSummary, rates: Floats) -> Floats:
    """Return the CPU seconds taken from the run per second of each step: those beyond what idle CPUs could give."""
    execution, num_cpus = run.record.spec.execution, run.record.environment.num_cpus
    wanted = execution.gpus * (execution.threads if execution.device == "cpu" else 1)
    taken: Floats = np.maximum(rates - max(num_cpus - wanted, 0), 0.0)
    return taken


def change_of_median(seconds: Floats, taken: Floats) -> Estimate:
    """Return the share by which the median of S steps is longer because others took CPU time.

    `taken` is the CPU seconds that they took per second of each step, beyond what idle CPUs could give.
    """
    return _change(seconds, taken, partial(np.median, axis=-1))


def _change(seconds: Floats, taken: Floats, statistic: Callable[[Floats], Any]) -> Estimate:
    """Return a statistic of S steps over what it would be without the time taken, minus 1.

    A step of s seconds would take s (1 - k r), where r CPU seconds were taken per second. The interval is the range of
    k in `LOST_SECONDS`. Both statistics are of the same steps, so the noise between steps and between runs is in both.
    """
    if not taken.any() or not (measured := statistic(seconds)) > 0:
        return Estimate(0.0, 0.0, 0.0, 1)
    undisturbed = seconds * (1 - np.minimum(np.multiply.outer(LOST_SECONDS, taken), _MAX_LOST))
    low, expected, high = (measured / statistic(undisturbed) - 1).tolist()
    return Estimate(expected, low, high, 1)


def _unexplained_changes(runs: Sequence[RunSummary], steps: Sequence[Estimate | None]) -> list[Estimate | None]:
    """Return the median step of each run over the geometric mean of the architecture's other runs, minus 1.

    All medians are without the time that others took, and a run that `step_change` flags is not among the other runs.
    The interval is Student's for a new observation, d ± t(0.975, v) s sqrt(1 + 1/m), of the logarithm, with m other
    runs and s the standard deviation between runs of one architecture, pooled over all architectures (v degrees of
    freedom). The run is left out of s, so that it does not hide itself.
    """
    logs = np.array([_log_median(run, step) for run, step in zip(runs, steps, strict=True)])
    names = [(run.record.spec.architecture, run.record.spec.provider) for run in runs]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    own = np.array([numbers[name] for name in names], dtype=np.int64)
    usable = np.isfinite(logs) & ~np.array([exceeds(step) for step in steps], dtype=np.bool_)
    sizes = np.bincount(own, usable, len(numbers))
    means = np.bincount(own, np.where(usable, logs, 0.0), len(numbers)) / np.maximum(sizes, 1)
    distances = logs - means[own]
    squares = np.bincount(own, np.where(usable, distances**2, 0.0), len(numbers))
    others = sizes[own] - usable
    # Of the others alone: the distance from their mean is larger, and the sum of squares is less.
    beyond = np.where(usable, sizes[own] / np.maximum(others, 1), 1.0)
    spread = np.maximum(squares.sum() - np.where(usable, distances**2 * beyond, 0.0), 0.0)
    freedom = np.maximum(sizes - 1, 0).sum() - np.maximum(sizes[own] - 1, 0) + others - 1
    known = np.isfinite(logs) & (others > 0) & (freedom >= 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # of a run without others
        half = stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(spread / freedom * (1 + 1 / others))
        changes = np.expm1(distances * beyond + np.multiply.outer([0, -1, 1], half)).tolist()
    return [
        Estimate(mean, low, high, int(num_others)) if is_known else None
        for mean, low, high, num_others, is_known in zip(*changes, others, known, strict=True)
    ]


def _log_median(run: RunSummary, step: Estimate | None) -> float:
    """Return the logarithm of the run's median step without the time that others took; NaN without such a step."""
    median = run.median_step_seconds
    return float(np.log(median) - np.log1p(step.mean if step else 0.0)) if median else np.nan


def exceeds(change: Estimate | None) -> bool:
    """Return whether the complete interval of a change is above `FLAGGED_CHANGE`."""
    return change is not None and change.low is not None and change.low > FLAGGED_CHANGE
