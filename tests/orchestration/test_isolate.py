"""Whatever happens inside a run's process, one true record is left and the others go on. Real processes."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from intelbench.orchestration import isolate
from intelbench.records.store import StoredRun
from intelbench.records.workspace import workspaces
from tests.command import Command, at_phase, start, wait_for, wait_until_ended
from tests.conftest import PLUGIN
from tests.reading import read_runs


def records(results: Path) -> dict[str, StoredRun]:
    found, problems = read_runs(results / "runs")
    assert [] == problems
    assert [] == [path.name for path in (results / "runs").glob(".*")]
    return {stored.record.spec.architecture: stored for stored in found}


def test_every_way_to_fail_leaves_a_record_that_names_it(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """Exception, divergence, want of memory, kill, sudden exit: cause and step are right, and the last run succeeds."""
    names = ["raises", "diverges", "exhausts", "dies", "exits", "tiny"]
    done = intelbench("run", *names, "--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--threads", 1)
    assert 1 == done.returncode, done.stderr
    found = records(tmp_path / "results")
    assert {
        "raises": ("error", 2),
        "diverges": ("diverged", 2),
        "exhausts": ("out_of_memory", 2),
        "dies": ("killed", None),
        "exits": ("error", None),
        "tiny": None,
    } == {
        name: None
        if (failure := stored.record.failure) is None
        else (failure.cause, failure.step if name in ("raises", "diverges", "exhausts") else None)
        for name, stored in found.items()
    }
    line = PLUGIN.splitlines().index('    raise ValueError("the <network> has had enough")') + 1
    assert f"ValueError: the <network> has had enough (small.py:{line})" == found["raises"].record.failure.message
    assert "in fail" in found["raises"].record.failure.details
    assert "the training loss of step 3: not finite" == found["diverges"].record.failure.message
    assert (2,) == found["diverges"].traces()["step_loss"].shape
    assert "SIGKILL" in found["dies"].record.failure.message
    assert "status 7" in found["exits"].record.failure.message
    assert {name: name for name in names} == {name: found[name].record.profile.architecture for name in names}
    assert all(each.record.profile.measured[0].peak for each in found.values())
    assert "1 of 6 runs succeeded" in done.stderr
    for name in names[:-1]:
        assert f"{found[name].record.run_id}: " in done.stderr


def test_a_run_that_hangs_is_ended_at_its_time_out(
    tmp_path: Path,
    intelbench: Command,
    small_folder: Path,
    small_suite: Path,
    plugin: Path,
    time_out_at: Callable[[Path], None],
) -> None:
    """The record says `timeout`, how long it was, and what the run was doing."""
    time_out_at(plugin.with_name("hangs"))
    done = intelbench(
        "run", "hangs", "--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--timeout", "12 s"
    )  # fmt: skip
    assert 1 == done.returncode, done.stderr
    failure = records(tmp_path / "results")["hangs"].record.failure
    assert ("timeout", "not finished after 12 s while training") == (failure.cause, failure.message)


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_an_interrupt_ends_the_run_and_says_how_to_go_on(
    tmp_path: Path,
    intelbench: Command,
    small_folder: Path,
    small_suite: Path,
    plugin: Path,
    ending: signal.Signals,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within seconds, with the finished record kept, none for the interrupted run, and no process of it left."""
    monkeypatch.setattr(isolate, "_STOP_SECONDS", 0.5)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, as do its children
    hangs, forks, asked = plugin.with_name("hangs"), [], []
    hangs.unlink(missing_ok=True)

    def interrupt() -> None:
        while not hangs.exists():
            time.sleep(0.01)
        this = psutil.Process()
        forks.extend({*this.children(recursive=True)} - {*this.children()})
        asked.append(time.monotonic())
        os.kill(os.getpid(), ending)

    at_phase("training", interrupt, index=1)
    done = intelbench("run", "tiny", "hangs", "--suite", small_suite, "--data", small_folder, "--plugin", plugin)
    assert status == done.returncode
    assert time.monotonic() - asked[0] < 60  # it takes 1, and the network sleeps for 600
    assert ["tiny"] == list(records(tmp_path / "results"))
    assert "interrupted: 1 of 2 runs recorded" in done.stderr
    assert "the same command again executes the others" in done.stderr
    [run] = forks
    wait_until_ended(run.pid)


def test_a_run_does_not_outlive_a_killed_parent(
    tmp_path: Path, small_folder: Path, small_suite: Path, plugin: Path, command_variables: dict[str, str]
) -> None:
    """SIGKILL gives the parent no time to clean up; its child notices and ends too."""
    command = ["run", "hangs", "--suite", small_suite, "--data", small_folder, "--plugin", plugin]
    with start(command, tmp_path, command_variables) as process:
        wait_for("hangs, seed 0: step", process)
        children = psutil.Process(process.pid).children(recursive=True)
        assert 2 == len(children)  # the server and the run
        process.kill()
    wait_until_ended(*(child.pid for child in children))
    deadline = time.monotonic() + 60
    (left,) = workspaces(tmp_path / "results" / "runs")
    while left.locked:  # until the last thread of the child has ended
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not left.target.exists()


def test_a_run_that_takes_more_than_the_memory_limit_is_ended(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """Its record names the limit; the next run is as it would be without."""
    done = intelbench(
        "run", "hoards", "tiny", "--suite", small_suite, "--data", small_folder, "--plugin", plugin,
        "--memory-limit", "1.5GB",
    )  # fmt: skip
    assert 1 == done.returncode, done.stderr
    found = records(tmp_path / "results")
    failure = found["hoards"].record.failure
    assert "out_of_memory" == failure.cause
    assert failure.message.startswith("its process took 1.")
    assert failure.message.endswith("GB, and 1.5 GB is the memory limit while training")
    assert found["tiny"].record.measurements is not None


def test_a_record_stands_whatever_its_process_does_afterwards(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """A crash when everything is written is no failure of the run."""
    done = intelbench(
        "run", "crashes_late", "--suite", small_suite, "--data", small_folder, "--plugin", plugin
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    assert records(tmp_path / "results")["crashes_late"].record.measurements is not None
