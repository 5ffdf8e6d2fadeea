"""A plug-in file adds an engine, which executes the runs of a session that names it."""

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from intelbench.config.pool import Pool
from intelbench.errors import UserError
from intelbench.orchestration.devices import Local
from intelbench.orchestration.engines import ENGINES, NamedEngine, engine
from intelbench.records.store import StoredRun
from tests.command import Command, at_phase, start, wait_for, wait_until_ended
from tests.orchestration.test_stopping import SLOW, STEPS
from tests.reading import read_runs

PLUGIN = Path(__file__).with_name("engine.py")


@pytest.fixture
def slow(tmp_path: Path, small_folder: Path, small_suite: Path) -> list[str | Path]:
    """Have the engine train a network whose steps take a tenth of a second."""
    (tmp_path / "slow.py").write_text(SLOW)
    return [
        "run", "slow", "--suite", small_suite, "--data", small_folder, "--plugin", tmp_path / "slow.py",
        "--plugin", PLUGIN, "--on", "nice", "--budget", f"{STEPS} steps", "--threads", "1",
    ]  # fmt: skip


def runs(folder: Path) -> list[StoredRun]:
    """Return the records of a results folder, which holds nothing else."""
    stored, problems = read_runs(folder / "runs")
    assert [] == problems
    assert len(stored) == len(list((folder / "runs").iterdir()))
    return stored


def test_a_plugin_adds_an_engine(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """Its runs are at work at once, show their progress, and leave the same records as with `local`; one is killed."""
    arguments = ("--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--threads", 1)
    done = intelbench("run", "tiny", "dies", *arguments, "--plugin", PLUGIN, "--on", "nice", "--out", "nice")
    assert 1 == done.returncode, done.stderr
    assert done.stderr.index("[2/2] dies, seed 0: starting") < done.stderr.index("[1/2] tiny, seed 0: done in")
    assert "[1/2] tiny, seed 0: step " in done.stderr
    dies, tiny = runs(tmp_path / "nice")
    assert "killed" == dies.record.failure.cause
    assert dies.record.failure.message.startswith("the process was killed by SIGKILL while ")
    assert 0 == intelbench("run", "tiny", *arguments, "--out", "local").returncode
    (local,) = runs(tmp_path / "local")
    assert (1, 2) == (local.record.spec.execution.slots, tiny.record.spec.execution.slots)
    assert tiny.record.stream_digests == local.record.stream_digests
    assert np.array_equal(tiny.traces()["step_loss"], local.traces()["step_loss"])


def test_an_interrupt_cancels_what_an_engine_has_started(
    tmp_path: Path, intelbench: Command, slow: list[str | Path]
) -> None:
    """No process is left, and no record of an interrupted run."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, as do its children
    processes = []

    def interrupt() -> None:
        processes.extend(started_by(psutil.Process()))
        os.kill(os.getpid(), signal.SIGINT)

    at_phase("training", interrupt)
    done = intelbench(*slow, "--checkpoint", "never")
    assert 130 == done.returncode
    assert "interrupted: 0 of 1 run recorded" in done.stderr
    wait_until_ended(*(process.pid for process in processes))
    assert [] == list((tmp_path / "results" / "runs").iterdir())


def started_by(session: psutil.Process) -> list[psutil.Process]:
    """Return the processes that the engine has started for a run of a session: the worker, its server and the run."""
    [worker] = [child for child in session.children() if "work" in child.cmdline()]
    processes = [worker, *worker.children(recursive=True)]
    assert 3 == len(processes)
    return processes


def test_a_worker_outlives_its_session_and_one_that_is_stopped_is_started_again(
    tmp_path: Path, intelbench: Command, slow: list[str | Path], command_variables: dict[str, str]
) -> None:
    """The next session waits for the worker of a killed one; its run continues from the checkpoint."""
    with start(slow, tmp_path, command_variables) as first:
        wait_for("slow, seed 0: step", first)
        worker, *processes = started_by(psutil.Process(first.pid))
        for process in processes:
            process.suspend()  # so that the run has not ended when the second session looks
        first.kill()

    def stop() -> None:
        worker.terminate()
        for process in processes:
            process.resume()

    at_phase("waiting", stop)
    second = intelbench(*slow)
    assert 0 == second.returncode, second.stderr
    assert "slow, seed 0: resumes after step" in second.stderr
    [run] = runs(tmp_path / "results")
    assert run.record.measurements is not None
    assert 1 == len(run.record.measurements.resumed_after)


def test_an_unknown_engine_is_answered_with_the_nearest(intelbench: Command, small_folder: Path) -> None:
    """Before data are read."""
    done = intelbench("run", "--on", "nicer", "--plugin", PLUGIN, "--data", small_folder)
    assert (2, "") == (done.returncode, done.stdout)
    assert "intelbench: engine 'nicer' is not known. " in done.stderr
    assert "nice" in done.stderr.partition("is not known. ")[2]


def test_an_engine_that_cannot_be_made_is_named() -> None:
    """Whatever its factory raises; and one without slots could never start a run."""

    @engine("broken")
    def broken() -> Local:
        raise OSError("no scheduler here")

    @engine("full")
    class Full(Local):
        slots = 0

    @engine("endless")
    class Endless:
        slots = 1

        def start(self, unit: object) -> None:
            return None

    with pytest.raises(UserError, match=r"^engine 'endless': .*Endless has no has_ended, cancel. Expected the methods"):
        NamedEngine(Pool(engine="endless"))
    with pytest.raises(
        UserError, match=r"^engine 'broken': failed with OSError: no scheduler here \(test_engine\.py:\d+\)$"
    ):
        NamedEngine(Pool(engine="broken"))
    with pytest.raises(UserError, match=r"^engine 'full': failed with ValueError: slots is 0. Expected how many runs"):
        NamedEngine(Pool(engine="full"))
    assert {"broken", "full", "local"} <= ENGINES.providers().keys()
