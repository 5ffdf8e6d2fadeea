"""Readings of clocks and reference kernels: the parts of a step, and the peak speed of the machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from intelbench.records.profiles import ReferenceKernelWork
from intelbench.records.store import Traces
from intelbench.results import arrays
from intelbench.statistics.estimates import finite
from intelbench.statistics.resampling import medians

BUDGET_PARTS = ("data_wait", "transfer", "forward", "backward", "optimizer")
"""Parts of a step that a budget in seconds pays for."""
OTHER_PARTS = ("norm", "other")
"""Parts that a budget in seconds does not pay for: the gradient norm, and the bookkeeping."""
PARTS = (*BUDGET_PARTS, *OTHER_PARTS)
REFERENCE_KERNELS = ("convolution", "matmul", "exchange")
"""Work that is timed on a CPU; on a GPU a copy within its memory takes the place of the exchange between threads."""
DATA_BOUND = 0.2
"""Share of data wait and transfer above which a step is bound by data."""
OVERHEAD_BOUND = 0.9
"""On a GPU: share of its time that the host takes to launch the work, from which on the GPU waits for the host."""
OVERHEAD_BOUND_CPU = 0.2
"""On a CPU: share of the parts outside the budget above which a step is bound by overhead."""


@dataclass(frozen=True)
class StepBreakdown:
    """Steps of one or several runs whose parts were timed."""

    seconds: NDArray[np.float64]
    """Seconds of S steps by part, in the order of `PARTS` (7 x S)."""
    host_seconds: NDArray[np.float64] | None
    """On a GPU: seconds that the host took to launch each part (7 x S)."""
    are_of_run: bool = True
    """Whether they are steps of the run itself, and not further steps after it."""

    @classmethod
    def pooled(cls, breakdowns: Sequence["StepBreakdown"]) -> "StepBreakdown | None":
        """Return the steps of all breakdowns together; `None` without any."""
        if not breakdowns:
            return None
        host = [steps.host_seconds for steps in breakdowns if steps.host_seconds is not None]
        seconds = np.concatenate([steps.seconds for steps in breakdowns], axis=1)
        are_of_run = all(steps.are_of_run for steps in breakdowns)
        return cls(seconds, np.concatenate(host, axis=1) if host else None, are_of_run)

    @property
    def num_steps(self) -> int:
        """Return the number of steps."""
        return len(self.seconds[0])

    @property
    def budget_seconds(self) -> NDArray[np.float64]:
        """Return the seconds that each step costs a budget: the step with its data wait."""
        return self.total(BUDGET_PARTS)

    def total(self, parts: Sequence[str]) -> NDArray[np.float64]:
        """Return the seconds of some parts together, by step."""
        total: NDArray[np.float64] = self.seconds[[PARTS.index(part) for part in parts]].sum(axis=0)
        return total

    def share(self, *parts: str) -> float | None:
        """Return the share of all time that some parts took."""
        everything = self.total(PARTS).sum()
        return finite(self.total(parts).sum() / everything) if everything > 0 else None

    @property
    def verdict(self) -> str | None:
        """Return the bottleneck of a step: `data`, `overhead` or `compute`."""
        data, outside = self.share("data_wait", "transfer"), self.share(*OTHER_PARTS)
        if data is None or outside is None:
            return None
        if data > DATA_BOUND:
            return "data"
        if self.host_seconds is None:
            return "overhead" if outside > OVERHEAD_BOUND_CPU else "compute"
        work = ("forward", "backward", "optimizer")
        launching = replace(self, seconds=self.host_seconds).total(work).sum()
        return "overhead" if launching >= OVERHEAD_BOUND * self.total(work).sum() else "compute"


@dataclass(frozen=True)
class ReferenceKernelTimes:
    """Seconds that the same work took, by its name in `REFERENCE_KERNELS`, or `copy`."""

    shortest: Mapping[str, float]
    """Minimum of all repetitions."""
    quickest: Mapping[str, float]
    """Median of the repetitions at the quickest moment; NaN of a kernel that was not timed."""
    slowest: Mapping[str, float]
    """Median of the repetitions at the slowest moment; NaN of a kernel that was not timed."""

    @classmethod
    def of(cls, seconds: Mapping[str, NDArray[np.float64]]) -> "ReferenceKernelTimes":
        """Return the times of R repetitions at each moment (K x R)."""
        shortest = {name: float(of_kernel.min()) for name, of_kernel in seconds.items()}
        by_moment = {name: medians(of_kernel.copy()).tolist() for name, of_kernel in seconds.items()}
        known = [(name, by_moment.get(name, [np.nan])) for name in REFERENCE_KERNELS]
        return cls(shortest, {name: min(each) for name, each in known}, {name: max(each) for name, each in known})

    def peak_flops_per_second(self, work: ReferenceKernelWork) -> float | None:
        """Return the FLOP/s of the quickest convolution or matrix product."""
        shortest = self.shortest
        return finite(max(work.convolution_flops / shortest["convolution"], work.matmul_flops / shortest["matmul"]))

    def peak_bytes_per_second(self, work: ReferenceKernelWork) -> float | None:
        """Return the bytes per second, read and written, of the quickest copy in GPU memory; `None` without a copy."""
        seconds = self.shortest.get("copy")
        return finite(work.copy_bytes / seconds) if work.copy_bytes and seconds else None


def read_contention(traces: Traces, num_steps: int) -> NDArray[np.float64] | None:
    """Return the CPU seconds taken by others per second of wall clock, in each of S steps; `None` without a reading.

    Others are other processes, and the hypervisor where the kernel reports it.

    A step has the rate of the first reading after it; steps after the last reading have the rate of the last one.
    """
    if "contention_step" not in traces or not traces["contention_step"].size:
        return None
    steps = arrays.rising("contention_step", arrays.numbers(traces, "contention_step", None))
    seconds = np.maximum(arrays.seconds(traces, "contention_seconds", len(steps)), arrays.MIN_SECONDS)
    reading = np.minimum(np.searchsorted(steps, np.arange(1, num_steps + 1)), len(steps) - 1)
    names = ("contention_others_cpu_seconds", "contention_stolen_cpu_seconds")
    taken = [arrays.seconds(traces, name, len(steps)) / seconds for name in names if name in traces]
    return np.sum(taken, axis=0)[reading] if taken else np.zeros(num_steps)


def read_step_breakdown(traces: Traces) -> StepBreakdown | None:
    """Return the step breakdown from the arrays of a run; `None` where too few steps were timed."""
    if "step_breakdown_seconds" not in traces or not traces["step_breakdown_seconds"].size:
        return None
    parts = arrays.texts(traces, "step_breakdown_parts", None).tolist()
    if sorted(parts) != sorted(PARTS):
        raise ValueError("step_breakdown_parts holds other parts than those of a step")
    order = [parts.index(part) for part in PARTS]
    seconds = arrays.seconds(traces, "step_breakdown_seconds", None, len(parts))
    host = None
    if "step_breakdown_host_seconds" in traces:
        host = arrays.seconds(traces, "step_breakdown_host_seconds", *seconds.shape).T[order]
    return StepBreakdown(seconds.T[order], host, "step_breakdown_step" in traces)


def read_reference_kernels(traces: Traces) -> ReferenceKernelTimes:
    """Return the times of the reference kernels from the arrays of a run."""
    num_moments = len(arrays.numbers(traces, "reference_kernel_step", None))
    names = [*REFERENCE_KERNELS[:2], "copy" if "reference_kernel_copy_seconds" in traces else "exchange"]
    seconds = {name: arrays.durations(traces, f"reference_kernel_{name}_seconds", num_moments, None) for name in names}
    if not all(of_kernel.size for of_kernel in seconds.values()):
        raise ValueError("the reference kernels were not timed")
    return ReferenceKernelTimes.of(seconds)
