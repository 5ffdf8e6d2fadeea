"""Images that cannot be read stop a run, or are left out on request; each is named."""

import errno
import os
from pathlib import Path

import pytest

from intelbench.data.inspection import inspect
from intelbench.errors import UserError
from tests.data.test_dataset import SUITE, load


def test_unreadable_images_stop_a_run_and_are_named(root: Path) -> None:
    """The message names each file with its reason, and the way on."""
    (root / "train" / "day" / "001.png").write_bytes(b"")
    (root / "test" / "night" / "002.png").write_text("text")
    with pytest.raises(UserError) as caught:
        load(root)
    lines = str(caught.value).splitlines()
    assert f"data {root}: 2 images cannot be read:" == lines[0]
    assert ["  test/night/002.png: not an image", "  train/day/001.png: empty file"] == lines[1:3]
    assert "--skip-unreadable" in lines[3]


def test_a_single_unreadable_image_is_one_image(root: Path) -> None:
    """The message counts in proper English."""
    (root / "train" / "day" / "001.png").write_bytes(b"")
    with pytest.raises(UserError, match="1 image cannot be read:"):
        load(root)


def test_many_unreadable_images_are_counted(root: Path) -> None:
    """Twenty are named, the rest is a number and a command that lists them all."""
    for index, path in enumerate(sorted(root.glob("*/*/*.png"))[:25]):
        path.write_bytes(b"x" * index)
    with pytest.raises(UserError) as caught:
        load(root)
    assert 20 == str(caught.value).count("\n  t")
    assert f"and 5 more; `intelbench data check {root}` lists all" in str(caught.value)


@pytest.mark.parametrize("use_cache", [True, False])
def test_unreadable_images_can_be_left_out(root: Path, use_cache: bool) -> None:
    """They are in no split and counted; a second call, which finds the cache, agrees."""
    (root / "train" / "day" / "001.png").write_bytes(b"")
    (root / "test" / "night" / "002.png").write_text("text")
    for _ in range(2):
        loaded = load(root, skip_unreadable=True, use_cache=use_cache)
        assert 2 == loaded.facts.num_unreadable
        assert 19 == len(loaded.train) + len(loaded.validation)
        assert 19 == len(loaded.test)
        assert "train/day/001.png" not in loaded.train.ids + loaded.validation.ids


def test_a_locked_file_is_unreadable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot even be opened is reported with its reason like a damaged one."""
    real = os.open

    def guarded(path: Path, *args: object, **kwargs: object) -> int:
        if Path(path).name == "001.png" and Path(path).parent.name == "day":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", guarded)
    assert {"test/day/001.png": "Permission denied", "train/day/001.png": "Permission denied"} == inspect(
        str(root), SUITE, root.parent / "cache"
    ).unreadable
    with pytest.raises(UserError, match=r"2 images cannot be read:\n  test/day/001.png: Permission denied"):
        load(root)
    assert 2 == load(root, skip_unreadable=True).facts.num_unreadable


def test_a_class_without_a_readable_image_stops_the_run(root: Path) -> None:
    """Leaving images out must not leave a class out."""
    for path in (root / "test" / "night").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"class 'night' has no readable image left for the test split"):
        load(root, skip_unreadable=True)
