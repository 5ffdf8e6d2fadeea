"""Readings of clocks and reference kernels: the parts of a step, and the peak and the steadiness of the machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intelbench.records.profiles import ReferenceKernelWork
from intelbench.records.store import Traces
from intelbench.results import arrays
from intelbench.statistics.estimates import finite

BUDGET_PARTS = ("data_wait", "transfer", "forward", "backward", "optimizer")
"""Parts of a step that a budget in seconds pays for."""
OTHER_PARTS = ("norm", "other")
"""Parts that it does not pay for: the gradient norm, and the books."""
PARTS = (*BUDGET_PARTS, *OTHER_PARTS)
REFERENCE_KERNELS = ("convolution", "matmul", "exchange")
"""Work that is timed on a CPU; on a GPU a copy within its memory takes the place of the exchange between threads."""
DATA_BOUND = 0.2
"""Share of waiting and transfer above which a step is bound by data."""
OVERHEAD_BOUND = 0.9
"""On a GPU: share of its time that the host takes to ask for the work, from which on the GPU waits for the host."""
OVERHEAD_BOUND_CPU = 0.2
"""On a CPU: share of what is outside the budget above which that is the larger worry."""


@dataclass(frozen=True)
class StepBreakdown:
    """Steps of one or several runs whose parts were timed."""

    seconds: NDArray[np.float64]
    """Of S steps by part, in the order of `PARTS` (7 x S)."""
    host_seconds: NDArray[np.float64] | None
    """On a GPU: how long the host took to ask for it."""
    are_of_run: bool = True
    """Whether they are steps of the run itself, and not taken after it for this alone."""

    @classmethod
    def pooled(cls, several: Sequence["StepBreakdown"]) -> "StepBreakdown | None":
        """The steps of all of them together."""
        if not several:
            return None
        host = [each.host_seconds for each in several if each.host_seconds is not None]
        seconds = np.concatenate([each.seconds for each in several], axis=1)
        return cls(seconds, np.concatenate(host, axis=1) if host else None, all(each.are_of_run for each in several))

    @property
    def num_steps(self) -> int:
        """Steps that were looked at."""
        return len(self.seconds[0])

    @property
    def budget_seconds(self) -> NDArray[np.float64]:
        """What each step costs a budget in seconds: the step with its data wait."""
        return self.total(BUDGET_PARTS)

    def total(self, parts: Sequence[str]) -> NDArray[np.float64]:
        """Of some parts together, by step."""
        return _sum(self.seconds, parts)

    def share(self, *parts: str) -> float | None:
        """Share of all time that went to these parts."""
        everything = self.total(PARTS).sum()
        return finite(self.total(parts).sum() / everything) if everything > 0 else None

    @property
    def verdict(self) -> str | None:
        """What a step is bound by: `data`, `overhead` or `compute`."""
        data, outside = self.share("data_wait", "transfer"), self.share(*OTHER_PARTS)
        if data is None or outside is None:
            return None
        if data > DATA_BOUND:
            return "data"
        if self.host_seconds is None:
            return "overhead" if outside > OVERHEAD_BOUND_CPU else "compute"
        work = ("forward", "backward", "optimizer")
        asking = _sum(self.host_seconds, work).sum()
        return "overhead" if asking >= OVERHEAD_BOUND * self.total(work).sum() else "compute"


def _sum(seconds: NDArray[np.float64], parts: Sequence[str]) -> NDArray[np.float64]:
    """Over some of the parts (S values)."""
    found: NDArray[np.float64] = seconds[[PARTS.index(part) for part in parts]].sum(axis=0)
    return found


@dataclass(frozen=True)
class ReferenceKernelTimes:
    """Seconds that the same work took, by its name in `REFERENCE_KERNELS`, or `copy`."""

    shortest: Mapping[str, float]
    """Of all repetitions."""
    medians: Mapping[str, Sequence[float]]
    """Of the repetitions at each of K moments."""

    @classmethod
    def of(cls, seconds: Mapping[str, NDArray[np.float64]]) -> "ReferenceKernelTimes":
        """From R repetitions at each moment (K x R)."""
        ordered = {name: np.sort(each, axis=1) for name, each in seconds.items()}
        return cls(
            {name: float(each[:, 0].min()) for name, each in ordered.items()},
            {
                name: ((each[:, (each.shape[1] - 1) // 2] + each[:, each.shape[1] // 2]) / 2).tolist()
                for name, each in ordered.items()
            },
        )

    def peak_flops_per_second(self, work: ReferenceKernelWork) -> float | None:
        """The quickest of all, convolutions and matrix products: what arithmetic can reach here."""
        shortest = self.shortest
        return finite(max(work.convolution_flops / shortest["convolution"], work.matmul_flops / shortest["matmul"]))

    def peak_bytes_per_second(self, work: ReferenceKernelWork) -> float | None:
        """The quickest copy within a GPU's memory, read and written bytes; `None` where none was timed."""
        seconds = self.shortest.get("copy")
        return finite(work.copy_bytes / seconds) if work.copy_bytes and seconds else None

    def quickest(self, name: str) -> float:
        """Seconds that the work took at the quickest moment, by its median repetition; NaN if there is none."""
        return min(self.medians.get(name, (np.nan,)))

    def slowest(self, name: str) -> float:
        """Seconds that the work took at the slowest moment, by its median repetition; NaN if there is none."""
        return max(self.medians.get(name, (np.nan,)))

    def slowdowns(self, name: str, quickest: float) -> list[float]:
        """How many times `quickest` the work took at each moment (K values), by the median of its repetitions."""
        return [median / quickest for median in self.medians[name]]


@dataclass(frozen=True)
class ContentionRates:
    """Processor seconds that others took per second of wall clock, for each of S steps."""

    others: NDArray[np.float64]
    """Other processes."""
    stolen: NDArray[np.float64]
    """The hypervisor; 0 where the kernel does not tell."""


def read_contention(traces: Traces, num_steps: int) -> ContentionRates | None:
    """Return the rates at each step; `None` where the accounts were never read.

    A step has the rate of the first reading after it, and steps after the last reading have that of the last.
    """
    if "contention_step" not in traces or not traces["contention_step"].size:
        return None
    steps = arrays.rising("contention_step", arrays.numbers(traces, "contention_step", None))
    seconds = np.maximum(arrays.seconds(traces, "contention_seconds", len(steps)), arrays.SHORTEST_SECONDS)
    reading = np.minimum(np.searchsorted(steps, np.arange(1, num_steps + 1)), len(steps) - 1)
    others, stolen = (
        arrays.seconds(traces, name, len(steps)) if name in traces else np.zeros(len(steps))
        for name in ("contention_others_cpu_seconds", "contention_stolen_cpu_seconds")
    )
    return ContentionRates((others / seconds)[reading], (stolen / seconds)[reading])


def read_step_breakdown(traces: Traces) -> StepBreakdown | None:
    """From the arrays of a run; `None` in records that have none, or too few steps."""
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
    moments = len(arrays.numbers(traces, "reference_kernel_step", None))
    names = [*REFERENCE_KERNELS[:2], "copy" if "reference_kernel_copy_seconds" in traces else "exchange"]
    found = {name: arrays.durations(traces, f"reference_kernel_{name}_seconds", moments, None) for name in names}
    if not all(each.size for each in found.values()):
        raise ValueError("the reference kernels were not timed")
    return ReferenceKernelTimes.of(found)
