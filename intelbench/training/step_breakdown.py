"""The step breakdown on a GPU: the time of each part of a step, measured in more steps after the run.

Measuring the parts slows a GPU's step down, so the steps of the run are timed without it. On a CPU it takes some
microseconds, so the clock of the run measures the parts of its own steps.
"""

from intelbench.profiling.device import device_of
from intelbench.profiling.steps import LapClock
from intelbench.records.store import Traces
from intelbench.training.budget import TrainingBudget
from intelbench.training.journal import MAX_BREAKDOWN_STEPS
from intelbench.training.loop import Step, train
from intelbench.training.passes import EAGER_STEPS
from intelbench.training.setup import TrainingSetup

_MIN_STEPS = 3
_SECONDS = 2.0
"""Time for all measured steps, if `_MIN_STEPS` and `MAX_BREAKDOWN_STEPS` allow it."""


def measure_step_breakdown(setup: TrainingSetup, step_seconds: float) -> Traces:
    """Train the network for some more steps on a GPU, and return the arrays `step_breakdown_*` of `traces.npz`.

    A step that is replayed from a CUDA graph has no time for the forward pass; the time of its backward pass is that of
    both passes. `step_seconds` is the mean time of a step of the run.
    """
    num_steps = int(min(max(_SECONDS / step_seconds, _MIN_STEPS), MAX_BREAKDOWN_STEPS))
    device = setup.evaluator.device
    # The first step creates the state of the optimizer, and the steps before a capture are eager.
    num_warmup_steps = EAGER_STEPS if setup.evaluator.conditions.step == "graph" else 1

    def on_step(_: Step) -> None:
        """Wait for the GPU, so that the host's seconds of the next step are the time for launching its kernels."""
        device_of(device).synchronize()

    budget = TrainingBudget(total_steps=num_warmup_steps + num_steps, total_seconds=None)
    trained = train(setup.after_training(), budget, LapClock(device, every_part=True), on_step)
    names = ("step_breakdown_seconds", "step_breakdown_host_seconds")
    measured = {name: trained.traces[name][-num_steps:] for name in names}
    return {"step_breakdown_parts": trained.traces["step_breakdown_parts"], **measured}
