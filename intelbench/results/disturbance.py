"""What other work on the machine did to a run, and whether it is enough to flag the run as disturbed.

Two estimates, each with an interval. The first follows from the accounts of the operating system: other processes and
the hypervisor took processor seconds, and every thread of a step waits for the slowest one. The second is what those
accounts do not explain, as where the machine itself became slower: the median step of the run over those of the other
runs of the architecture, with the noise between runs. A run is disturbed where an interval is above `FLAGGED_CHANGE`.
docs/STATISTICS.md gives the error rates.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from intelbench.results.runs import CLOCK_SECONDS, RunSummary
from intelbench.results.timing import REFERENCE_KERNELS, ContentionRates
from intelbench.statistics.estimates import CONFIDENCE, Estimate, quantile

FLAGGED_CHANGE = 0.05
"""Change of the median step, or of the steps within a budget in seconds, above which a run is disturbed."""
OTHERS_SHARE = 0.05
"""Share of the processors' time above which other processes, or the hypervisor, can be a cause of slower steps."""
COMPUTE_SLOWDOWN = 1.2
"""The convolution or matrix product can be a cause where it took more than this multiple of its quickest time."""
EXCHANGE_SLOWDOWN = 2.0
"""The exchange between threads can be a cause where it took more than this multiple of its quickest time."""
LOST_SECONDS = (0.6, 0.9, 1.2)
"""Seconds that a step loses for each processor second that is taken from it: least, expected and most. It was 0.63 to
1.23 in the six runs of results/reference in which others took more than a second beyond what an idle system takes."""
_MOST_LOST = 0.95
"""Share of a step that can have been lost."""
_CAUSE_SHARE = 0.25
"""Share of the processor seconds taken from which other processes, or the hypervisor, are named as the cause."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Disturbance:
    """What else went on during one run, and what it changed; what is not known is `None`."""

    run: RunSummary
    others_share: float | None
    """Share of the processors' time that other processes took."""
    stolen_share: float | None
    """Share of the processors' time that the hypervisor took."""
    switches_per_second: float | None
    """Involuntary context switches of the run's process."""
    load_before: float | None
    compute_slowdown: float | None
    """Slowest moment of convolution or matrix product over the cohort's quickest."""
    exchange_slowdown: float | None
    """Slowest moment of the exchange between threads over the cohort's quickest."""
    clock_seconds: float
    """How long the machine slept, or how far its clock was set."""
    step_change: Estimate | None
    """Share by which other processes and the hypervisor made the median step longer."""
    unexplained_change: Estimate | None
    """Share by which the median step, without `step_change`, was longer than in the architecture's other runs."""
    budget_change: Estimate | None
    """Share of steps that the run would have made in addition, had nobody taken time; for budgets in seconds alone."""

    @property
    def step_reasons(self) -> list[str]:
        """What made the median step longer by more than `FLAGGED_CHANGE`, beyond the noise."""
        taken = self._takers if exceeds(self.step_change) else []
        found = self._possible_causes if exceeds(self.unexplained_change) else []
        return [*taken, *(name for name in found if name not in taken)]

    @property
    def reasons(self) -> list[str]:
        """Why the run is flagged: `others`, `stolen`, `compute`, `exchange`, `clock`; empty where it is not."""
        taken = self._takers if exceeds(self.budget_change) else []
        found = {*taken, *self.step_reasons, *(["clock"] if self.clock_seconds > CLOCK_SECONDS else [])}
        return [name for name in ("others", "stolen", "compute", "exchange", "clock") if name in found]

    @property
    def steps_lost(self) -> Estimate | None:
        """Steps that the run would have made in addition within its budget in seconds."""
        change, num_steps = self.budget_change, self.run.measurements.num_steps
        if change is None or change.low is None or change.high is None:
            return None
        return Estimate(num_steps * change.mean, num_steps * change.low, num_steps * change.high, change.n)

    @property
    def _takers(self) -> list[str]:
        taken = {"others": self.others_share or 0.0, "stolen": self.stolen_share or 0.0}
        return [name for name, share in taken.items() if share >= _CAUSE_SHARE * sum(taken.values())]

    @property
    def _possible_causes(self) -> list[str]:
        """What can have made steps longer in a way that `step_change` does not cover."""
        bounds = {
            "others": (self.others_share if self.step_change is None else None, OTHERS_SHARE),
            "stolen": (self.stolen_share if self.step_change is None else None, OTHERS_SHARE),
            "compute": (self.compute_slowdown, COMPUTE_SLOWDOWN),
            "exchange": (self.exchange_slowdown, EXCHANGE_SLOWDOWN),
        }
        return [name for name, (value, bound) in bounds.items() if value is not None and value > bound]


def disturbances(runs: Sequence[RunSummary]) -> list[Disturbance]:
    """Return one for each run of a cohort."""
    quickest = {
        name: min((run.reference_kernels.quickest(name) for run in runs), default=np.nan) for name in REFERENCE_KERNELS
    }
    steps = [_step_change(run) for run in runs]
    unexplained = _unexplained_changes(runs, steps)
    return [_disturbance(run, quickest, *changes) for run, *changes in zip(runs, steps, unexplained, strict=True)]


def _disturbance(
    run: RunSummary, quickest: Mapping[str, float], step: Estimate | None, unexplained: Estimate | None
) -> Disturbance:
    seen = run.measurements.contention
    processors = run.record.environment.num_cpus * seen.seconds

    def share(cpu_seconds: float | None) -> float | None:
        return cpu_seconds / processors if cpu_seconds is not None and processors else None

    def slowdown(*names: str) -> float | None:
        return max(run.reference_kernels.slowest(name) / quickest[name] for name in names)

    return Disturbance(
        run=run,
        others_share=share(seen.others_cpu_seconds),
        stolen_share=share(seen.stolen_cpu_seconds),
        switches_per_second=seen.involuntary_switches / seen.seconds if seen.seconds else None,
        load_before=seen.load_before,
        compute_slowdown=slowdown("convolution", "matmul"),
        exchange_slowdown=slowdown("exchange"),
        clock_seconds=run.clock_seconds,
        step_change=step,
        unexplained_change=unexplained,
        budget_change=_budget_change(run),
    )


def _step_change(run: RunSummary) -> Estimate | None:
    """Median step over the median of the steps without the time that others took, minus 1."""
    rates = run.contention_rates
    if rates is None or not run.warm.any():
        return None
    return change_of_median(run.warm_step_seconds, _taken(run, rates)[run.warm])


def _budget_change(run: RunSummary) -> Estimate | None:
    """Seconds of all steps over their seconds without the time that others took, minus 1.

    A record without readings by step has the mean over the run: others took it somewhere.
    """
    seen = run.measurements.contention
    if run.record.spec.conditions.budget.unit != "seconds" or not len(run.total_seconds) or seen is None:
        return None
    rates = run.contention_rates
    if rates is None:
        if seen.others_cpu_seconds is None or not seen.seconds:
            return None
        constant = np.ones_like(run.total_seconds) / seen.seconds
        rates = ContentionRates(seen.others_cpu_seconds * constant, (seen.stolen_cpu_seconds or 0.0) * constant)
    return _change(run.total_seconds, _taken(run, rates), lambda values: float(values.sum()))


def _taken(run: RunSummary, rates: ContentionRates) -> Floats:
    """Processor seconds taken from the run per second of each step: those beyond what idle processors could give."""
    execution, num_cpus = run.record.spec.execution, run.record.environment.num_cpus
    wanted = execution.threads if execution.device == "cpu" else 1
    taken: Floats = np.maximum(rates.others + rates.stolen - max(num_cpus - wanted, 0), 0.0)
    return taken


def change_of_median(seconds: Floats, taken: Floats) -> Estimate:
    """Return the share by which the median of S steps is longer because others took processor time.

    `taken` is the processor seconds that they took per second of each step, beyond what idle processors could give.
    """
    return _change(seconds, taken, lambda values: quantile(values, 0.5) or 0.0)


def _change(seconds: Floats, taken: Floats, statistic: Callable[[Floats], float]) -> Estimate:
    """Return a statistic of S steps over what it would be without the time taken, minus 1.

    A step of s seconds would take s (1 - k r), where r processor seconds were taken per second. The interval is the
    range of k in `LOST_SECONDS`. Both statistics are of the same steps, so the noise between steps and between runs is
    in both.
    """

    def change(lost: float) -> float:
        return statistic(seconds) / statistic(seconds * (1 - np.minimum(lost * taken, _MOST_LOST))) - 1

    if not taken.any() or statistic(seconds) <= 0:
        return Estimate(0.0, 0.0, 0.0, 1)
    low, expected, high = (change(lost) for lost in LOST_SECONDS)
    return Estimate(expected, low, high, 1)


def _unexplained_changes(runs: Sequence[RunSummary], steps: Sequence[Estimate | None]) -> list[Estimate | None]:
    """Of each run: its median step over the geometric mean of those of the architecture's other runs, minus 1.

    All medians are without what others took, and a run that `step_change` flags is no measure for another one. The
    interval is Student's for a new observation, d ± t(0.975, v) s sqrt(1 + 1/m), of the logarithm, with m other runs
    and s the standard deviation between runs of one architecture, pooled over all architectures (v degrees of
    freedom). The run is left out of s, so that it does not hide itself.
    """
    logs = np.array([_log_median(run, step) for run, step in zip(runs, steps, strict=True)])
    spec = [(run.record.spec.architecture, run.record.spec.provider) for run in runs]
    groups = {each: np.array([other == each for other in spec]) for each in dict.fromkeys(spec)}
    counts = np.isfinite(logs) & ~np.array([exceeds(step) for step in steps], dtype=np.bool_)
    sizes = {each: int((of & counts).sum()) for each, of in groups.items()}
    squares = {each: _squares(logs[of & counts]) for each, of in groups.items()}
    freedom, spread = sum(max(size - 1, 0) for size in sizes.values()), sum(squares.values())
    found: list[Estimate | None] = []
    for place, (value, name) in enumerate(zip(logs, spec, strict=True)):
        kept = groups[name] & counts
        kept[place] = False
        others = logs[kept]
        left = freedom - max(sizes[name] - 1, 0) + len(others) - 1
        if not np.isfinite(value) or not len(others) or left < 1:
            found.append(None)
            continue
        deviation = np.sqrt(max(spread - squares[name] + _squares(others), 0.0) / left)
        half = stdtrit(left, (1 + CONFIDENCE) / 2) * deviation * np.sqrt(1 + 1 / len(others))
        change = value - others.mean()
        mean, low, high = np.expm1([change, change - half, change + half]).tolist()
        found.append(Estimate(mean, low, high, len(others)))
    return found


def _squares(values: Floats) -> float:
    """Sum of squared distances from the mean."""
    return float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0


def _log_median(run: RunSummary, step: Estimate | None) -> float:
    """Logarithm of the run's median step without what others took; not a number where no step tells a speed."""
    median = run.median_step_seconds
    return float(np.log(median) - np.log1p(step.mean if step else 0.0)) if median else np.nan


def exceeds(change: Estimate | None) -> bool:
    """Whether a change is above `FLAGGED_CHANGE` beyond the noise: its complete interval is."""
    return change is not None and change.low is not None and change.low > FLAGGED_CHANGE
