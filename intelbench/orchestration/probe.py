"""Profile a network without training it, and measure the memory of real steps.

`probe_in_process` does so in its own process. A network that hangs, crashes or fills the memory there costs only the
remaining answers.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

import msgspec
import torch
from msgspec import Struct

from intelbench.architectures.registry import ModelRequest, find
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import ORIGINAL_HEAD
from intelbench.errors import UserError, printable
from intelbench.orchestration.job import Job
from intelbench.orchestration.plugin_files import load_plugins_of_run
from intelbench.orchestration.process import Limits, OverrunError, Process, Starter, take_request
from intelbench.profiling.complexity import count_parameters, forward_macs_per_image, training_flops_per_image
from intelbench.profiling.device import device_of, is_out_of_memory
from intelbench.profiling.memory import MemoryMeter, return_freed_memory
from intelbench.profiling.prediction import record_tape
from intelbench.profiling.sizes import require_size
from intelbench.profiling.torchsummary import torchsummary_estimate
from intelbench.profiling.workload import Workload
from intelbench.records.profiles import ArchitectureProfile, MeasuredMemory, PeakMemory, TorchsummaryEstimate
from intelbench.records.types import Execution
from intelbench.training.evaluated import make_averaging_optimizer
from intelbench.training.precision import MEMORY_FORMATS, autocast, configure
from intelbench.training.setup import workload_of

PUBLISHED = ModelRequest(num_classes=1000, image_size=300)
"""The input that the published memory figures describe."""
_GIGABYTE = 10**9
_CPU = torch.device("cpu")
_FIRST_IMAGES = 2
"""Images of a part of the batch, on a CPU, in the step that creates the optimizer's state: the least for batch norm;
the peak is the same.

A GPU takes the complete batch, since its allocator's reserved memory depends on earlier requests."""
_MAX_MESSAGE_CHARACTERS = 300
Value = TypeVar("Value")


class Probe(Struct, frozen=True, kw_only=True):
    """A network, its conditions, and the batch sizes and memories to profile it at."""

    architecture: str
    plugins: tuple[str, ...]
    num_classes: int
    conditions: Conditions
    execution: Execution
    frozen: bool
    batch_sizes: tuple[int, ...]
    """Images of a step on one device; of several devices, the share of each."""
    memories: tuple[int, ...] = ()
    """Gigabytes of GPU memory for which to find the largest batch size."""
    seed: int = 0
    """Seed of the initial weights of the run whose network is profiled."""

    @classmethod
    def of(cls, job: Job) -> "Probe":
        """Return the probe of a run's network under the run's conditions."""
        spec = job.spec
        return cls(
            architecture=spec.architecture,
            plugins=job.plugins,
            num_classes=len(spec.data.class_names),
            conditions=spec.conditions,
            execution=spec.execution,
            frozen=spec.conditions.recipe.freeze_backbone == "always",
            batch_sizes=(spec.conditions.recipe.batch_size // spec.execution.gpus,),
            seed=spec.seed_of("init"),
        )

    @property
    def workload(self) -> Workload:
        """Return the network under these conditions."""
        workload = workload_of(find(self.architecture)[0], self.num_classes, self.conditions, self.seed)
        return replace(workload, frozen=self.frozen, num_parts=self.conditions.recipe.num_parts // self.execution.gpus)


class ProbeError(UserError):
    """The process of a probe has ended, or was killed, before it had described the network."""


def describe(probe: Probe) -> ArchitectureProfile:
    """Count parameters and operations and predict memory, without measuring.

    Raises:
        UserError: the network does not take images of this size.
        Exception: the network cannot be built.
    """
    conditions, workload = probe.conditions, probe.workload
    absent: dict[str, str] = {}
    training_flops = _or_absent("flops", absent, lambda: training_flops_per_image(workload))
    if training_flops is None:
        require_size(workload)
    num_parameters, num_trainable = count_parameters(workload.shapes())
    stock = replace(workload, request=replace(workload.request, num_classes=1000), head=ORIGINAL_HEAD, frozen=False)
    make = partial(make_averaging_optimizer, conditions=conditions)
    traced = None if len(probe.batch_sizes) > 1 or probe.memories else probe.batch_sizes
    tape = _or_absent("memory", absent, lambda: record_tape(workload, make, autocast(conditions, _CPU), traced))
    return ArchitectureProfile(
        architecture=workload.architecture.name,
        provider=find(probe.architecture)[1],
        num_parameters=num_parameters,
        num_trainable_parameters=num_trainable,
        forward_macs_per_image=_or_absent("flops", absent, lambda: forward_macs_per_image(workload)),
        training_flops_per_image=training_flops,
        torchsummary=_or_absent("torchsummary", absent, lambda: torchsummary_estimate(workload)),
        published=_published(replace(stock, request=PUBLISHED), absent),
        num_parameters_1000_classes=_or_absent("parameters", absent, lambda: count_parameters(stock.shapes())[0]),
        memory=tuple(tape.predict(size) for size in probe.batch_sizes) if tape else (),
        largest_batch={memory: tape.largest_batch(memory * _GIGABYTE) for memory in probe.memories} if tape else {},
        measured=(),
        absent=absent,
    )


def probe_in_process(probe: Probe, starter: Starter, limits: Limits) -> ArchitectureProfile:
    """Describe the network and measure real training steps in a new process.

    A batch size that does not fit, or that a crash has left unmeasured, has the reason in its place.

    Raises:
        ProbeError: the process has ended before it had described the network.
    """
    described, measured = None, []
    reason = None
    with Process("intelbench.orchestration.probe", probe, starter, limits) as process:
        try:
            for answer in process.answers():
                if described is None:
                    described = msgspec.json.decode(answer, type=ArchitectureProfile)
                else:
                    measured.append(msgspec.json.decode(answer, type=MeasuredMemory))
        except OverrunError as error:
            reason = str(error)
    last_words = process.reason[-_MAX_MESSAGE_CHARACTERS:]
    reason = reason or ": ".join(filter(None, (f"its process exited with status {process.returncode}", last_words)))
    if described is None:
        raise ProbeError(f"{probe.architecture} cannot be profiled: {reason}")
    lost = (MeasuredMemory(batch_size=size, peak=None, failure=reason) for size in probe.batch_sizes[len(measured) :])
    return msgspec.structs.replace(described, measured=(*measured, *lost))


def main() -> None:
    """Answer with the description, then with the memory at each batch size."""
    probe, answer = take_request(Probe)
    return_freed_memory()
    load_plugins_of_run(probe.plugins, probe.seed)
    answer(describe(probe))
    for memory in measure_steps(probe):
        answer(memory)


def _or_absent(field: str, absent: dict[str, str], compute: Callable[[], Value]) -> Value | None:
    """Return the computed value, or `None` after noting the reason in `absent`."""
    try:
        return compute()
    except Exception as error:  # noqa: BLE001 - code of a plug-in, with tensors without values
        said = printable(str(error).partition("\n")[0])[:_MAX_MESSAGE_CHARACTERS]
        is_ours = isinstance(error, UserError)
        absent[field] = said if is_ours else f"the network cannot be traced: {type(error).__name__}: {said}"
        return None


def _published(stock: Workload, absent: dict[str, str]) -> TorchsummaryEstimate | None:
    facts = stock.architecture.published
    if facts is None or facts.memory_mebibytes is None:
        absent["published"] = "no memory figure was published"
        return None
    return _or_absent("published", absent, lambda: torchsummary_estimate(stock))


def measure_steps(probe: Probe) -> Iterator[MeasuredMemory]:
    """Take real training steps in this process, and yield the peak memory at each batch size."""
    device = configure(probe.conditions, probe.execution)
    for batch_size in probe.batch_sizes:
        try:
            yield MeasuredMemory(batch_size=batch_size, peak=_peak(probe, batch_size, device))
        except Exception as error:  # PyTorch has several errors for full memory
            if not is_out_of_memory(error):
                raise
            yield MeasuredMemory(batch_size=batch_size, peak=None, failure="does not fit")
        device_of(device).empty_cache()


def _peak(probe: Probe, batch_size: int, device: torch.device) -> PeakMemory:
    conditions, workload = probe.conditions, probe.workload
    memory_format = MEMORY_FORMATS[conditions.memory_format]
    meter = MemoryMeter(device)
    model = workload.build().to(device).to(memory_format=memory_format)
    optimizer, parts = make_averaging_optimizer(model, conditions), workload.num_parts
    cast = autocast(conditions, device)
    with device:
        images, labels = workload.batch(batch_size)
    images = images.to(memory_format=memory_format)
    first = batch_size if device_of(device).has_allocator else min(_FIRST_IMAGES * parts, batch_size)
    for num_images in (first, batch_size):
        for part in zip(images[:num_images].chunk(parts), labels[:num_images].chunk(parts), strict=True):
            with cast():
                loss = workload.loss(model, *part)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return meter.read()
