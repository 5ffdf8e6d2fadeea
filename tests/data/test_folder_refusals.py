"""Data folders that cannot be used: the message names the folder and what to do."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from intelbench.data.folder import list_images
from tests.data.test_folder import lay, refusal


def test_no_such_folder(tmp_path: Path) -> None:
    """The message says so and names the path."""
    assert f"data {tmp_path / 'nowhere'}: no such folder. Expected the folder of the images" == refusal(
        tmp_path / "nowhere"
    )


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """The message for a file, such as an archive, differs from that for a path that does not exist."""
    archive = lay(tmp_path, "archive.zip") / "archive.zip"
    message = refusal(archive)
    assert message.startswith(f"data {archive}: is a file")
    assert "train/ and test/" in message


def test_a_name_too_long_is_a_wrong_path(tmp_path: Path) -> None:
    """What the operating system refuses to look up is reported like any wrong path, of which the beginning is shown."""
    root = tmp_path / ("x" * 300)
    assert f"data {str(root)[:300]}…: File name too long" == refusal(root)


@pytest.mark.parametrize(
    ("names", "path", "says"),
    [
        (["a/1.jpg", "b/"], "b", "holds no image"),
        (["a/1.jpg", "b/notes.txt"], "b", "holds no image"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/b/"], "test/b", "holds no image"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg"], "test", "class 'b' of"),
        (
            ["train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/b/1.jpg", "test/c/1.jpg"],
            "test",
            "class 'c' is not",
        ),
        (["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "test/a/1.jpg", "test/b/1.jpg"], "val", "class 'b' of"),
        (["a/1.jpg"], "", "has 1 class folder, at least 2"),
        (["train/a/1.jpg", "test/a/1.jpg"], "train", "has 1 class folder, at least 2"),
        (["1.jpg", "2.jpg"], "", "has 0 class folders, at least 2"),
        (["seg_pred/1.jpg"], "", "has 0 class folders"),
        (["test/a/1.jpg", "test/b/1.jpg"], "", "has test but no training folder"),
        (["val/a/1.jpg", "test/b/1.jpg"], "", "has test and val but no training folder"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, names: list[str], path: str, says: str) -> None:
    """The message begins with the offending path and says what is wrong with it."""
    message = refusal(lay(tmp_path, *names))
    assert message.startswith(f"data {tmp_path / path}: ")
    assert says in message


@pytest.mark.parametrize("where", ["", "train", "train/a", "train/a/deep"])
def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Whatever folder cannot be listed, at any depth, the user is told which and why."""
    lay(tmp_path, "train/a/deep/1.jpg", "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/b/1.jpg")
    locked = tmp_path / where

    def guarded(real: Callable[..., object]) -> Callable[..., object]:
        def call(path: str | Path = ".") -> object:
            if Path(path) == locked:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path)

        return call

    monkeypatch.setattr(os, "scandir", guarded(os.scandir))
    monkeypatch.setattr(os, "listdir", guarded(os.listdir))
    message = refusal(tmp_path)
    assert message.startswith(f"data {locked}: cannot be listed (Permission denied)")


def test_a_folder_that_cannot_be_looked_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent folder without search permission makes even the question whether the folder exists fail."""
    real = os.stat

    def stat(path: object, *args: object, **kwargs: object) -> object:
        if isinstance(path, str | Path) and Path(path) == tmp_path / "locked" / "data":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    assert refusal(tmp_path / "locked" / "data").startswith(f"data {tmp_path / 'locked' / 'data'}: ")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
@pytest.mark.parametrize("name", [b"a/caf\xe9.jpg", b"caf\xe9/1.jpg"])
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, name: bytes) -> None:
    """Records are UTF-8: a name that cannot stand in them is refused in a message that can be printed."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    message = refusal(tmp_path)
    assert "not valid UTF-8; rename it" in message
    assert message.encode()


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_an_ignored_name_that_is_not_utf8_can_be_printed(tmp_path: Path) -> None:
    """A stray file does not stop the listing, and what is listed of it can be written to a terminal."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/caf\xe9.txt")).write_bytes(b"")
    (ignored,) = list_images(tmp_path).ignored
    assert ignored.encode()
    assert ignored.startswith("a/caf")
