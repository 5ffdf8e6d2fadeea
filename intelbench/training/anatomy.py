"""What a training step consists of: the same loop once more, after the run, under a clock that looks at every part.

Nothing of the run comes from these steps, and none of its timed steps was looked at like this.
"""

import numpy as np
from torch import nn

from intelbench.architectures.registry import Architecture
from intelbench.data.dataset import Split
from intelbench.data.stream import BatchSource
from intelbench.profiling.device import device_of
from intelbench.profiling.steps import ANATOMY, PARTS, LapClock
from intelbench.records.store import Traces
from intelbench.training.backbone import Backbone
from intelbench.training.budget import Progress
from intelbench.training.evaluate import Evaluator
from intelbench.training.loop import Step, train
from intelbench.training.passes import EAGER_STEPS

_WARMUP_STEPS = {"eager": 1, "graph": EAGER_STEPS + 1, "compile": 1}
"""Steps that are not counted, by what the conditions say of a step: the first has no optimizer state yet, those before
a capture are eager, and a preparation is in the time of the step that it is made for."""
_STEPS = (3, 30)
"""Fewest and most that are counted, in one run; the report puts those of all seeds together."""
_SECONDS = 2.0
"""What they may take, within that."""
_NO_IMAGES = Split((), (), ())


def dissect(
    model: nn.Module,
    architecture: Architecture,
    stream: BatchSource,
    evaluator: Evaluator,
    *,
    workers: int,
    step_seconds: float,
    backbone: Backbone | None = None,
) -> Traces:
    """Train the network on for a few seconds, and return the arrays `anatomy_*` of `traces.npz`.

    `step_seconds` is what a step takes, by the run's own account. The two passes of a step that is replayed from a CUDA
    graph are one: the forward pass takes no time there, and the backward pass that of both.
    """
    fewest, most = _STEPS
    num_steps = int(min(max(_SECONDS / step_seconds, fewest), most))
    device = evaluator.device
    clock = LapClock(device, ANATOMY)
    warmup_steps = _WARMUP_STEPS[evaluator.conditions.step]
    progress = Progress(total_steps=warmup_steps + num_steps, total_seconds=None)

    def watch(_: Step) -> None:
        """Begin the next step with nothing under way, so that the host's seconds are those of asking for its work."""
        device_of(device).synchronize()

    train(
        model,
        architecture,
        stream,
        _NO_IMAGES,
        evaluator,
        progress,
        clock=clock,
        workers=workers,
        watch=watch,
        backbone=backbone,
    )
    counted = slice(warmup_steps, None)
    traces: dict[str, np.ndarray] = {
        "anatomy_parts": np.array(PARTS),
        "anatomy_seconds": np.stack([clock.seconds(part) for part in PARTS], axis=1)[counted],
    }
    if device_of(device).has_events:
        traces["anatomy_host_seconds"] = np.stack([clock.host_seconds(part) for part in PARTS], axis=1)[counted]
    return traces
