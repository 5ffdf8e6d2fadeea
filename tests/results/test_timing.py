"""Parts of a step are added up and judged by stated bounds; reference kernels give peaks and slowdowns."""

import numpy as np
import pytest

from intelbench.profiling import steps as profiling
from intelbench.records.profiles import ReferenceKernelWork
from intelbench.results.timing import (
    PARTS,
    ReferenceKernelTimes,
    StepBreakdown,
    read_reference_kernels,
    read_step_breakdown,
)


def breakdown_of(*, host: float | None = None, **seconds: float) -> StepBreakdown:
    """Three equal steps; parts not given take no time, and the host takes a share of all that is given."""
    parts = np.array([np.full(3, seconds.get(part, 0.0)) for part in PARTS])
    return StepBreakdown(parts, None if host is None else host * parts)


def times(**work: list[list[float]]) -> ReferenceKernelTimes:
    return ReferenceKernelTimes.of({name: np.array(seconds) for name, seconds in work.items()})


def test_every_part_of_the_clock_has_its_place() -> None:
    """The report knows the parts that the profiler writes, each once."""
    assert sorted(profiling.PARTS) == sorted(PARTS)


@pytest.mark.parametrize(
    ("expected", "steps"),
    [
        ("compute", breakdown_of(data_wait=0.1, transfer=0.05, forward=0.3, backward=0.5, optimizer=0.1)),
        ("data", breakdown_of(data_wait=0.2, transfer=0.05, forward=0.3, backward=0.4)),
        ("overhead", breakdown_of(forward=0.3, backward=0.4, norm=0.1, other=0.2)),
        ("compute", breakdown_of(forward=0.3, backward=0.6, optimizer=0.1, host=0.5)),
        ("overhead", breakdown_of(forward=0.3, backward=0.6, optimizer=0.1, host=0.95)),
        ("data", breakdown_of(data_wait=0.5, forward=0.3, backward=0.6, host=1.0)),
        (None, breakdown_of()),
    ],
)
def test_verdict(expected: str | None, steps: StepBreakdown) -> None:
    """Data before overhead before compute; on a GPU overhead is a host that takes as long as the GPU."""
    assert expected == steps.verdict


def test_steps_of_several_runs_are_pooled() -> None:
    """All of them together; the budget pays neither for the norm nor for the books."""
    pooled = StepBreakdown.pooled([breakdown_of(forward=1, norm=4), breakdown_of(forward=2, backward=3, other=5)])
    assert pooled is not None
    assert 6 == pooled.num_steps
    assert [1, 1, 1, 5, 5, 5] == pooled.budget_seconds.tolist()
    assert StepBreakdown.pooled([]) is None


def test_shares_add_up_to_one() -> None:
    """Over all parts, whatever the budget pays for."""
    steps = breakdown_of(data_wait=1, transfer=1, forward=2, backward=3, norm=1, optimizer=1, other=1)
    assert 0.2 == steps.share("data_wait", "transfer")
    assert 1.0 == steps.share(*PARTS)


def test_the_peak_is_the_quickest_of_all() -> None:
    """Of every repetition, of convolution or matrix product, whichever computes more in a second."""
    taken = times(convolution=[[0.4, 0.2], [0.5, 0.5]], matmul=[[1.0, 0.5], [0.25, 1.0]])
    assert 20.0 == taken.peak_flops_per_second(ReferenceKernelWork(convolution_flops=4, matmul_flops=2))
    assert 80.0 == taken.peak_flops_per_second(ReferenceKernelWork(convolution_flops=4, matmul_flops=20))


def test_a_slowdown_is_between_moments() -> None:
    """The median of the repetitions tells the quickest and the slowest moment; one slow repetition does not."""
    taken = times(exchange=[[1.0, 1.0, 9.0], [3.0, 3.0, 3.0]])
    assert 1.0 == taken.quickest["exchange"]
    assert 3.0 == taken.slowest["exchange"]


def test_a_gpu_copies_and_does_not_exchange() -> None:
    """Its copy tells the bytes that it can move in a second; what was not done is no slowdown."""
    arrays = {f"reference_kernel_{name}_seconds": np.array([[2.0, 1.0]]) for name in ("convolution", "matmul", "copy")}
    taken = read_reference_kernels({"reference_kernel_step": np.array([0]), **arrays})
    assert taken is not None
    assert 8.0 == taken.peak_bytes_per_second(ReferenceKernelWork(convolution_flops=4, matmul_flops=2, copy_bytes=8))
    assert taken.peak_bytes_per_second(ReferenceKernelWork(convolution_flops=4, matmul_flops=2)) is None
    assert np.isnan(taken.quickest["exchange"])
    assert np.isnan(taken.slowest["exchange"])


def test_older_records_have_neither() -> None:
    """Without the arrays there is nothing to read, and a step breakdown that is too short is none."""
    assert read_step_breakdown({}) is None
    assert (
        read_step_breakdown(
            {"step_breakdown_parts": np.array(PARTS), "step_breakdown_seconds": np.empty((0, len(PARTS)))}
        )
        is None
    )
