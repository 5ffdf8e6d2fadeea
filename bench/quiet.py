"""Blocks of a comparison that count: those beside which the machine was as quick as it is when nothing disturbs it.

The calibrating work of a run is timed before, between and after the blocks, and a block counts where it is within the
bounds beyond which the report calls a run disturbed, at both ends. The blocks' own times have no say in that.
"""

import time
from collections.abc import Callable

import torch

from bench.conftest import Times
from intelbench.profiling.calibration import Calibration
from intelbench.reporting.evidence.disturbance import COMPUTE_SLOWDOWN, EXCHANGE_SLOWDOWN
from intelbench.reporting.evidence.timing import CalibrationTimes, read_calibration

_PATIENCE = 5
"""How many times the time wanted may pass until that much of it was undisturbed."""
_BOUNDS = {"convolution": COMPUTE_SLOWDOWN, "matmul": COMPUTE_SLOWDOWN, "exchange": EXCHANGE_SLOWDOWN}


def undisturbed(block: Callable[[], Times], seconds: float) -> tuple[Times, str]:
    """Take blocks until so many seconds of them were undisturbed, and return those, and in words how many they were."""
    calibration = Calibration(torch.device("cpu"), torch.float32)
    blocks: list[Times] = []
    took: list[float] = []
    calibration.take(0)
    started = time.monotonic()
    while True:
        before = time.monotonic()
        blocks.append(block())
        took.append(time.monotonic() - before)
        calibration.take(len(blocks))
        quiet = _quiet(calibration, len(blocks))
        enough = sum(took[place] for place in quiet) >= seconds
        if enough or time.monotonic() - started > _PATIENCE * seconds:
            break
    times = Times([], [])
    for place in quiet:
        times.harness.extend(blocks[place].harness)
        times.reference.extend(blocks[place].reference)
    return times, f"{len(quiet)} of {len(blocks)} blocks undisturbed"


def _quiet(calibration: Calibration, num_blocks: int) -> list[int]:
    """Places of the blocks at both ends of which the machine was quick."""
    taken = read_calibration(calibration.traces())
    assert isinstance(taken, CalibrationTimes)
    slowdowns = {name: taken.slowdowns(name, taken.quickest(name)) for name in _BOUNDS}
    quick = [
        all(slowdowns[name][moment] <= bound for name, bound in _BOUNDS.items()) for moment in range(num_blocks + 1)
    ]
    return [place for place in range(num_blocks) if quick[place] and quick[place + 1]]
