"""Files are replaced atomically."""

from pathlib import Path

import pytest

from intelbench.records import files
from intelbench.records.files import remove, replace


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """No partial file is left."""
    path = tmp_path / "a"
    for content in (b"old and longer", b"new"):
        replace(path, content)
        assert content == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_shared_file_is_written_by_several_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second writer that begins and ends before the first one renames its file disturbs neither."""
    path, move = tmp_path / "a", files.move

    def move_after_another(source: Path, target: Path) -> None:
        monkeypatch.setattr(files, "move", move)
        replace(path, b"content", shared=True)
        assert b"content" == path.read_bytes()
        move(source, target)

    monkeypatch.setattr(files, "move", move_after_another)
    replace(path, b"content", shared=True)
    assert b"content" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


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
