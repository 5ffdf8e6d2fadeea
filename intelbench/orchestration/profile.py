"""`intelbench profile`: what networks hold, compute and need, without training them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import torch

from intelbench.architectures.registry import Architecture, ModelRequest, find, load_plugin
from intelbench.orchestration.probe import Probe, measure
from intelbench.profiling.complexity import count_parameters, forward_macs_per_image, training_flops_per_image
from intelbench.profiling.environment import choose_execution
from intelbench.profiling.legacy import legacy_summary
from intelbench.profiling.prediction import record_tape
from intelbench.profiling.workload import UNTRACEABLE, Workload
from intelbench.records.profiles import ArchitectureProfile, MeasuredMemory, Profile
from intelbench.records.types import Conditions
from intelbench.training.optimizer import make_optimizer
from intelbench.training.precision import autocast

PUBLISHED = ModelRequest(num_classes=1000, image_size=300)
"""What the published memory figures describe."""
_GIGABYTE = 10**9
_CPU = torch.device("cpu")
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for."""

    architectures: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    memories: tuple[int, ...]
    """Gigabytes of GPU memory to fill."""
    num_classes: int
    conditions: Conditions
    frozen: bool
    plugins: tuple[Path, ...]


def profile(request: Request, watch: Callable[[str], None]) -> Profile:
    """Profile each architecture in turn; `watch` is told its name first.

    Raises:
        UserError: an architecture or a plug-in is not there, the images are too small for one, or one cannot be frozen.
    """
    for plugin in request.plugins:
        load_plugin(plugin)
    found = [find(name) for name in request.architectures]
    for architecture, _ in found:
        architecture.require_size(request.conditions.image_size)
    profiles = []
    for architecture, provider in found:
        watch(architecture.name)
        profiles.append(_profile(architecture, provider, request))
    return Profile(
        image_size=request.conditions.image_size,
        num_classes=request.num_classes,
        precision="fp32" if request.conditions.precision == "fp32" else "bf16",
        optimizer=request.conditions.recipe.optimizer,
        frozen=request.frozen,
        torch=str(torch.__version__),
        torchvision=metadata.version("torchvision"),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        architectures=tuple(profiles),
    )


def _profile(architecture: Architecture, provider: str, request: Request) -> ArchitectureProfile:
    conditions = request.conditions
    workload = Workload(
        architecture=architecture,
        request=ModelRequest(num_classes=request.num_classes, image_size=conditions.image_size),
        frozen=request.frozen,
    )
    absent: dict[str, str] = {}
    with torch.device("meta"):
        num_parameters, num_trainable = count_parameters(workload.build())
    tape = _or_absent(
        "memory",
        absent,
        lambda: record_tape(workload, partial(make_optimizer, conditions=conditions), autocast(conditions, _CPU)),
    )
    return ArchitectureProfile(
        architecture=architecture.name,
        provider=provider,
        num_parameters=num_parameters,
        num_trainable_parameters=num_trainable,
        forward_macs_per_image=_or_absent("flops", absent, lambda: forward_macs_per_image(workload)),
        training_flops_per_image=_or_absent("flops", absent, lambda: training_flops_per_image(workload)),
        legacy=_or_absent("legacy", absent, lambda: legacy_summary(workload)),
        published=_or_absent(
            "legacy", absent, lambda: legacy_summary(replace(workload, request=PUBLISHED, frozen=False))
        ),
        memory=tuple(tape.predict(size) for size in request.batch_sizes) if tape else (),
        largest_batch={memory: tape.largest_batch(memory * _GIGABYTE) for memory in request.memories} if tape else {},
        measured=_measured(architecture.name, request, absent),
        absent=absent,
    )


def _or_absent(field: str, absent: dict[str, str], find_out: Callable[[], Found]) -> Found | None:
    """The answer, or `None` and the reason."""
    try:
        return find_out()
    except UNTRACEABLE as error:
        absent[field] = f"the network cannot be traced: {type(error).__name__}: {error}"
        return None


def _measured(name: str, request: Request, absent: dict[str, str]) -> tuple[MeasuredMemory, ...]:
    if not torch.cuda.is_available():
        absent["measured"] = "no GPU"
        return ()
    return measure(
        Probe(
            architecture=name,
            plugins=tuple(map(str, request.plugins)),
            num_classes=request.num_classes,
            conditions=request.conditions,
            execution=choose_execution("cuda", threads=None, workers=0, cache=True),
            frozen=request.frozen,
            batch_sizes=request.batch_sizes,
        )
    )
