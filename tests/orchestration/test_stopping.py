"""A run that a scheduler stops saves a checkpoint, leaves no record, and resumes to the same bits. Real processes."""

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from intelbench.records.workspace import workspaces
from tests.command import Command, at_phase, start, wait_for, wait_until_ended
from tests.reading import read_runs

SLOW = """
import time

from torch import nn

from intelbench import architecture


class Slow(nn.Sequential):
    def forward(self, images):
        time.sleep(0.1 if self.training else 0)
        return super().forward(images)


@architecture("slow", minimum_size=8)
def slow(request):
    layers = nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5)
    return Slow(*layers, nn.LazyLinear(request.num_classes))

"""
INTERRUPTING = """
from intelbench import RunListener, listener


@listener("interrupting")
class Interrupting(RunListener):
    def run_updated(self, index, progress):
        if progress.phase == "training":
            raise KeyboardInterrupt
"""
STEPS = 30


@pytest.fixture
def arguments(tmp_path: Path, small_folder: Path, small_suite: Path) -> list[str | Path]:
    """Train a network whose steps take a tenth of a second."""
    plugin = tmp_path / "slow.py"
    plugin.write_text(SLOW)
    return [
        "run", "slow", "--plugin", plugin, "--suite", small_suite, "--data", small_folder,
        "--budget", f"{STEPS} steps", "--threads", "1",
    ]  # fmt: skip


def saved_step(results: Path) -> int:
    """Return the steps completed in the checkpoint of the one run of a folder that has no record."""
    [workspace] = workspaces(results / "runs")
    checkpoint = workspace.checkpoint()
    assert checkpoint is not None
    return checkpoint.step


def traces(results: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the one run of a folder that do not depend on the clock."""
    [stored], problems = read_runs(results / "runs")
    assert [] == problems
    names = ("step_loss", "gradient_norm", "validation_predictions", "test_logits")
    return {name: stored.traces()[name] for name in names}


def test_a_run_that_is_terminated_continues_to_the_same_bits(
    arguments: list[str | Path], tmp_path: Path, intelbench: Command, command_variables: dict[str, str]
) -> None:
    """With every process signalled twice, as a scheduler does: exit status 75, no record, and a checkpoint."""
    results, whole = tmp_path / "results", tmp_path / "whole"
    with start(arguments, tmp_path, command_variables) as process:
        said = wait_for("slow, seed 0: step", process)
        processes = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert 3 == len(processes)  # the session, its server and the run
        for _ in range(2):
            for each in reversed(processes):
                each.send_signal(signal.SIGTERM)
        said += process.communicate(timeout=60)[1]
        wait_until_ended(*(each.pid for each in processes[1:]))
    assert (75, []) == (process.returncode, read_runs(results / "runs")[0]), said
    assert 1 <= saved_step(results) < STEPS
    assert "resumes from checkpoints" in said or "the same command again" in said
    for folder in (results, whole):
        done = intelbench(*arguments, "--out", folder)
        assert 0 == done.returncode, done.stderr
    resumed, undisturbed = traces(results), traces(whole)
    assert STEPS == len(resumed["step_loss"])
    for name, values in undisturbed.items():
        np.testing.assert_array_equal(values, resumed[name])


def test_without_checkpoints_nothing_is_saved(arguments: list[str | Path], tmp_path: Path, intelbench: Command) -> None:
    """`--checkpoint never` holds when the run is stopped, too."""
    at_phase("training", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert 75 == intelbench(*arguments, "--checkpoint", "never").returncode
    runs = tmp_path / "results" / "runs"
    assert ([], []) == (workspaces(runs), read_runs(runs)[0])


def test_ctrl_c_saves_a_checkpoint_too(
    arguments: list[str | Path], tmp_path: Path, command_variables: dict[str, str]
) -> None:
    """It reaches the session alone, because runs lead process groups of their own; no process is left."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, as do its children
    with start(arguments, tmp_path, command_variables) as process:
        wait_for("slow, seed 0: step", process)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        wait_until_ended(*(child.pid for child in children))
    assert 130 == process.returncode
    assert saved_step(tmp_path / "results") >= 1


def test_ctrl_c_while_the_run_is_looked_at_saves_a_checkpoint_too(
    arguments: list[str | Path], tmp_path: Path, intelbench: Command
) -> None:
    """As it does while the session waits."""
    plugin = tmp_path / "interrupting.py"
    plugin.write_text(INTERRUPTING)
    assert 130 == intelbench(*arguments, "--plugin", plugin).returncode
    assert saved_step(tmp_path / "results") >= 1
