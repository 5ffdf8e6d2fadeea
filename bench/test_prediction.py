"""Time the prediction of the memory of a training step against PyTorch's own tracker."""

from contextlib import nullcontext
from itertools import cycle

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.optim import Adam

from bench.comparison import Comparison, timed
from intelbench.architectures.registry import ModelRequest, find
from intelbench.profiling.prediction import record_tape
from intelbench.profiling.workload import Workload

BATCH_SIZES = (1, 8, 32, 128)
"""Batch sizes of `intelbench profile`."""
SIZE = 224


def adam(model: nn.Module) -> Adam:
    """Return the optimizer of a run."""
    return Adam(model.parameters(), fused=True)


def tracked_peak(workload: Workload, batch_size: int) -> int:
    """Return the peak in bytes that MemTracker reports for the second of two steps."""
    with torch.device("meta"):
        model = workload.build()
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu")
        optimizer = adam(model)
        images, labels = workload.batch(batch_size)
        for _ in range(2):
            tracker = MemTracker()
            tracker.track_external(model, optimizer, images, labels)
            with tracker:
                workload.loss(model, images, labels).backward()
                optimizer.step()
                optimizer.zero_grad()
    (peak,) = tracker.get_tracker_snapshot("peak").values()
    return int(peak["Total"])


@pytest.mark.allowance(seconds=35)
def test_prediction(comparison: Comparison) -> None:
    """The peaks of ResNet-101 at four batch sizes are predicted at least 8 times as fast as by MemTracker.

    MemTracker takes one batch size in each pair, which stands for all four: it computes nothing, so its time does not
    depend on the batch size.
    """
    workload = Workload(architecture=find("resnet101")[0], request=ModelRequest(num_classes=6, image_size=SIZE))
    batch_sizes = BATCH_SIZES[: comparison.size(len(BATCH_SIZES))]
    next_size = cycle(batch_sizes)
    predicted: dict[int, int] = {}
    tracked: dict[int, int] = {}

    def predict() -> None:
        tape = record_tape(workload, adam, nullcontext)
        predicted.update((size, tape.predict(size).peak_bytes) for size in batch_sizes)

    def track() -> None:
        size = next(next_size)
        tracked[size] = tracked_peak(workload, size)

    comparison.speedup(timed(predict), timed(track, times=len(batch_sizes)), at_least=8)
    assert {size: predicted[size] for size in tracked} == pytest.approx(tracked, rel=1e-3)
