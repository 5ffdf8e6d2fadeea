"""Compiled passes give the results of eager ones, or are replaced by eager ones with a reason."""

import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.config.budget import Budget
from tests.training.conftest import Train, assert_same
from tests.training.test_passes import STEPS, count, preparation, wrapped


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"frozen_steps": 5, "heads": ("6",)}], ids=str)
def test_compiling_changes_nothing_and_takes_no_time_of_a_step(
    run_training: Train,
    monkeypatch: pytest.MonkeyPatch,
    pass_time: Callable[[float], None],
    changes: dict[str, Any],
) -> None:
    """The time is recorded separately; names, batch norm and random numbers are those of eager steps."""

    def compile_slowly(function: Callable[..., Tensor], dynamic: bool) -> Callable[..., Tensor]:
        assert not dynamic
        shapes = set()

        def compiled(inputs: Tensor, labels: Tensor) -> Tensor:
            if inputs.shape not in shapes:
                pass_time(1000)
            shapes.add(inputs.shape)
            return function(inputs, labels)

        return compiled

    changes = {"budget": Budget(steps=STEPS), **changes}
    eager = run_training(**changes)
    monkeypatch.setattr(torch, "compile", compile_slowly)
    compiled = run_training(step="compile", **changes)
    assert_same(eager, compiled)
    num_prepared = 2 if "heads" in changes else 1
    assert (num_prepared, None) == (preparation(compiled).num_prepared, preparation(compiled).fallback)
    assert preparation(compiled).seconds > 1000 * num_prepared
    for name in ("step_seconds", "data_wait_seconds", "evaluation_seconds", "step_breakdown_seconds"):
        assert compiled.trained.traces[name].max() < 1000


def test_a_network_that_is_not_compiled_is_trained_as_if_that_had_not_been_tried(
    run_training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has the bits of eager steps, and the reason is one line."""

    def compile_halfway(function: Callable[..., Tensor], dynamic: bool) -> Callable[..., Tensor]:
        def compiled(*batch: Tensor) -> Tensor:
            function(*batch).backward()
            raise RuntimeError("\nthe backend raised:\nno C++ compiler\x1b\n\nSet TORCHDYNAMO_VERBOSE=1")

        return compiled

    eager = run_training(wrapped(count), budget=Budget(steps=STEPS))
    monkeypatch.setattr(torch, "compile", compile_halfway)
    compiled = run_training(wrapped(count), budget=Budget(steps=STEPS), step="compile")
    assert_same(eager, compiled)
    assert (0, r"RuntimeError: the backend raised: no C++ compiler\x1b") == (
        preparation(compiled).num_prepared, preparation(compiled).fallback,
    )  # fmt: skip


def without_dropout(request: ModelRequest) -> nn.Module:
    """Return a network whose losses do not depend on random numbers."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, request.num_classes),
    )  # fmt: skip


SURE = Architecture(name="sure", build=without_dropout, minimum_size=16)


@pytest.mark.parametrize("changes", [{}, {"frozen_steps": 5, "heads": ("5",)}], ids=str)
def test_a_compilation_is_used_from_the_first_step_to_the_last(
    run_training: Train, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """PyTorch does not compile again because of the hooks of an evaluation, or a step of the optimizer.

    PyTorch's compiler traces the passes, but generates no code.
    """
    graphs: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        graphs.append(len(steps))
        return graph.forward

    steps: list[int] = []
    traced = partial(torch.compile, backend=backend)
    changes = {"budget": Budget(steps=STEPS), "evaluation_points": 4, **changes}
    eager = run_training(SURE, **changes)
    monkeypatch.setattr(torch, "compile", traced)
    compiled = run_training(SURE, step="compile", on_step=steps.append, **changes)
    assert_same(eager, compiled)
    assert ([0, 5] if "heads" in changes else [0]) == graphs
    assert len(graphs) == preparation(compiled).num_prepared


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_learns_as_an_eager_one(run_training: Train) -> None:
    """With PyTorch's compiler, losses are equal up to rounding, and the names of weights are equal.

    Vector instructions and compiled headers are off, because testing for them takes most of the time.
    """
    head = Architecture(name="head", build=lambda request: nn.Sequential(nn.Flatten(), nn.Linear(768, 2)))
    from torch._inductor import config as inductor  # takes two seconds

    with inductor.patch({"cpp.simdlen": 1, "cpp_cache_precompile_headers": False}):
        eager, compiled = (run_training(head, step=step, evaluation_points=1) for step in ("eager", "compile"))
    assert (1, None) == (preparation(compiled).num_prepared, preparation(compiled).fallback)
    np.testing.assert_allclose(compiled.trained.traces["step_loss"], eager.trained.traces["step_loss"], rtol=1e-4)
    assert list(eager.model.state_dict()) == list(compiled.model.state_dict())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_network_on_a_gpu_learns_as_an_eager_one(run_training: Train, precision: str) -> None:
    """The losses are equal up to rounding."""
    changes = {"device": "cuda", "precision": precision, "budget": Budget(steps=STEPS)}
    eager, compiled = (run_training(SURE, step=step, **changes) for step in ("eager", "compile"))
    assert preparation(compiled).fallback is None
    tolerance = 1e-3 if precision == "fp32" else 0.05
    np.testing.assert_allclose(compiled.trained.traces["step_loss"], eager.trained.traces["step_loss"], rtol=tolerance)
