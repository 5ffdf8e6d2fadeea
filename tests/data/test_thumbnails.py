"""Thumbnails: found by ids that anyone may have written, small, and never of a file outside the folder."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intelbench.data.thumbnails import SIDE, Pictures, find_pictures
from intelbench.errors import UserError
from intelbench.scenes import source as scenes
from tests.conftest import write_folder, write_image

CLASSES = ("day", "night")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a picture beside it."""
    write_image(tmp_path / "private.png")
    return write_folder(tmp_path / "data", per_class=2)


@pytest.fixture
def pictures(folder: Path) -> Pictures:
    """Its pictures."""
    return find_pictures(str(folder), CLASSES, folder / "no-cache")


def opened(content: bytes | None) -> Image.Image:
    """The thumbnail as an image."""
    assert content is not None
    return Image.open(io.BytesIO(content))


def test_a_thumbnail_is_a_small_copy(folder: Path, pictures: Pictures) -> None:
    """WebP, at most SIDE at its longer side, in the picture's own shape and colours; the same each time."""
    write_image(folder / "test/day/000.png", size=(400, 200), colour=200)
    content = pictures.thumbnail("test/day/000.png")
    small = opened(content)
    assert ("WEBP", (SIDE, SIDE // 2)) == (small.format, small.size)
    np.testing.assert_allclose((200, 128, 55), np.asarray(small).mean(axis=(0, 1)), atol=12)
    assert content == pictures.thumbnail("test/day/000.png")


def test_a_small_picture_is_not_enlarged(pictures: Pictures) -> None:
    """40 x 32 pixels stay as many."""
    assert (40, 32) == opened(pictures.thumbnail("train/night/001.png")).size


@pytest.mark.parametrize(
    "image_id",
    [
        "../private.png",
        "test/day/../../../private.png",
        "test/day/../night/000.png",
        "test/day/./000.png",
        "test/day/.hidden.png",
        "test/dayless/000.png",
        "other.png",
        "test/day/9.png",
        "",
        ".",
        "\0",
        "a" * 5000,
        "\ud800",
        "test/day",
    ],
)
def test_an_id_that_is_not_in_the_folder_has_no_picture(folder: Path, pictures: Pictures, image_id: str) -> None:
    """Neither by climbing, nor by names that are hidden, beside the classes, or accepted by no system."""
    for name in (".hidden.png", "test/day/.hidden.png", "test/dayless/000.png", "other.png"):
        write_image(folder / name)
    assert pictures.thumbnail(image_id) is None


def test_an_absolute_path_has_no_picture(folder: Path, pictures: Pictures) -> None:
    """Not even that of an image in the folder."""
    assert pictures.thumbnail(str(folder.parent / "private.png")) is None
    assert pictures.thumbnail(str(folder / "test/day/000.png")) is None


def test_a_link_leads_nowhere_else(folder: Path) -> None:
    """A link to a file outside is not followed, one inside the folder is; the folder itself may be a link."""
    (folder / "test/day/out.png").symlink_to(folder.parent / "private.png")
    (folder / "test/day/in.png").symlink_to(folder / "test/night/000.png")
    (folder.parent / "link").symlink_to(folder)
    pictures = find_pictures(str(folder.parent / "link"), CLASSES, folder)
    assert pictures.thumbnail("test/day/out.png") is None
    assert pictures.thumbnail("test/day/in.png") is not None


def test_what_does_not_decode_has_no_picture(folder: Path) -> None:
    """Damaged files, those that would fill the memory, and what has gone or become a loop or a pipe meanwhile."""
    (folder / "test/day/bad.png").write_bytes(b"not an image")
    write_image(folder / "test/day/gone.png")
    Image.new("1", (20_000, 10_000)).save(folder / "test/day/bomb.png")
    pictures = find_pictures(str(folder), CLASSES, folder)
    (folder / "test/day/gone.png").unlink()
    (folder / "test/day/000.png").unlink()
    (folder / "test/day/000.png").symlink_to("000.png")
    (folder / "test/day/001.png").unlink()
    os.mkfifo(folder / "test/day/001.png")
    names = ("bad", "gone", "bomb", "000", "001")
    assert [None] * 5 == [pictures.thumbnail(f"test/day/{name}.png") for name in names]


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    """As every command names it, but without the path, which is nobody's business who reads the report."""
    with pytest.raises(UserError) as raised:
        find_pictures(str(tmp_path / "gone"), CLASSES, tmp_path)
    assert "data gone: no such folder. Expected the folder of the images" == str(raised.value)


def test_an_absent_folder_of_a_hostile_name_is_named_without_its_path(tmp_path: Path) -> None:
    """Escaped, and still without where it lies."""
    with pytest.raises(UserError) as raised:
        find_pictures(str(tmp_path / "\x1b[2J"), CLASSES, tmp_path)
    assert str(tmp_path) not in str(raised.value)
    assert str(raised.value).isprintable()


def test_another_data_set_is_refused(folder: Path) -> None:
    """Records that name a folder of other classes do not get its pictures into a report."""
    with pytest.raises(UserError, match="its classes are not those of the records"):
        find_pictures(str(folder), ("day", "dusk"), folder)


def test_a_folder_of_any_size_is_never_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a source that says `/` nothing below its folders is looked at, and no class where there are splits."""
    seen = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: seen.append(Path(path)) or scandir(path))
    with pytest.raises(UserError, match=r"^data /"):
        find_pictures("/", CLASSES, folder)
    assert all(len(path.parts) <= 2 for path in seen)
    assert find_pictures(str(folder), CLASSES, folder).thumbnail("test/day/000.png") is not None
    assert not {folder / split / name for split in ("train", "test") for name in CLASSES} & set(seen)


def test_scenes_are_read_where_a_run_has_drawn_them(tmp_path: Path) -> None:
    """The built-in set by its name; nothing is drawn for a report."""
    with pytest.raises(UserError, match="data scenes: no such folder"):
        find_pictures("scenes", scenes.CLASSES, tmp_path)
    scenes.write(tmp_path / f"scenes-v{scenes.VERSION}", train_per_class=1, test_per_class=1)
    pictures = find_pictures("scenes", scenes.CLASSES, tmp_path)
    assert (SIDE, SIDE) == opened(pictures.thumbnail("seg_test/seg_test/sea/00000.png")).size
