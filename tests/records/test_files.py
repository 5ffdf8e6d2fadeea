"""Files are replaced atomically."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from intelbench.records import files, locks
from intelbench.records.files import remove, replace
from intelbench.records.kept import kept_files, settle
from intelbench.records.store import record_folders, write_figures, write_parts
from intelbench.records.workspace import describe_unfinished, workspaces
from tests.records.renaming import hold_rename


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """No partial file is left."""
    path = tmp_path / "a"
    for content in (b"old and longer", b"new"):
        replace(path, content)
        assert content == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "look",
    [
        record_folders,
        workspaces,
        settle,
        describe_unfinished,
        lambda runs: list(kept_files(runs)),
    ],
)
def test_a_folder_that_is_removed_while_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Path], object]
) -> None:
    """Nothing is in it, as if it had not been there: `Path.glob` raises an error then."""

    def removed(folder: Path, _: str) -> NoReturn:
        raise FileNotFoundError(2, "No such file or directory", str(folder))

    monkeypatch.setattr(Path, "glob", removed)
    assert not look(tmp_path / "runs")


Write = Callable[[Path], object]
PRODUCTS: dict[str, Write] = {
    "replace": lambda path: replace(path, b"content", shared=True),
    "write_figures": lambda path: write_figures(path.parent, {path.name: b"content"}),
    "write_parts": lambda path: write_parts(path, ["con", "tent"]),
}


@pytest.mark.parametrize("write", PRODUCTS.values(), ids=PRODUCTS.keys())
def test_a_shared_file_is_written_by_several_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    """A second writer that begins before the first one renames its file waits, and disturbs nothing."""
    path = tmp_path / "a"
    waits, may_rename = hold_rename(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(write, path)
        assert waits.wait(60)
        second = pool.submit(write, path)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.2)
        may_rename.set()
        first.result()
        second.result()
    assert b"content" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_shared_file_is_written_by_several_at_once_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk without locks a second writer may begin and end before the first one renames its file."""

    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks, "hold", refuse)
    path = tmp_path / "a"
    waits, may_rename = hold_rename(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(replace, path, b"first", shared=True)
        assert waits.wait(60)
        replace(path, b"second", shared=True)
        assert b"second" == path.read_bytes()
        may_rename.set()
        first.result()
    assert b"first" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_shared_file_is_written_by_several_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partial files of two hosts have different names, where the disk keeps locks for each host alone."""
    names: list[str] = []
    move = files.move

    def note(source: Path, target: Path) -> None:
        names.append(source.name)
        move(source, target)

    monkeypatch.setattr(files, "move", note)
    for host in ("one", "two", "one"):
        monkeypatch.setattr(files.socket, "gethostname", lambda host=host: host)
        replace(tmp_path / "a", b"content", shared=True)
    assert names[0] == names[2] != names[1]


def test_what_cannot_be_replaced_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the old content stays, and no partial file is left."""
    path = tmp_path / "a"
    replace(path, b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        replace(path, b"new")
    assert b"old" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_an_error_has_the_name_of_the_file(tmp_path: Path) -> None:
    """And not that of the partial file, which nobody has asked for."""
    with pytest.raises(OSError, match="No such file or directory") as raised:
        replace(tmp_path / "missing" / "a", b"")
    assert str(tmp_path / "missing" / "a") == raised.value.filename


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """The target of a link is not changed if the link has the name of the file or of its partial file."""
    (tmp_path / "precious").write_bytes(b"precious")
    for name in ("a", ".a.partial"):
        (tmp_path / name).symlink_to("precious")
    replace(tmp_path / "a", b"new")
    assert {"a": b"new", "precious": b"precious"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    """A folder is removed with its content; a missing path is no error."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove(tmp_path / "link")
    assert (tmp_path / "folder" / "inner").is_dir()
    remove(tmp_path / "folder")
    remove(tmp_path / "folder")
    assert [] == list(tmp_path.iterdir())
