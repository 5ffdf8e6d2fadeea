"""Time saving a checkpoint against writing a file of its size."""

from itertools import count
from pathlib import Path

import pytest
import torch

from bench.comparison import Comparison, timed
from bench.steps import CONDITIONS, REQUEST, checkpoints_of
from intelbench.architectures.registry import find
from intelbench.records.files import synced
from intelbench.records.workspace import Workspace
from intelbench.training.optimizer import make_optimizer


@pytest.mark.allowance(seconds=25)
def test_checkpoint(comparison: Comparison, tmp_path: Path) -> None:
    """Saving takes at most twice as long as writing and syncing a plain file of the same size."""
    model = find("resnet152")[0].build(REQUEST)
    optimizer = make_optimizer(model, CONDITIONS)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    workspace = Workspace(tmp_path, "a")
    checkpoints = checkpoints_of(workspace)
    checkpoints.add(model=model, optimizer=optimizer)

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
        comparison.cost(timed(save), timed(write), at_most=2.0)
