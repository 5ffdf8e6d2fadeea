"""Find out whether training steps of a network draw random numbers, as dropout and stochastic depth do."""

import torch

from intelbench.architectures.generators import Generators, preserve_generators
from intelbench.profiling.workload import Workload


def draws_random_numbers(workload: Workload) -> bool:
    """Return whether a forward pass in training mode, on the CPU, changes the state of any generator."""
    model = workload.build()
    with preserve_generators(), torch.no_grad():
        before = _state()
        workload.loss(model, *workload.batch())
        return _state() != before


def _state() -> dict[str, object]:
    state = Generators().state_dict()
    return {**state, "cpu": state["cpu"].numpy().tobytes()}
