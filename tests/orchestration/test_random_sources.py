"""Whatever a network draws from, the same spec gives the same bits: twice, resumed, and verified. In real processes."""

from pathlib import Path

import numpy as np

from intelbench.records.store import StoredRun
from tests.command import Command
from tests.reading import read_runs

DRAWS = '''
"""A network that draws from every generator when it is loaded, built, trained and evaluated."""

import os
import random

import numpy as np
import torch
from torch import nn

from intelbench import architecture

LOADED = random.random() + np.random.rand()


def drawn():
    return random.gauss(0, 1) + np.random.randn() + torch.randn(())


class Draws(nn.Module):
    def __init__(self, request):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2)
        self.last = nn.Linear(8, request.num_classes)
        for name in {name for name, _ in self.named_parameters()}:  # in the order of a set
            nn.init.normal_(self.get_parameter(name), std=0.1)
        self.shift = LOADED + random.random() + np.random.rand()
        self.calls = 0

    def forward(self, images):
        self.calls += self.training
        if self.calls == 5 and "RAISES" in os.environ:
            raise ValueError("once")
        return self.last(self.first(images).mean((2, 3)) + self.shift + drawn())


architecture("draws", minimum_size=16)(Draws)
'''


def the_run(results: Path) -> StoredRun:
    """The one that is recorded."""
    ((stored,), problems) = read_runs(results / "runs")
    assert [] == problems
    return stored


def test_a_network_that_draws_from_everything_is_reproduced(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path
) -> None:
    """Losses, predictions and logits of two runs and of one that was resumed are equal; `verify` says so too."""
    (tmp_path / "draws.py").write_text(DRAWS)
    arguments = ["run", "draws", "--plugin", "draws.py", "--suite", small_suite, "--data", small_folder, "--threads", 1]
    assert 0 == intelbench(*arguments, "--out", "a", env={"PYTHONHASHSEED": "1"}).returncode
    resumed = [*arguments, "--out", "b", "--checkpoint", "evaluations"]
    assert 1 == intelbench(*resumed, env={"RAISES": "1", "PYTHONHASHSEED": "2"}).returncode
    assert "once" in the_run(tmp_path / "b").record.failure.message
    done = intelbench(*resumed, "--rerun", "failed")
    assert 0 == done.returncode, done.stderr
    assert (3,) == the_run(tmp_path / "b").record.measurements.resumed_after
    one, other = (the_run(tmp_path / out).traces() for out in "ab")
    for name in ("step_loss", "gradient_norm", "validation_predictions", "train_logits", "test_logits"):
        assert np.array_equal(one[name], other[name]), name
    verified = intelbench("verify", the_run(tmp_path / "a").path, "--plugin", "draws.py")
    assert 0 == verified.returncode, verified.stderr + verified.stdout
    assert "steps 1 to 6" in verified.stdout
