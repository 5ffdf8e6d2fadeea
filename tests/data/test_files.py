"""Reading what may be anything never waits, never fills the memory, and tells what is wrong from what may pass."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.data import files
from intelbench.data.files import Content, UnusableFileError, digest_of, read_file
from intelbench.errors import UserError


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small blocks and a small limit."""
    monkeypatch.setattr(files, "_BLOCK", 16)
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    yield


def num_open_files() -> int:
    """Descriptors of this process; 0 where that cannot be told."""
    return len(list(Path("/proc/self/fd").glob("*")))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 32, 33, 99, 100])
def test_a_file_is_read_whole(tmp_path: Path, size: int) -> None:
    """Whatever its size is to that of a block, and its digest is that of its bytes."""
    (tmp_path / "x").write_bytes(os.urandom(size))
    assert (tmp_path / "x").read_bytes() == read_file(tmp_path / "x")
    assert read_file(tmp_path / "x") == Content(tmp_path / "x", digest_of(tmp_path / "x")).read()


@given(one=st.binary(max_size=50), other=st.binary(max_size=50))
def test_equal_bytes_have_equal_digests(tmp_path_factory: pytest.TempPathFactory, one: bytes, other: bytes) -> None:
    """And other bytes another, of 128 bits."""
    folder = tmp_path_factory.mktemp("digest")
    (folder / "one").write_bytes(one)
    (folder / "other").write_bytes(other)
    assert (one == other) == (digest_of(folder / "one") == digest_of(folder / "other"))
    assert 32 == len(digest_of(folder / "one"))


@pytest.mark.usefixtures("short")
def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    """A sparse file costs its maker nothing; here it costs no more than the limit."""
    with (tmp_path / "x").open("wb") as file:
        file.truncate(2**40)
    for read in (read_file, digest_of):
        with pytest.raises(UnusableFileError, match="too large for an image"):
            read(tmp_path / "x")


@pytest.mark.usefixtures("short")
def test_a_file_that_grows_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is counted as it is read, not believed."""
    (tmp_path / "x").write_bytes(b"x")
    monkeypatch.setattr(os, "read", lambda _, size: b"x" * size)
    with pytest.raises(UnusableFileError, match="too large for an image"):
        read_file(tmp_path / "x")


def special_files(folder: Path) -> list[Path]:
    """What has a name and is no file; opening the first waits for ever."""
    paths = [folder / name for name in ("pipe", "socket", "folder", "device", "loop", "gone")]
    os.mkfifo(paths[0])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(paths[1].relative_to(Path.cwd())) if len(str(paths[1])) > 100 else str(paths[1]))
    paths[2].mkdir()
    paths[3].symlink_to("/dev/zero")
    paths[4].symlink_to("loop")
    paths[5].symlink_to("nowhere")
    return paths


def test_what_is_no_file_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes, sockets, folders, devices and links that lead nowhere, each with its reason and without waiting."""
    monkeypatch.chdir(tmp_path)
    reasons = []
    for path in special_files(tmp_path):
        with pytest.raises(UnusableFileError) as caught:
            read_file(path)
        reasons.append(str(caught.value))
    assert [
        "not a regular file", "No such device or address", "not a regular file", "not a regular file",
        "Too many levels of symbolic links", "No such file or directory",
    ] == reasons  # fmt: skip


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOMEM, errno.ETIMEDOUT])
@pytest.mark.parametrize("call", ["open", "read"])
def test_an_error_that_may_pass_is_not_the_file_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """It stops the command, names the file and the reason, and leaves no descriptor open."""
    (tmp_path / "x.jpg").write_bytes(b"x")
    before = num_open_files()

    def failing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(UserError) as caught:
            digest_of(tmp_path / "x.jpg")
    assert (
        f"data {tmp_path / 'x.jpg'}: cannot be read just now ({os.strerror(number)}); run again, or "
        "repair or remove the file"
    ) == str(caught.value)
    assert before == num_open_files()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_locked_file_is_unusable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """That says something about the file, and will not pass."""

    def failing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(UnusableFileError, match=os.strerror(number)):
        read_file(tmp_path / "x.jpg")


def test_content_is_what_it_was(tmp_path: Path) -> None:
    """Other bytes under the name, a pipe in its place or nothing at all are errors that name the file, escaped."""
    path = tmp_path / "\x1b[31mred\n.jpg"
    path.write_bytes(b"one")
    content = Content(path, digest_of(path))
    assert b"one" == content.read()
    shown = f"data {tmp_path}/\\x1b[31mred\\n.jpg: "
    path.write_bytes(b"two")
    with pytest.raises(UserError) as caught:
        content.read()
    assert shown + "has changed since the session began; leave the data alone and run again" == str(caught.value)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError) as caught:
        content.read()
    assert shown + "cannot be read any more (not a regular file); bring it back and run again" == str(caught.value)
