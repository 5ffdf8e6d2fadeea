"""What saving a run costs, against writing as many bytes."""

from itertools import count
from pathlib import Path

import torch

from bench.conftest import Comparison
from bench.steps import CONDITIONS, REQUEST
from intelbench.architectures.registry import find
from intelbench.records.files import synced
from intelbench.records.workspace import Checkpoint, Workspace
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.optimizer import make_optimizer
from tests.reporting.synthetic import Study, synthetic_run


def test_checkpoint(comparison: Comparison, tmp_path: Path) -> None:
    """At most twice as long as a plain file of that size that is synced too."""
    model = find("resnet152")[0].build(REQUEST)
    optimizer = make_optimizer(model, CONDITIONS)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    record, _ = synthetic_run("resnet152", 0, Study())
    about = Checkpoint(step=0, done=0.0, spec=record.spec, environment=record.environment)
    workspace = Workspace(tmp_path, "a")
    checkpoints = Checkpoints(workspace, about, None)
    checkpoints.hold(model=model, optimizer=optimizer)

    step = count(1)

    def save() -> None:
        checkpoints.save(next(step), 0.5)
        assert checkpoints.problem is None

    def write() -> None:
        (state,) = workspace.folder.glob("state-*.pt")
        with synced(tmp_path / "plain") as file:
            file.write(bytes(state.stat().st_size))

    with workspace.lock():
        save()
        comparison.cost(comparison.in_turn(save, write, rounds=5), at_most=2.0)
