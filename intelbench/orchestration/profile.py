"""`intelbench profile`: parameters, operations and memory of networks, without training."""

from collections.abc import Callable
from importlib import metadata

import msgspec
import torch

from intelbench.architectures.registry import contained_unless_built_in, find, plugins_of
from intelbench.config.requests import ProfileRequest
from intelbench.errors import UserError
from intelbench.orchestration.probe import Probe, describe, probe_in_process
from intelbench.orchestration.process import FreshPython, Limits, can_start
from intelbench.plugins.loading import load_plugins
from intelbench.profiling.device import find_device
from intelbench.profiling.environment import choose_execution
from intelbench.profiling.variables import process_variables
from intelbench.records.profiles import ArchitectureProfile, Profile
from intelbench.training.optimizer import require_optimizer


def profile(request: ProfileRequest, on_architecture: Callable[[str], None]) -> Profile:
    """Profile each architecture, after a call of `on_architecture` with its name.

    Failures are part of the result.

    Raises:
        UserError: an architecture, an optimizer or a plug-in is not known.
    """
    load_plugins(request.plugins)
    require_optimizer(request.conditions.recipe)
    profiles, failures = [], {}
    for architecture in dict.fromkeys(find(name)[0] for name in request.architectures):
        on_architecture(architecture.name)
        try:
            architecture.require_installed()
            architecture.require_size(request.image_size)
            profiles.append(_profile(architecture.name, request))
        except UserError as error:
            failures[architecture.name] = str(error)
    return Profile(
        image_size=request.image_size,
        num_classes=request.num_classes,
        precision=request.precision,
        optimizer=request.optimizer,
        frozen=request.frozen,
        torch=str(torch.__version__),
        torchvision=metadata.version("torchvision"),
        gpu=find_device("auto").name,
        architectures=tuple(profiles),
        failures=failures,
    )


def _profile(name: str, request: ProfileRequest) -> ArchitectureProfile:
    """Profile in this process, which has imported PyTorch, unless there is a GPU to measure on."""
    has_gpu = find_device("auto").kind != "cpu"
    probe = Probe(
        architecture=name,
        plugins=plugins_of(name),
        num_classes=request.num_classes,
        conditions=request.conditions,
        execution=choose_execution("auto", threads=None, workers=0, cache=True),
        frozen=request.frozen,
        batch_sizes=request.batch_sizes,
        memories=request.memories,
    )
    if has_gpu and can_start():
        return probe_in_process(probe, FreshPython(process_variables(probe.execution.threads)), Limits())
    with contained_unless_built_in(name):
        described = describe(probe)
    why = "this system cannot start a process for the measurement" if has_gpu else "no GPU"
    return msgspec.structs.replace(described, absent=described.absent | {"measured": why})
