"""Two hosts whose locks do not exclude each other: one folder mounted twice, and processes with other host names."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intelbench.records.locks import hold
from intelbench.records.workspace import workspaces
from tests.cluster.conftest import Table, Undisturbed
from tests.cluster.mounts import mounted_twice
from tests.cluster.sessions import Results, arguments
from tests.cluster.slurm import wait

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("local")]
TRIES = 100
HOLD_EACH_ONCE = """
import os, sys, time
from pathlib import Path
from intelbench.records.workspace import Workspace
runs, held, tries = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for number in range(tries):
    while True:
        with Workspace(runs, str(number)).lock() as lock:
            if lock is not None:
                os.close(os.open(held / str(number), os.O_CREAT | os.O_EXCL))
                time.sleep(0.01)
                (held / str(number)).unlink()
                break
        time.sleep(0.002)
"""
DRAFT = """
import sys
from pathlib import Path
from intelbench.records.atomic import clear_drafts, draft_of
folder, number = Path(sys.argv[1]), sys.argv[2]
for turn in range(50):
    with draft_of(folder / f"{number}-{turn}") as draft:
        clear_drafts(folder)
        (draft / "file").write_text("x")
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Return one folder as two hosts see it."""
    if os.getuid():
        pytest.skip("only root gives a process another host name")
    (tmp_path / "shared").mkdir()
    with mounted_twice(tmp_path / "shared", tmp_path) as mounts:
        yield mounts


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Return what sessions on the hosts leave, without an engine."""
    return Results(tmp_path, tmp_path / "shared" / "results", "local")


@pytest.fixture
def words(tmp_path: Path, small_folder: Path, small_suite: Path) -> list[str | Path]:
    """Return the arguments of a session of two runs."""
    return ["slow", *arguments(tmp_path, small_folder, small_suite)]


def on_host(number: int, *command: str | Path, log: Path | None = None) -> "subprocess.Popen[bytes]":
    """Start Python on a host."""
    words = ["unshare", "--uts", "sh", "-c", f'hostname host{number}; exec "$@"', "sh", sys.executable, *command]
    with (log or Path(os.devnull)).open("ab") as file:
        return subprocess.Popen(list(map(str, words)), stderr=file if log else None, start_new_session=True)


def test_locks_alone_do_not_exclude(hosts: tuple[Path, Path]) -> None:
    """Those of the kernel; so these tests are about leases."""
    (hosts[0] / "file").touch()
    locks = [hold(mount / "file") for mount in hosts]
    assert all(locks)
    assert hold(hosts[0] / "file") is None
    for lock in filter(None, locks):
        lock.release()


def test_a_run_is_held_by_one_host(hosts: tuple[Path, Path], tmp_path: Path) -> None:
    """In each of 100 tries at the same time."""
    (tmp_path / "held").mkdir()
    processes = [
        on_host(number, "-c", HOLD_EACH_ONCE, mount / "runs", tmp_path / "held", str(TRIES))
        for number, mount in enumerate(hosts)
    ]
    assert [0, 0] == [process.wait(120) for process in processes]


def test_no_draft_is_lost(hosts: tuple[Path, Path]) -> None:
    """While both hosts write drafts and clear away those of killed processes."""
    processes = [on_host(number, "-c", DRAFT, mount / "cache", str(number)) for number, mount in enumerate(hosts)]
    assert [0, 0] == [process.wait(120) for process in processes]
    assert 100 == len(list((hosts[0] / "cache").glob("*/file")))


def session_on(number: int, mount: Path, results: Results, words: list[str | Path]) -> "subprocess.Popen[bytes]":
    """Start a session on a host."""
    log = results.folder / "said"
    return on_host(number, "-m", "intelbench", "run", *words, "--out", mount / "results", log=log)


def test_two_coordinators_on_two_hosts(
    hosts: tuple[Path, Path], results: Results, words: list[str | Path], undisturbed: Undisturbed, table: Table
) -> None:
    """Each run is made once."""
    processes = [session_on(number, mount, results, words) for number, mount in enumerate(hosts)]
    assert [0, 0] == [process.wait(180) for process in processes], results.said()
    table.check(results, undisturbed, "two coordinators without common locks")


def test_a_lost_host(
    hosts: tuple[Path, Path], results: Results, words: list[str | Path], undisturbed: Undisturbed, table: Table
) -> None:
    """The other host takes over when the lease has ended, from the checkpoint, and not before."""
    first = session_on(1, hosts[0], results, words)
    wait(lambda: any(space.checkpoint() for space in workspaces(results.path / "runs")), 120)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    killed = time.monotonic()
    assert 0 == session_on(2, hosts[1], results, words).wait(240), results.said()
    assert time.monotonic() - killed > 60
    table.check(results, undisturbed, "a host lost, without common locks")
