"""An unfinished run is locked while a process executes it, and can be resumed from what the process leaves."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec
import pytest

from intelbench.errors import UserError
from intelbench.records import leases
from intelbench.records.locks import Lock, hold
from intelbench.records.store import read_run, write_run
from intelbench.records.workspace import Checkpoint, Workspace, describe_unfinished, workspaces
from tests.synthetic import Study, synthetic_run

RECORD, TRACES = synthetic_run("resnet101", 0, Study())
HOLDER = """
import sys, time
from pathlib import Path
from intelbench.records.workspace import Workspace
with Workspace(Path(sys.argv[1]), "a").lock() as lock:
    print("free" if lock is not None else "held", flush=True)
    sys.stdin.read()
"""


def checkpoint(step: int) -> Checkpoint:
    """Return a checkpoint after this number of steps."""
    return Checkpoint(step=step, done=0.5, spec=RECORD.spec, environment=RECORD.environment)


def write(file: BinaryIO) -> None:
    """Write some state."""
    file.write(b"state")


def fail(file: BinaryIO) -> None:
    """Write half of the state, then fail."""
    file.write(b"sta")
    raise OSError(28, "No space left on device")


def names(folder: Path) -> list[str]:
    """Return the names of all entries of a folder, sorted."""
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return the workspace of a run that has not started."""
    return Workspace(tmp_path / "runs", "a")


def test_one_alone_holds_the_lock_and_nothing_is_left(workspace: Workspace) -> None:
    """This holds within a process and between two; afterwards the folder is removed."""
    with workspace.lock() as first:
        assert first is not None
        assert workspace.locked
        with workspace.lock() as second:
            assert second is None
    assert not workspace.locked
    assert [] == list(workspace.runs.iterdir())


def test_a_report_that_looks_does_not_hold_the_lock(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report looks for a moment whether a run is executed: a run that begins then is not locked by it."""
    hold_everywhere, looked = leases.hold_everywhere, []

    def while_a_report_looks(file: Path, lease: Path) -> Lock | None:
        if looked:
            return hold_everywhere(file, lease)
        look = hold(file, shared=True)
        assert look is not None
        looked.append(hold_everywhere(file, lease))
        look.release()
        return looked[0]

    monkeypatch.setattr("intelbench.records.workspace.hold_everywhere", while_a_report_looks)
    with workspace.lock() as lock:
        assert lock is not None
    assert [None] == looked


def test_a_look_at_a_run_writes_nothing(workspace: Workspace) -> None:
    """Several reports may look at once, also in a folder that they cannot write, at what a killed process has left."""
    with workspace.lock():
        left = (workspace.folder / "lease").read_bytes()
    workspace.folder.mkdir()
    (workspace.folder / "lock").touch()
    (workspace.folder / "lease").write_bytes(left)
    assert not workspace.locked
    assert left == (workspace.folder / "lease").read_bytes()
    (workspace.folder / "lease").write_bytes(b"elsewhere 0123")
    assert workspace.locked
    assert b"elsewhere 0123" == (workspace.folder / "lease").read_bytes()


def test_the_lock_of_a_killed_process_is_free(workspace: Workspace) -> None:
    """SIGKILL releases the lock; while the process lives no other process gets it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, workspace.runs], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert "free" == holder.stdout.readline().strip()
        with workspace.lock() as lock:
            assert lock is None
        holder.kill()
        holder.wait()
    with workspace.lock() as lock:
        assert lock is not None
    assert not workspace.folder.exists()


def test_a_child_that_has_the_descriptor_keeps_the_run_locked(workspace: Workspace) -> None:
    """The child keeps the lock if its parent is killed, but not if its parent releases it."""
    with workspace.lock() as lock:
        assert lock is not None
        (descriptor,) = lock.inheritable
        inherited = os.dup(descriptor)
        os.close(descriptor)
        assert workspace.locked
        os.dup2(inherited, descriptor)
    os.close(inherited)
    assert not workspace.locked


def test_a_lock_that_was_removed_while_it_was_opened_is_none(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process removes the folder between opening and locking, the lock is taken on the new file."""
    flock = fcntl.flock
    removed = []

    def remove_then_lock(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append((workspace.folder / "lock").unlink())
            workspace.folder.rmdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_then_lock)
    with workspace.lock() as lock:
        assert lock is not None
        assert os.path.samestat(os.fstat(*lock.inheritable), (workspace.folder / "lock").stat())


def test_a_checkpoint_takes_the_place_of_the_last(workspace: Workspace) -> None:
    """It stays when the lock is released; without a checkpoint the folder is removed."""
    assert workspace.checkpoint() is None
    with workspace.lock():
        workspace.save(checkpoint(3), write)
        workspace.save(checkpoint(5), write)
        assert ["checkpoint.json", "lease", "lock", "state-5.pt"] == names(workspace.folder)
    assert checkpoint(5) == workspace.checkpoint()
    with workspace.lock():
        workspace.discard_checkpoint()
        assert workspace.checkpoint() is None
    assert not workspace.folder.exists()


def test_a_checkpoint_that_finds_no_room_leaves_the_last_one(workspace: Workspace) -> None:
    """On a full disk the last checkpoint is complete, and no partial file is left."""
    with workspace.lock():
        workspace.save(checkpoint(3), write)
        with pytest.raises(OSError, match="No space left"):
            workspace.save(checkpoint(5), fail)
        assert checkpoint(3) == workspace.checkpoint()
        assert ["checkpoint.json", "lease", "lock", "state-3.pt"] == names(workspace.folder)


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b"{}", b'{"schema_version": 99}'])
def test_a_checkpoint_that_cannot_be_read_is_none(workspace: Workspace, damage: bytes) -> None:
    """It is empty, truncated, not text, of another version, or has no state file."""
    with workspace.lock():
        workspace.save(checkpoint(3), write)
        (workspace.folder / "checkpoint.json").write_bytes(damage)
        assert workspace.checkpoint() is None
        workspace.save(checkpoint(4), write)
        (workspace.folder / "state-4.pt").unlink()
        assert workspace.checkpoint() is None


def test_what_a_killed_process_has_left_is_mended(workspace: Workspace) -> None:
    """The older record is restored, partial files are removed, and the checkpoint stays."""
    record = msgspec.structs.replace(RECORD, run_id="a")
    write_run(workspace.runs, record, TRACES)
    with workspace.lock():
        workspace.save(checkpoint(3), write)
    workspace.target.rename(workspace.superseded)
    workspace.record.mkdir()
    (workspace.record / "record.json").write_text("{")
    (workspace.folder / "state-4.pt").write_bytes(b"sta")
    (workspace.folder / ".checkpoint.json.partial").write_bytes(b"{")
    assert [workspace] == workspaces(workspace.runs)
    with workspace.lock():
        assert ["checkpoint.json", "lease", "lock", "state-3.pt"] == names(workspace.folder)
    assert record == read_run(workspace.target).record
    assert checkpoint(3) == workspace.checkpoint()


def test_hidden_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    """Only folders with nothing but files of a workspace are workspaces."""
    for name in (".git", ".mine", ".a"):
        (tmp_path / name).mkdir()
    (tmp_path / ".git" / "HEAD").touch()
    (tmp_path / ".mine" / "lock").touch()
    (tmp_path / ".mine" / "notes.txt").touch()
    (tmp_path / ".a" / "lock").touch()
    (tmp_path / ".file").touch()
    (tmp_path / ".link").symlink_to(tmp_path / ".a")
    assert [Workspace(tmp_path, "a")] == workspaces(tmp_path)


def test_what_is_under_way_is_told(tmp_path: Path) -> None:
    """The message counts locked runs and runs with a checkpoint, and is empty if there are none."""
    assert "" == describe_unfinished(tmp_path)
    left = Workspace(tmp_path, "a")
    with left.lock():
        left.save(checkpoint(3), write)
    with Workspace(tmp_path, "b").lock(), Workspace(tmp_path, "c").lock():
        assert (
            "not in this report: 2 runs are running, 1 run is interrupted, with a checkpoint to resume from"
            == describe_unfinished(tmp_path)
        )
    assert "not in this report: 1 run is interrupted, with a checkpoint to resume from" == describe_unfinished(tmp_path)


@pytest.mark.parametrize("name", ["lock", "checkpoint.json"])
def test_a_file_that_is_none_is_not_waited_for(workspace: Workspace, name: str) -> None:
    """A pipe without a writer, or an endless device, in the folder of an unfinished run does not block."""
    workspace.folder.mkdir(parents=True)
    os.mkfifo(workspace.folder / name)
    assert "" == describe_unfinished(workspace.runs)
    (workspace.folder / name).unlink()
    (workspace.folder / name).symlink_to("/dev/zero")
    assert "" == describe_unfinished(workspace.runs)


def test_a_folder_that_cannot_be_listed_is_somebody_elses(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is skipped without an error."""

    def locked(path: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    workspace.folder.mkdir(parents=True)
    assert [workspace] == workspaces(workspace.runs)
    monkeypatch.setattr(Path, "iterdir", locked)
    assert [] == workspaces(workspace.runs)


def test_a_link_in_the_place_of_the_folder_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """The target of the link is not removed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    workspace.runs.mkdir()
    workspace.folder.symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(UserError, match=r"a symbolic link\. Expected a folder, or nothing\. Remove it"),
        workspace.lock(),
    ):
        pass
    assert ["precious"] == [path.name for path in (tmp_path / "elsewhere").iterdir()]
