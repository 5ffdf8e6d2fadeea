"""The same small work is timed again and again, and leaves a run as it was."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from intelbench.profiling import calibration
from intelbench.profiling.calibration import Calibration

CPU = torch.device("cpu")
NAMES = ("convolution", "matmul", "exchange")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less work than a run's."""
    monkeypatch.setattr(calibration, "_CPU_SIZES", ((2, 16, 8), 64))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_calibration_is_a_row_of_repetitions(dtype: torch.dtype) -> None:
    """By kind of work, with the step before which it was done; all took some time."""
    meter = Calibration(CPU, dtype)
    for step in (0, 3, 6):
        meter.take(step)
    traces = meter.traces()
    expected = {f"calibration_{name}_seconds": (3, 5) for name in NAMES} | {"calibration_step": (3,)}
    assert expected == {name: array.shape for name, array in traces.items()}
    assert [0, 3, 6] == traces["calibration_step"].tolist()
    for name in NAMES:
        assert np.float64 == traces[f"calibration_{name}_seconds"].dtype
        assert (traces[f"calibration_{name}_seconds"] > 0).all()


def test_nothing_timed_leaves_no_arrays() -> None:
    """A run that never started has none of its own."""
    assert {} == Calibration(CPU, torch.float32).traces()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flops_are_those_that_pytorch_counts(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    """Of the very convolution and product that are timed; the exchange has none."""
    counted = []

    def counting(_: Calibration, call: Callable[[], object]) -> list[float]:
        with FlopCounterMode(display=False) as counter:
            call()
        counted.append(counter.get_total_flops())
        return [1.0]

    monkeypatch.setattr(Calibration, "_timed", counting)
    meter = Calibration(CPU, dtype)
    meter.take(0)
    assert [meter.work.convolution_flops, meter.work.matmul_flops, 0] == counted


@pytest.mark.usefixtures("small")
def test_work_is_done_in_the_precision_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both inputs of the convolution are in it, and in the memory format that is fast."""
    seen = []
    convolve = F.conv2d

    def watching(images: torch.Tensor, weight: torch.Tensor, padding: int) -> torch.Tensor:
        seen.append((images, weight))
        return convolve(images, weight, padding=padding)

    monkeypatch.setattr(F, "conv2d", watching)
    Calibration(CPU, torch.bfloat16).take(0)
    assert 6 == len(seen)
    assert {torch.bfloat16} == {tensor.dtype for pair in seen for tensor in pair}
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for pair in seen for tensor in pair)


@pytest.mark.usefixtures("small")
def test_a_runs_random_numbers_are_not_touched() -> None:
    """The dropout of the steps after it is what it would have been."""
    before = torch.get_rng_state()
    Calibration(CPU, torch.float32).take(0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gpus_work_is_done_when_it_is_timed(dtype: torch.dtype) -> None:
    """A convolution of 46 GFLOPs is not over as soon as it is asked for: no GPU does 10 PFLOP/s."""
    meter = Calibration(torch.device("cuda"), dtype)
    meter.take(0)
    taken = meter.traces()["calibration_convolution_seconds"]
    assert (meter.work.convolution_flops / taken < 1e16).all()
