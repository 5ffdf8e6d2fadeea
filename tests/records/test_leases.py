"""A run is executed by one host at a time, also where the disk keeps the kernel's locks for each host alone.

The other host is a process with another host name; the kernel's lock is left out on this one.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from intelbench.records import leases, locks, workspace
from intelbench.records.store import write_run
from intelbench.records.workspace import Checkpoint, LostLeaseError, Workspace
from tests.reading import read_runs
from tests.synthetic import Study, synthetic_run

RECORD, TRACES = synthetic_run("resnet101", 0, Study())
RECORD_OF_A = msgspec.structs.replace(RECORD, run_id="a")
SECONDS = 1.5
OTHER_HOST = """
import socket, sys, time
from pathlib import Path
from intelbench.records import leases
from intelbench.records.workspace import LostLeaseError, Workspace
leases.LEASE_SECONDS = float(sys.argv[2])
socket.gethostname = lambda: "elsewhere"
with Workspace(Path(sys.argv[1]), "a").lock() as lock:
    print(lock is not None, flush=True)
    sys.stdin.readline()
    while not lock.is_lost():
        time.sleep(0.01)
    print("lost", flush=True)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return the workspace of a run on a disk without common locks, where leases are short."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", SECONDS)
    for module in (leases, workspace):
        monkeypatch.setattr(module, "hold", lambda path, shared=False: locks.Lock(lambda: None))
    return Workspace(tmp_path / "runs", "a")


@contextmanager
def other_host(run: Workspace) -> Iterator["subprocess.Popen[str]"]:
    """Hold the run on another host."""
    command = [sys.executable, "-c", OTHER_HOST, run.runs, str(SECONDS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "True" == process.stdout.readline().strip()
        try:
            yield process
        finally:
            process.kill()


def wait(condition: Callable[[], bool]) -> None:
    """Return when a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_free(run: Workspace) -> bool:
    """Return whether this host can lock the run, and look once."""
    with run.lock() as lock:
        return lock is not None


def test_another_host_has_the_run_while_it_lives(run: Workspace) -> None:
    """For longer than a lease, because it renews it; and a report says that the run is executed."""
    with other_host(run):
        until = time.monotonic() + 2 * SECONDS
        while time.monotonic() < until:
            assert not is_free(run)
            assert run.locked
            time.sleep(0.1)


def test_the_run_of_a_host_that_has_died_is_free_after_the_lease(run: Workspace) -> None:
    """Not before, because the host may only be out of reach; on the same host it is free at once."""
    with other_host(run) as process:
        process.kill()
        process.wait()
        started = time.monotonic()
        assert not is_free(run)
        wait(lambda: is_free(run))
        assert time.monotonic() - started >= SECONDS
    assert [] == list(run.runs.iterdir())


def test_a_host_that_was_paused_writes_nothing(run: Workspace) -> None:
    """It finds that it has lost the run, and leaves alone what belongs to the host that has taken it over."""
    claimed = {}
    with other_host(run) as process:
        claimed["there"] = (run.folder / "lease").read_bytes()
        process.send_signal(signal.SIGSTOP)
        wait(lambda: is_free(run))
        with run.lock() as lock:
            assert lock is not None
            claimed["here"] = lock.claim
            state = Checkpoint(step=3, done=0.5, spec=RECORD.spec, environment=RECORD.environment)
            run.save(state, lambda file: file.write(b"here"))
            process.send_signal(signal.SIGCONT)
            said, _ = process.communicate("\n", timeout=30)
            assert "lost\n" == said
            assert state == run.checkpoint()
            assert not lock.is_lost()
            with pytest.raises(LostLeaseError, match="another host has taken over the run"):
                Workspace(run.runs, "a", claimed["there"]).save(state, lambda file: file.write(b"there"))
            with pytest.raises(LostLeaseError):
                write_run(run.runs, RECORD_OF_A, TRACES, claimed["there"])
            assert [] == read_runs(run.runs)[0]
            write_run(run.runs, RECORD_OF_A, TRACES, claimed["here"])
    assert 1 == len(read_runs(run.runs)[0])
