"""Two hosts whose locks do not exclude each other: one folder mounted twice, and processes with other host names."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intelbench.records.store import StoredRun
from intelbench.records.workspace import workspaces
from tests.cluster.conftest import Table
from tests.cluster.mounts import mounted_twice
from tests.cluster.slurm import wait
from tests.cluster.test_engines import Results, arguments, check, undisturbed

__all__ = ["undisturbed"]
pytestmark = pytest.mark.cluster
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


def on_host(number: int, *command: str | Path, log: Path | None = None) -> "subprocess.Popen[bytes]":
    """Start Python on a host."""
    words = ["unshare", "--uts", "sh", "-c", f'hostname host{number}; exec "$@"', "sh", sys.executable, *command]
    with (log or Path(os.devnull)).open("ab") as file:
        return subprocess.Popen(list(map(str, words)), stderr=file if log else None, start_new_session=True)


def test_a_run_is_held_by_one_host(hosts: tuple[Path, Path], tmp_path: Path, table: Table) -> None:
    """In each of 100 tries at the same time."""
    (tmp_path / "held").mkdir()
    processes = [
        on_host(number, "-c", HOLD_EACH_ONCE, mount / "runs", tmp_path / "held", str(TRIES))
        for number, mount in enumerate(hosts)
    ]
    assert [0, 0] == [process.wait(120) for process in processes]
    table.add("locks", f"{TRIES} tries of two hosts without common locks", "", 0, 0)


def test_no_draft_is_lost(hosts: tuple[Path, Path], table: Table) -> None:
    """While both hosts write drafts and clear away those of killed processes."""
    processes = [on_host(number, "-c", DRAFT, mount / "cache", str(number)) for number, mount in enumerate(hosts)]
    assert [0, 0] == [process.wait(120) for process in processes]
    assert 100 == len(list((hosts[0] / "cache").glob("*/file")))
    table.add("cache", "100 drafts of two hosts without common locks", "", 0, 0)


def session_on(number: int, mount: Path, results: Results, words: list[str | Path]) -> "subprocess.Popen[bytes]":
    """Start a session on a host."""
    log = results.folder / "said"
    return on_host(number, "-m", "intelbench", "run", *words, "--out", mount / "results", log=log)


def test_two_coordinators_on_two_hosts(
    hosts: tuple[Path, Path], tmp_path: Path, small_folder: Path, small_suite: Path,
    undisturbed: dict[int, StoredRun], table: Table,
) -> None:  # fmt: skip
    """Each run is made once."""
    results = Results(tmp_path, tmp_path / "shared" / "results", "local")
    words = arguments(tmp_path, small_folder, small_suite, "slow", "--seeds", "0,1")
    processes = [session_on(number, mount, results, words) for number, mount in enumerate(hosts)]
    assert [0, 0] == [process.wait(180) for process in processes], results.said()
    check(results, undisturbed, table, "two coordinators without common locks")


def test_a_lost_host(
    hosts: tuple[Path, Path], tmp_path: Path, small_folder: Path, small_suite: Path,
    undisturbed: dict[int, StoredRun], table: Table,
) -> None:  # fmt: skip
    """The other host takes over when the lease has ended, from the checkpoint, and not before."""
    results = Results(tmp_path, tmp_path / "shared" / "results", "local")
    words = arguments(tmp_path, small_folder, small_suite, "slow", "--seeds", "0,1")
    first = session_on(1, hosts[0], results, words)
    wait(lambda: any(space.checkpoint() for space in workspaces(results.path / "runs")), 120)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    killed = time.monotonic()
    assert 0 == session_on(2, hosts[1], results, words).wait(240), results.said()
    assert time.monotonic() - killed > 60
    check(results, undisturbed, table, "a host lost, without common locks")
