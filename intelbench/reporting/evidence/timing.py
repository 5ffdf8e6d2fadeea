"""What a run's clocks and calibrations say: the parts of a step, the machine's peak, and how steady the machine was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from intelbench.records.profiles import CalibrationWork
from intelbench.records.store import Traces
from intelbench.reporting.evidence import arrays
from intelbench.reporting.evidence.statistics import finite

BUDGET_PARTS = ("data_wait", "transfer", "forward", "backward", "optimizer")
"""Parts of a step that a budget in seconds pays for."""
OTHER_PARTS = ("norm", "other")
"""Parts that it does not pay for: the gradient norm, and the books."""
CALIBRATING_WORK = ("convolution", "matmul", "exchange")
DATA_BOUND = 0.2
"""Share of waiting and transfer above which a step is bound by data."""
OVERHEAD_BOUND = 0.9
"""On a GPU: share of its time that the host takes to ask for the work, from which on the GPU waits for the host."""
OVERHEAD_BOUND_CPU = 0.2
"""On a CPU: share of what is outside the budget above which that is the larger worry."""


@dataclass(frozen=True)
class Anatomy:
    """Instrumented steps of one or several runs: seconds by part, S values each."""

    seconds: Mapping[str, NDArray[np.float64]]
    host_seconds: Mapping[str, NDArray[np.float64]] | None
    """On a GPU: how long the host took to ask for it."""

    @classmethod
    def pooled(cls, several: Sequence["Anatomy"]) -> "Anatomy | None":
        """The steps of all of them together."""
        if not several:
            return None
        parts = several[0].seconds
        host = [each.host_seconds for each in several if each.host_seconds is not None]
        return cls(
            {part: np.concatenate([each.seconds[part] for each in several]) for part in parts},
            {part: np.concatenate([each[part] for each in host]) for part in parts} if host else None,
        )

    @property
    def num_steps(self) -> int:
        """Steps that were looked at."""
        return len(self.seconds["forward"])

    @property
    def step_seconds(self) -> NDArray[np.float64]:
        """Of each step, as far as the budget pays for it."""
        return self.total(BUDGET_PARTS)

    def total(self, parts: Sequence[str]) -> NDArray[np.float64]:
        """Of some parts together, by step."""
        seconds: NDArray[np.float64] = np.sum([self.seconds[part] for part in parts], axis=0)
        return seconds

    def share(self, *parts: str) -> float | None:
        """Share of all time that went to these parts."""
        everything = self.total((*BUDGET_PARTS, *OTHER_PARTS)).sum()
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
        asking = sum(float(self.host_seconds[part].sum()) for part in work)
        return "overhead" if asking >= OVERHEAD_BOUND * float(self.total(work).sum()) else "compute"


@dataclass(frozen=True)
class CalibrationTimes:
    """Seconds of the same work at K moments, R times each (K x R)."""

    convolution: NDArray[np.float64]
    matmul: NDArray[np.float64]
    exchange: NDArray[np.float64]

    def peak_flops_per_second(self, work: CalibrationWork) -> float | None:
        """The quickest of all, convolutions and matrix products: what arithmetic can reach here."""
        rates = (work.convolution_flops / self.convolution.min(), work.matmul_flops / self.matmul.min())
        return finite(max(rates))

    def quickest(self, name: str) -> float:
        """Seconds that the work took at the quickest moment, by the median of its repetitions."""
        return float(self._medians[name].min())

    def slowest(self, name: str) -> float:
        """The same at the slowest."""
        return float(self._medians[name].max())

    def slowdowns(self, name: str, quickest: float) -> list[float]:
        """How many times `quickest` the work took at each moment (K values), by the median of its repetitions."""
        found: list[float] = (self._medians[name] / quickest).tolist()
        return found

    @cached_property
    def _medians(self) -> Mapping[str, NDArray[np.float64]]:
        ordered = {name: np.sort(getattr(self, name), axis=1) for name in CALIBRATING_WORK}
        return {
            name: (each[:, (each.shape[1] - 1) // 2] + each[:, each.shape[1] // 2]) / 2
            for name, each in ordered.items()
        }


def read_anatomy(traces: Traces) -> Anatomy | None:
    """From the arrays of a run; `None` in records that have none, or too few steps."""
    if "anatomy_seconds" not in traces or not traces["anatomy_seconds"].size:
        return None
    parts = arrays.texts(traces, "anatomy_parts", None).tolist()
    if {*parts} != {*BUDGET_PARTS, *OTHER_PARTS}:
        raise ValueError("anatomy_parts holds other parts than those of a step")

    def by_part(name: str, num_steps: int | None) -> dict[str, NDArray[np.float64]]:
        return dict(zip(parts, arrays.seconds(traces, name, num_steps, len(parts)).T, strict=True))

    seconds = by_part("anatomy_seconds", None)
    on_host = "anatomy_host_seconds" in traces
    return Anatomy(seconds, by_part("anatomy_host_seconds", len(seconds["forward"])) if on_host else None)


def read_calibration(traces: Traces) -> CalibrationTimes | None:
    """From the arrays of a run; `None` in records that have none."""
    if "calibration_step" not in traces:
        return None
    moments = len(arrays.numbers(traces, "calibration_step", None))
    found = [arrays.durations(traces, f"calibration_{name}_seconds", moments, None) for name in CALIBRATING_WORK]
    if not all(each.size for each in found):
        raise ValueError("calibrating work was not done")
    return CalibrationTimes(*found)
