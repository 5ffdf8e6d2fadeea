"""Carry out one measurement in its own process: `main` reads a task and answers with rows."""

import os
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import Struct

from bench.gpu.loops import Meter, Setting, TakeStep, captured, plain, time_harness, tuned
from bench.gpu.results import SPEED, Figure, Row, first_line
from bench.gpu.session import FAKE_DEVICE, Task
from bench.gpu.sizes import Sizes
from bench.steps import NUM_CLASSES, train_harness
from intelbench.architectures.registry import ModelRequest, find
from intelbench.config.fields import Precision, StepKind
from intelbench.errors import UserError
from intelbench.orchestration.probe import Probe, measure_steps
from intelbench.orchestration.process import take_request
from intelbench.profiling.complexity import training_flops_per_image
from intelbench.profiling.device import Device, find_device
from intelbench.profiling.environment import choose_execution, read_environment
from intelbench.profiling.gpu_watch import GpuWatch
from intelbench.profiling.prediction import record_tape
from intelbench.profiling.reference_kernels import ReferenceKernels
from intelbench.profiling.workload import Workload
from intelbench.records.store import Traces
from intelbench.records.types import Environment, Execution
from intelbench.results.datasheet import peak_flops_per_second
from intelbench.training.budget import TrainingBudget
from intelbench.training.loop import Step
from intelbench.training.optimizer import make_optimizer
from intelbench.training.precision import autocast, configure

_CPU = torch.device("cpu")
_NUM_WATCHED = 5
"""Number of training steps in which synchronising calls are counted. Earlier steps create what these steps use."""
_SYNCHRONIZED = "called a synchronizing CUDA operation"
"""Text of PyTorch's warning."""
_MAX_CALLS = 12
"""Number of calls of a stack that are kept."""
_OWN_LOOPS: Mapping[str, tuple[Precision, Callable[[Setting], TakeStep]]] = {
    "plain": ("fp32", plain),
    "tuned": ("bf16", tuned),
    "tuned + CUDA graph": ("bf16", captured),
    "tuned + torch.compile": ("bf16", partial(tuned, compiles=True)),
}
_HARNESS: Mapping[str, tuple[bool, StepKind]] = {
    "harness": (False, "eager"),
    "harness on one device batch": (True, "eager"),
    "harness + CUDA graph": (False, "graph"),
}
"""Whether every step has the same batch, and how the harness carries out a step."""
_REAL_GPU_ONLY = ("tuned + CUDA graph", "tuned + torch.compile")
"""Loops that the fake device does not have. On a GPU their failure is no error: it explains why there is no speed."""
_PEAKS = {
    "allocated": "cuda_allocated_bytes",
    "reserved": "cuda_reserved_bytes",
    "NVML": "nvml_process_bytes",
    "workspace of cuBLAS": "cublas_workspace_bytes",
}
"""Fields of `PeakMemory`, by the names of the figures."""
_UNITS = {"_bytes": "bytes", "_watts": "W", "_megahertz": "MHz", "_celsius": "°C"}
"""Units by the ends of the names of fields."""


def environment(device: str, sizes: Sizes) -> Iterator[Environment]:
    """Describe the device and its machine.

    Raises:
        UserError: the device is no CUDA device.
    """
    execution = choose_execution(_real_name(device), None, None, True)
    if execution.device != "cuda":
        raise UserError(
            f"--device {device}: PyTorch sees no CUDA device. Expected an NVIDIA GPU with its driver, or an AMD GPU "
            "under ROCm. Try --device fake, which checks that everything runs and measures nothing"
        )
    yield read_environment(execution)


def card(device: str, sizes: Sizes) -> Iterator[Row]:
    """Read the state of the card, and time the reference kernels against the data sheet."""
    setting = _loader_setting(device, sizes, precision="fp32")
    chosen = setting.device
    configure(setting.conditions, setting.execution)
    yield _facts(setting.execution)
    watch = GpuWatch(chosen.torch_device)
    watch.step(0, at_evaluation=True)
    kinds: tuple[tuple[torch.dtype, Precision], ...] = ((torch.bfloat16, "bf16"), (torch.float32, "fp32"))
    for dtype, precision in kinds:
        kernels = ReferenceKernels(chosen.torch_device, dtype)
        kernels.start()
        watch.step(0, at_evaluation=True)
        yield from _kernels(kernels, precision, peak_flops_per_second(chosen.name or "", precision))
    readings = {name: values for name, values in watch.read().items() if name != "step"}
    for position, moment in enumerate(("before the kernels", "after bf16", "after fp32")):
        figures = (_reading(name, values[position].item()) for name, values in readings.items())
        yield Row(subject=moment, figures=tuple(figures))


def synchronizations(device: str, sizes: Sizes, precision: Precision) -> Iterator[Row]:
    """Count the calls in training steps that make the host wait for the GPU, by stack."""
    setting, stacks = _loader_setting(device, sizes, precision=precision), Counter[str]()
    first, last = sizes.warm_steps, sizes.warm_steps + _NUM_WATCHED

    def note(message: Warning | str, *_: object, **__: object) -> None:
        if _SYNCHRONIZED in str(message):
            stacks["".join(traceback.format_stack(limit=_MAX_CALLS)[:-1])] += 1

    def on_step(step: Step) -> None:
        setting.device.warn_of_synchronizations(on=first <= step.number < last)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        budget = TrainingBudget(last + 1, None)
        train_harness(setting.workload, setting.conditions, setting.execution, setting.stream, on_step, budget)
    yield Row(
        subject=f"{sizes.loader_architecture}, {precision}",
        figures=(Figure(name=f"synchronising calls in {_NUM_WATCHED} steps", value=stacks.total()),),
        at_most=0,
        details=tuple(f"{count} times\n{stack}" for stack, count in stacks.most_common()),
    )


def flops(device: str, sizes: Sizes, architecture: str) -> Iterator[Row]:
    """Count the FLOPs of a training image."""
    workload = Workload(
        architecture=find(architecture)[0],
        request=ModelRequest(num_classes=NUM_CLASSES, image_size=sizes.image_size),
    )
    counted = training_flops_per_image(workload)
    yield Row(subject=architecture, figures=(Figure(name="training", value=counted, unit="FLOP/image"),))


def steps(
    device: str, sizes: Sizes, architecture: str, side: str, batch_size: int, flops_per_image: float | None = None
) -> Iterator[Row]:
    """Time training steps of one network in one loop."""
    subject = f"{architecture}, {side}, batch {batch_size}"
    if device == FAKE_DEVICE and side in _REAL_GPU_ONLY:
        yield Row(subject=subject, figures=(_no_speed("not on the fake device"),))
        return
    on_device, kind = _HARNESS.get(side, (False, "eager"))
    chosen = _activated(device)
    setting = Setting(device=chosen, sizes=sizes, architecture=architecture, batch_size=batch_size, step=kind)
    meter = Meter(setting, sizes.warm_steps, sizes.timed_seconds)
    precision: Precision = setting.precision
    first_step: tuple[Figure, ...] = ()
    if side in _HARNESS:
        if fallback := time_harness(setting, meter, on_device=on_device):
            yield Row(subject=subject, figures=(_no_speed(fallback),))
            return
    else:
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)  # only the harness sets it
        precision, prepare = _OWN_LOOPS[side]
        try:
            step, seconds = _prepared(prepare, setting)
        except Exception as error:
            if side not in _REAL_GPU_ONLY:
                raise
            yield Row(subject=subject, figures=(_no_speed(first_line(error)),))
            return
        first_step = (Figure(name="first step, building included", value=seconds, unit="s"),)
        step()
        while not meter.step():
            step()
    figures = meter.figures()
    speed = figures[0].value
    assert isinstance(speed, float)
    yield Row(subject=subject, figures=(*figures, _mfu(setting.device, precision, speed, flops_per_image), *first_step))


def loader(device: str, sizes: Sizes, threads: int) -> Iterator[Row]:
    """Time the preparation of batches alone, by the number of threads that prepare them."""
    setting = _loader_setting(device, sizes, threads=threads)
    configure(setting.conditions, setting.execution)
    for workers in sizes.loader_workers:
        batches = setting.stream.batches(workers)
        for _ in islice(batches, 4 * workers + 2):  # twice the number of batches that are prepared ahead
            pass
        num_batches, started, seconds = 0, time.perf_counter(), 0.0
        while seconds < sizes.loader_seconds:
            next(batches)
            num_batches, seconds = num_batches + 1, time.perf_counter() - started
        batches.close()
        speed = num_batches * sizes.batch_size / seconds
        yield Row(
            subject=f"alone, {workers} workers, {threads} threads",
            figures=(Figure(name=SPEED, value=speed, unit="images/s"),),
        )


def loader_with_steps(device: str, sizes: Sizes, threads: int) -> Iterator[Row]:
    """Time training steps of the harness by the number of threads that prepare their batches."""
    for workers in sizes.loader_workers:
        setting = _loader_setting(device, sizes, threads=threads, workers=workers)
        meter = Meter(setting, sizes.warm_steps, sizes.loader_seconds)
        time_harness(setting, meter)
        yield Row(
            subject=f"{sizes.loader_architecture}, {workers} workers, {threads} threads", figures=meter.figures()[:1]
        )


def memory(device: str, sizes: Sizes, architecture: str, precision: Precision) -> Iterator[Row]:
    """Predict the memory of a training step, and measure it."""
    chosen = _activated(device)
    setting = Setting(
        device=chosen, sizes=sizes, architecture=architecture, batch_size=sizes.batch_size, precision=precision
    )
    conditions = setting.conditions
    probe = Probe(
        architecture=architecture,
        plugins=(),
        num_classes=NUM_CLASSES,
        conditions=conditions,
        execution=setting.execution,
        frozen=False,
        batch_sizes=sizes.memory_batch_sizes,
    )
    make = partial(make_optimizer, conditions=conditions)
    tape = record_tape(probe.workload, make, autocast(conditions, _CPU), sizes.memory_batch_sizes)
    for measured in measure_steps(probe):
        predicted, peak = tape.predict(measured.batch_size), measured.peak
        subject = f"{architecture}, {precision}, batch {measured.batch_size}"
        figures = [
            Figure(name="predicted", value=predicted.peak_bytes, unit="bytes"),
            Figure(name="predicted reserved", value=predicted.reserved_bytes, unit="bytes"),
        ]
        if peak is None:
            yield Row(subject=subject, figures=tuple(figures), failure=measured.failure)
            continue
        figures += [
            Figure(name=name, value=getattr(peak, field), unit="bytes", absent=peak.absent.get(field))
            for name, field in _PEAKS.items()
        ]
        yield Row(subject=subject, figures=tuple(figures))


def write_images(device: str, sizes: Sizes, folder: str) -> Iterator[Row]:
    """Write a small folder of images, and yield nothing."""
    from tests.conftest import write_folder

    write_folder(Path(folder), per_class=24)
    yield from ()


MEASUREMENTS: Mapping[str, Callable[..., Iterator[Struct]]] = {
    function.__name__: function
    for function in (environment, card, synchronizations, flops, steps, loader, loader_with_steps, memory, write_images)
}


def main() -> None:
    """Carry out a task."""
    task, answer = take_request(Task)
    if task.device == FAKE_DEVICE:
        from bench.gpu.fake import install_fake

        install_fake()
    try:
        for row in MEASUREMENTS[task.function](task.device, task.sizes, **task.arguments):
            answer(row)
    except UserError as error:
        sys.exit(str(error))


def _real_name(device: str) -> str:
    """Return the harness's name of the device; the fake device is installed as the first GPU."""
    return "cuda" if device == FAKE_DEVICE else device


def _activated(device: str) -> Device:
    chosen = find_device(_real_name(device))
    chosen.activate()
    return chosen


def _loader_setting(device: str, sizes: Sizes, **options: Any) -> Setting:
    """Return the setting of the network that is trained while batches are prepared."""
    return Setting(
        device=_activated(device),
        sizes=sizes,
        architecture=sizes.loader_architecture,
        batch_size=sizes.batch_size,
        **options,
    )


def _prepared(prepare: Callable[[Setting], TakeStep], setting: Setting) -> tuple[TakeStep, float]:
    """Return a step that was taken once, and the seconds to build, compile and take it."""
    started = time.perf_counter()
    step = prepare(setting)
    step()
    setting.device.synchronize()
    return step, time.perf_counter() - started


def _no_speed(reason: str) -> Figure:
    return Figure(name=SPEED, value=None, unit="images/s", absent=reason)


def _mfu(device: Device, precision: Precision, images_per_second: float, flops_per_image: float | None) -> Figure:
    """Return the model FLOPs utilisation: FLOPs of the network over the data sheet's peak in this precision."""
    peak = peak_flops_per_second(device.name or "", precision)
    name = f"MFU ({precision})"
    if peak is None:
        return Figure(name=name, value=None, unit="share", absent="no data sheet known")
    if flops_per_image is None:
        return Figure(name=name, value=None, unit="share", absent="the FLOPs of the network were not counted")
    return Figure(name=name, value=images_per_second * flops_per_image / peak, unit="share")


def _facts(execution: Execution) -> Row:
    """Return the properties and settings of the card."""
    facts = read_environment(execution).gpu
    assert facts is not None
    values = msgspec.structs.asdict(facts)
    reason = values.pop("absent") or "not known to NVML"
    figures = (_reading(name, value, reason) for name, value in values.items())
    return Row(subject="settings", figures=tuple(figures))


def _reading(name: str, value: bool | float | str | None, reason: str | None = None) -> Figure:
    """Return the figure of a value whose name ends in its unit, such as `power_watts`."""
    quantity, unit = next(
        ((name.removesuffix(ending), unit) for ending, unit in _UNITS.items() if name.endswith(ending)), (name, "")
    )
    text = quantity.replace("_", " ")
    return Figure(name=text, value=value, unit=unit, absent=reason if value is None else None)


def _kernels(kernels: ReferenceKernels, precision: Precision, peak: float | None) -> Iterator[Row]:
    """Yield the speeds of the reference kernels; the copy does not depend on the precision."""
    traces, work = kernels.read(), kernels.work
    amounts = {"matmul": work.matmul_flops, "convolution": work.convolution_flops}
    for kind, amount in amounts.items():
        speed = amount / _median(traces, kind)
        share = Figure(
            name="of the data sheet",
            value=None if peak is None else speed / peak,
            unit="share",
            absent="no data sheet known" if peak is None else None,
        )
        yield Row(subject=f"{kind}, {precision}", figures=(Figure(name="speed", value=speed, unit="FLOP/s"), share))
    if precision == "bf16":
        assert work.copy_bytes is not None
        speed = work.copy_bytes / _median(traces, "copy")
        yield Row(subject="copy within the card", figures=(Figure(name="speed", value=speed, unit="bytes/s"),))


def _median(traces: Traces, kind: str) -> float:
    """Return the median seconds of a reference kernel."""
    return float(np.median(traces[f"{kind}_seconds"].astype(np.float64)))
