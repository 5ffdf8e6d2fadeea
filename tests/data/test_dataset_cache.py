"""A prepared data set is kept: drawn once, built again where it is damaged, and used from a read-only disk."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.data import sources
from intelbench.data.dataset import prepare
from intelbench.data.pixels import PixelCache
from intelbench.data.sources import locate
from intelbench.errors import UserError
from tests.conftest import write_image
from tests.data.test_dataset import CONDITIONS, load


def _replaced_by_a_file(root: Path) -> None:
    shutil.rmtree(root)
    root.write_text("x")


@pytest.fixture
def few_scenes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Draws a small set; collects where."""
    drawn: list[Path] = []
    write = sources.scenes.write

    def write_few(root: Path) -> None:
        drawn.append(root)
        write(root, train_per_class=10, test_per_class=2)

    monkeypatch.setattr(sources.scenes, "write", write_few)
    return drawn


def test_a_drawn_data_set_is_drawn_once(tmp_path: Path, few_scenes: list[Path]) -> None:
    """`scenes` appears in the cache folder at first use and is found there afterwards; other sources are folders."""
    first, second = locate("scenes", tmp_path / "cache"), locate("scenes", tmp_path / "cache")
    assert first == second == (tmp_path / "cache" / "scenes-v1", ())
    assert [first[0]] == few_scenes
    assert (Path("some/folder"), ()) == locate("some/folder", tmp_path)


@pytest.mark.parametrize("damage", [lambda root: (root / "SHA256SUMS").write_text("x"), _replaced_by_a_file])
def test_a_damaged_drawn_data_set_is_drawn_again(
    tmp_path: Path, few_scenes: list[Path], damage: Callable[[Path], object]
) -> None:
    """It says so once, and the data are what they were; nothing is left of the damaged one."""
    cache = tmp_path / "cache"
    before = prepare("scenes", CONDITIONS, cache)
    damage(cache / "scenes-v1")
    after = prepare("scenes", CONDITIONS, cache)
    assert (f"cache {cache / 'scenes-v1'}: was changed; made again",) == after.notes
    assert before == msgspec.structs.replace(after, notes=())
    assert before == prepare("scenes", CONDITIONS, cache)
    assert 2 == len(few_scenes)
    assert {"pixels", "scenes-v1"} == {path.name for path in cache.iterdir()}


def test_a_damaged_cache_is_built_again_and_said(root: Path) -> None:
    """The pixels are what they were, and the next time there is nothing to say."""
    before = load(root)
    assert before.cache is not None
    with Path(before.cache, "pixels.bin").open("r+b") as file:
        file.write(b"\0\1\2\3")
    after = load(root)
    assert (f"cache {before.cache}: pixels.bin was changed; built again",) == after.notes
    assert () == load(root).notes
    np.testing.assert_array_equal(load(root, use_cache=False).pixels().read(0), after.pixels().read(0))


def test_a_cache_that_vanishes_is_named(root: Path) -> None:
    """The process of a run that has no cache names its folder and the command that builds it."""
    loaded = load(root)
    shutil.rmtree(root.parent / "cache")
    with pytest.raises(UserError, match=rf"cache {loaded.cache}: index is missing; the next `intelbench run`"):
        loaded.pixels()
    assert loaded == load(root)
    assert isinstance(loaded.pixels(), PixelCache)


def test_an_intact_cache_on_a_read_only_disk_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing needs to be written then; a damaged one is an error that names the folder."""
    before = load(root)

    def read_only(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    for name in ("mkdir", "rename", "unlink", "write_bytes", "write_text"):
        monkeypatch.setattr(Path, name, read_only)
    assert before == load(root)
    assert before.cache is not None
    os.truncate(Path(before.cache, "pixels.bin"), 1)
    with pytest.raises(
        UserError, match=rf"cache {Path(before.cache).parent}: cannot be written \(Read-only file system"
    ):
        load(root)


def test_preparing_clears_what_killed_ones_have_left(root: Path) -> None:
    """Drafts of pixels and of scenes that nobody holds."""
    load(root)
    for folder in (root.parent / "cache", root.parent / "cache" / "pixels"):
        (folder / ".intelbench-0123456789abcdef").mkdir()
        os.utime(folder / ".intelbench-0123456789abcdef", (0, 0))
    load(root)
    assert [] == list((root.parent / "cache").rglob(".intelbench-*"))


def test_an_image_that_changes_during_a_run_stops_it(root: Path) -> None:
    """Without the cache, an image that was replaced after it was listed is an error; its pixels are not used."""
    loaded = load(root, use_cache=False)
    changed = root / loaded.train.ids[3]
    write_image(changed, seed=12345)
    with pytest.raises(UserError, match=f"data {changed}: has changed since the session began"):
        loaded.pixels().read(loaded.train.rows[3])
    assert load(root, use_cache=False).facts.digest != loaded.facts.digest


def test_a_failing_disk_stops_and_is_not_skipped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--skip-unreadable` leaves out bad images, not those that could not be read just now."""
    inode = (root / "train" / "day" / "001.png").stat().st_ino
    real = os.read

    def failing(descriptor: int, size: int) -> bytes:
        if os.fstat(descriptor).st_ino == inode:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", failing)
    with pytest.raises(UserError, match=r"001.png: cannot be read just now \(Input/output error\)"):
        load(root, skip_unreadable=True)
    monkeypatch.undo()
    assert 0 == load(root).facts.num_unreadable


@pytest.mark.parametrize("name", ["cache file", "Zwischenspeicher 画像/file"])
def test_a_cache_folder_that_is_a_file_is_named(root: Path, name: str) -> None:
    """One line with the path and the way out, whatever is to be written there."""
    path = root.parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    for source in (str(root), "scenes"):
        with pytest.raises(UserError, match=rf"cache {path}.*: cannot be written \(.*\)\. Expected .* --cache-dir"):
            prepare(source, CONDITIONS, path)
