"""What a step on a GPU consists of: the same loop once more, after the run, under a clock that looks at every part.

Nothing of the run comes from these steps, and none of its timed steps was looked at like this. On a CPU the clock of
the run itself looks at every part, which takes some microseconds.
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
"""Fewest that are counted."""
_SECONDS = 2.0
"""What they may take, within that."""


def measure_step_breakdown(setup: TrainingSetup, step_seconds: float) -> Traces:
    """Train the network for a few more seconds on a GPU, and return the arrays `step_breakdown_*` of `traces.npz`.

    The two passes of a step that is replayed from a CUDA graph are one: the forward pass takes no time there, and the
    backward pass that of both.

    Args:
        setup: As training left it.
        step_seconds: What a step takes by the run's own account.
    """
    num_steps = int(min(max(_SECONDS / step_seconds, _MIN_STEPS), MAX_BREAKDOWN_STEPS))
    device = setup.evaluator.device
    # The first step has no optimizer state yet, and the steps before a capture are eager.
    num_warmup_steps = EAGER_STEPS if setup.evaluator.conditions.step == "graph" else 1

    def on_step(_: Step) -> None:
        """Begin the next step with nothing under way, so that the host's seconds are those of asking for its work."""
        device_of(device).synchronize()

    budget = TrainingBudget(total_steps=num_warmup_steps + num_steps, total_seconds=None)
    trained = train(setup.after_training(), budget, LapClock(device, every_part=True), on_step)
    names = ("step_breakdown_seconds", "step_breakdown_host_seconds")
    counted = {name: trained.traces[name][-num_steps:] for name in names}
    return {"step_breakdown_parts": trained.traces["step_breakdown_parts"], **counted}
