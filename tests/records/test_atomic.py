"""A folder appears complete or not at all; drafts of killed processes are removed, those of live ones are not."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from intelbench.errors import UserError
from intelbench.records import locks
from intelbench.records.atomic import clear_drafts, discard, draft_of, identity
from intelbench.records.locks import Lock

MAKER = """
import sys
from pathlib import Path
from intelbench.records.atomic import draft_of
with draft_of(Path(sys.argv[1])) as draft:
    (draft / "half").write_text("done")
    print("ready", flush=True)
    sys.stdin.readline()
"""


def maker(folder: Path) -> subprocess.Popen[str]:
    """Start a process that is creating a folder; a line on its stdin lets it continue."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert "ready\n" == process.stdout.readline()
    return process


def names(folder: Path) -> list[str]:
    """Return the names of the entries of a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_it_is_done(tmp_path: Path) -> None:
    """It appears at the end with the written files, and no other entry is in its parent."""
    folder = tmp_path / "new" / "folder"
    with draft_of(folder) as draft:
        (draft / "x").write_text("x")
        assert not folder.exists()
    assert ["x"] == names(folder)
    assert ["folder"] == names(folder.parent)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_draft_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    """The error is passed on unchanged."""
    with pytest.raises(error), draft_of(tmp_path / "folder") as draft:
        (draft / "x").write_text("x")
        raise error
    assert [] == names(tmp_path)


def test_the_first_of_two_wins(tmp_path: Path) -> None:
    """The draft of the second is removed, and the folder of the first is not changed."""
    with draft_of(tmp_path / "folder") as second:
        (second / "x").write_text("second")
        with draft_of(tmp_path / "folder") as first:
            (first / "x").write_text("first")
    assert "first" == (tmp_path / "folder" / "x").read_text()
    assert ["folder"] == names(tmp_path)


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    """A cache folder or a parent of it that is a file gives an error of one line."""
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file" / "folder", tmp_path / "file" / "deep" / "folder", tmp_path / "file"):
        said = rf"cache {folder.parent}: cannot be written \(.*\)\. .* --cache-dir, or `cache_folder` in Python$"
        with pytest.raises(UserError, match=said), draft_of(folder):
            pass
    assert ["file"] == names(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_takes_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The error names the folder, the reason of the system, and what to do; no partial folder is left."""
    expected = (
        f"cache {tmp_path / 'b c'}: cannot be written ({os.strerror(number)}). Expected a writable folder. Try another "
        "one with --cache-dir, or `cache_folder` in Python"
    )
    with pytest.raises(UserError) as caught, draft_of(tmp_path / "b c" / "folder") as draft:
        (draft / "x").write_text("x")
        raise OSError(number, os.strerror(number))
    assert expected == str(caught.value)
    assert [] == names(tmp_path / "b c")

    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", failing)
    with pytest.raises(UserError) as caught, draft_of(tmp_path / "b c" / "folder"):
        pass
    assert expected == str(caught.value)


def test_discarding_is_at_once_and_whole(tmp_path: Path) -> None:
    """A folder, file or link is removed, but not the target of the link; a second removal is no error."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("kept")
    for name in ("folder", "file", "link", "link"):
        discard(tmp_path / name, identity(tmp_path / name))
    assert ["kept"] == names(tmp_path)


def test_a_folder_that_another_process_has_made_in_its_place_is_not_discarded(tmp_path: Path) -> None:
    """It is used by that process, which has seen the same damage and was quicker."""
    folder = tmp_path / "folder"
    folder.mkdir()
    seen = identity(folder)
    discard(folder, seen)
    with draft_of(folder) as draft:
        (draft / "x").write_text("x")
    discard(folder, seen)
    assert ["x"] == names(folder)


def test_a_killed_maker_s_draft_is_cleared(tmp_path: Path) -> None:
    """SIGKILL leaves a draft and no folder; the next process removes the draft and nothing else."""
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".intelbench-file").write_text("no folder")
    (tmp_path / ".intelbench-link").symlink_to(tmp_path / ".hidden")
    process = maker(tmp_path / "folder")
    process.kill()
    process.communicate()
    assert -signal.SIGKILL == process.returncode
    assert 4 == len(names(tmp_path))
    clear_drafts(tmp_path)
    assert [".hidden", ".intelbench-file", ".intelbench-link"] == names(tmp_path)


def test_a_live_maker_s_draft_stays(tmp_path: Path) -> None:
    """The folder appears even if other processes, or the same one, remove drafts at the same time."""
    process = maker(tmp_path / "folder")
    with draft_of(tmp_path / "other") as draft:
        clear_drafts(tmp_path)
        clear_drafts(tmp_path)
        (draft / "x").write_text("x")
    process.communicate("go\n", timeout=30)
    assert 0 == process.returncode
    assert ["folder", "other"] == names(tmp_path)
    assert ["half"] == names(tmp_path / "folder")


def test_a_draft_of_another_host_stays_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock may not be seen here. Even of a host with an odd name, and next to the draft of a similar name."""
    monkeypatch.setattr(locks, "hold", lambda folder, *, wait: Lock(lambda: None))
    monkeypatch.setattr(socket, "gethostname", lambda: "node-1/ü")
    with draft_of(tmp_path / "folder"):
        [draft] = [path for path in tmp_path.iterdir() if path.name.startswith(".intelbench-")]
        monkeypatch.setattr(socket, "gethostname", lambda: "node-1")
        clear_drafts(tmp_path)
        assert draft.is_dir()
        os.utime(draft, (time.time() - 100_000,) * 2)
        clear_drafts(tmp_path)
        assert not draft.exists()
        draft.joinpath("folder").mkdir(parents=True)
    assert ["folder"] == names(tmp_path)


def test_a_draft_is_locked_before_anybody_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that removes drafts between the creation and the locking of one waits for it."""
    cleared = threading.Thread(target=clear_drafts, args=(tmp_path,))
    real = locks.hold

    def slow(folder: Path, *, wait: bool) -> Lock | None:
        if folder.name.startswith(".intelbench-") and wait:
            cleared.start()
            cleared.join(0.2)
            assert cleared.is_alive()
        return real(folder, wait=wait)

    monkeypatch.setattr(locks, "hold", slow)
    with draft_of(tmp_path / "folder") as draft:
        cleared.join(10)
        assert draft.is_dir()
    assert ["folder"] == names(tmp_path)


def test_without_locks_nothing_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network disks have no locks: folders are created all the same, and drafts that may be alive stay."""

    def failing(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", failing)
    with draft_of(tmp_path / "folder"):
        clear_drafts(tmp_path)
    (tmp_path / ".intelbench-0123456789abcdef").mkdir()
    os.utime(tmp_path / ".intelbench-0123456789abcdef", (0, 0))
    clear_drafts(tmp_path)
    assert [".intelbench-0123456789abcdef", "folder"] == names(tmp_path)


def test_clearing_what_is_not_there(tmp_path: Path) -> None:
    """A cache folder that does not exist yet, or is a file, is no error."""
    clear_drafts(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    clear_drafts(tmp_path / "file")
