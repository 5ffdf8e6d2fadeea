"""What the other processes of a run on several devices do, while rank 0 executes the run."""

import os

from intelbench.orchestration.execute import evaluate_trained, prepare_training
from intelbench.orchestration.job import Job
from intelbench.profiling.environment import read_environment
from intelbench.profiling.memory import MemoryMeter
from intelbench.profiling.steps import LapClock
from intelbench.records.workspace import Checkpoint
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.loop import train
from intelbench.training.precision import configure
from intelbench.training.ranks import Ranks
from intelbench.training.step_breakdown import measure_step_breakdown


def assist(job: Job) -> None:
    """Train the shards of this process, evaluate its part of the images, and measure its memory.

    Raises:
        Exception: the run cannot go on; rank 0 may wait for this process.
    """
    spec = job.spec
    environment = read_environment(spec.execution)
    device = configure(spec.conditions, spec.execution.of_rank(job.rank))
    ranks = Ranks.join(job.workspace.store, job.rank, spec.execution.gpus, device)
    memory = MemoryMeter(device)
    setup, budget, _ = prepare_training(job, environment, device, ranks, lambda: None)
    ranks.gather(os.getpid())
    about = Checkpoint(step=0, done=0.0, spec=spec, environment=environment)
    checkpoints = Checkpoints(job.workspace, about, "never", device)
    trained = train(setup, budget, LapClock(device), lambda _: None, checkpoints)
    if trained.divergence:
        return
    ranks.facts(device, memory.read())
    evaluate_trained(job, setup.evaluator)
    if "step_breakdown_seconds" not in trained.traces:
        measure_step_breakdown(setup, trained.seconds / trained.num_steps)
