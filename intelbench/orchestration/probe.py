"""A few real training steps in a process of their own, for the peak of memory and nothing else.

`measure` starts it as `python -m intelbench.orchestration.probe`: a probe on stdin, an answer a line on stdout.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch
from msgspec import Struct

from intelbench.architectures.registry import ModelRequest, find, load_plugin
from intelbench.profiling.environment import child_environment
from intelbench.profiling.memory import MemoryMeter
from intelbench.profiling.workload import Workload
from intelbench.records.profiles import MeasuredMemory
from intelbench.records.types import Conditions, Execution, PeakMemory
from intelbench.training.optimizer import make_optimizer
from intelbench.training.precision import MEMORY_FORMATS, autocast, configure

_STEPS = 3
"""The second is the first with an optimizer state."""
_DETAILS = 300
"""Characters of an error that are passed on."""


class Probe(Struct, frozen=True, kw_only=True):
    """What is to be measured."""

    architecture: str
    plugins: tuple[str, ...]
    num_classes: int
    conditions: Conditions
    execution: Execution
    frozen: bool
    batch_sizes: tuple[int, ...]


def measure(probe: Probe) -> tuple[MeasuredMemory, ...]:
    """Peaks by batch size; one that does not fit says so, as does a process that dies."""
    child = subprocess.run(
        [sys.executable, "-m", __name__],
        input=msgspec.json.encode(probe),
        capture_output=True,
        env=child_environment(probe.execution),
        check=False,
    )
    measured = tuple(msgspec.json.decode(line, type=MeasuredMemory) for line in child.stdout.splitlines())
    reason = child.stderr.decode(errors="replace").strip()[-_DETAILS:] or f"status {child.returncode}"
    lost = probe.batch_sizes[len(measured) :]
    return measured + tuple(MeasuredMemory(batch_size=size, peak=None, failure=reason) for size in lost)


def main() -> None:
    """Measure what stdin asks for."""
    probe = msgspec.json.decode(sys.stdin.buffer.read(), type=Probe)
    for plugin in probe.plugins:
        load_plugin(Path(plugin))
    for measured in _measure(probe):
        sys.stdout.buffer.write(msgspec.json.encode(measured) + b"\n")
        sys.stdout.buffer.flush()


def _measure(probe: Probe) -> Iterator[MeasuredMemory]:
    device = configure(probe.conditions, probe.execution)
    for batch_size in probe.batch_sizes:
        try:
            yield MeasuredMemory(batch_size=batch_size, peak=_peak(probe, batch_size, device))
        except torch.OutOfMemoryError:
            yield MeasuredMemory(batch_size=batch_size, peak=None, failure="does not fit")
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _peak(probe: Probe, batch_size: int, device: torch.device) -> PeakMemory:
    conditions = probe.conditions
    architecture, _ = find(probe.architecture)
    request = ModelRequest(num_classes=probe.num_classes, image_size=conditions.image_size)
    workload = Workload(architecture=architecture, request=request, frozen=probe.frozen)
    memory_format = MEMORY_FORMATS[conditions.memory_format]
    meter = MemoryMeter(device)
    model = workload.build().to(device).to(memory_format=memory_format)
    optimizer = make_optimizer(model, conditions)
    cast = autocast(conditions, device)
    images = torch.zeros(batch_size, 3, conditions.image_size, conditions.image_size, device=device)
    images = images.to(memory_format=memory_format)
    labels = torch.zeros(batch_size, dtype=torch.long, device=device)
    for _ in range(_STEPS):
        with cast():
            loss = workload.loss(model, images, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return meter.read()


if __name__ == "__main__":
    main()
