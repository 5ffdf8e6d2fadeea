"""One process at a time has a lock, which is released when the process exits, with `flock` and with `filelock`."""

import subprocess
import sys
from pathlib import Path

import pytest

from intelbench.records import locks
from intelbench.records.locks import hold

HOLDER = """
import sys
from pathlib import Path
from intelbench.records import locks
locks.HAS_FLOCK = sys.argv[2] == "True"
lock = locks.hold(Path(sys.argv[1]))
print(lock is not None, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=[True, False], ids=["flock", "filelock"])
def has_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return whether Python has `fcntl`."""
    monkeypatch.setattr(locks, "HAS_FLOCK", request.param)
    return bool(request.param)


@pytest.fixture(params=["file", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the path that is locked: a file or a folder."""
    path = tmp_path / str(request.param)
    path.mkdir() if request.param == "folder" else path.touch()
    return path


@pytest.mark.usefixtures("has_flock")
def test_one_alone_holds_a_lock(place: Path) -> None:
    """A second process gets neither an exclusive nor a shared lock until the first releases it."""
    lock = hold(place)
    assert lock is not None
    assert hold(place) is None
    assert hold(place, shared=True) is None
    lock.release()
    again = hold(place, wait=True)
    assert again is not None
    again.release()


def test_the_lock_of_a_killed_process_is_free(has_flock: bool, place: Path) -> None:
    """SIGKILL releases the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, place, str(has_flock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert "True" == holder.stdout.readline().strip()
        assert hold(place) is None
        holder.kill()
        holder.wait()
    lock = hold(place)
    assert lock is not None
    lock.release()


@pytest.mark.usefixtures("has_flock")
def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A missing path is an error, and no file is created."""
    with pytest.raises(FileNotFoundError):
        hold(tmp_path / "nothing")
    assert [] == list(tmp_path.iterdir())
