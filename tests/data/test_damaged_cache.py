"""Damage to a cache is found, whatever it is, and a damaged cache is built again."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelbench.data import pixels
from intelbench.data.files import Content
from intelbench.data.pixels import (
    DamagedCacheError,
    PixelCache,
    discard_damaged,
    open_cache,
)
from intelbench.errors import UserError
from tests.conftest import write_image
from tests.data.conftest import append, contents_of


@pytest.fixture
def cache(tmp_path: Path, files: list[Content]) -> Path:
    """A cache in a folder with a name that people have."""
    folder = tmp_path / "Zwischen speicher 画像" / "key"
    open_cache(folder, files, 40)
    return folder


def test_an_intact_cache_is_kept(cache: Path) -> None:
    """Verifying changes nothing and says nothing; nor does it miss what is not there."""
    before = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert discard_damaged(cache) is None
    assert before == {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert discard_damaged(cache.with_name("other")) is None
    assert [cache] == list(cache.parent.iterdir())


@pytest.mark.parametrize("name", ["index", "pixels.bin"])
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@settings(max_examples=150)
def test_a_flipped_byte_anywhere_is_found(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: float, bits: int
) -> None:
    """No byte of the cache can change without being noticed; what is built then is what was there before."""
    folder = _one_cache(tmp_path_factory)
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= bits
    (folder / name).write_bytes(content)
    assert f"{name} was changed" == discard_damaged(folder)
    assert not folder.exists()


def _one_cache(factory: pytest.TempPathFactory) -> Path:
    """A cache of two images, one of them damaged."""
    root = factory.mktemp("flipped")
    write_image(root / "a.png", size=(12, 9))
    (root / "b.png").write_bytes(b"")
    open_cache(root / "caches" / "key", contents_of(root / "a.png", root / "b.png"), 40)
    return root / "caches" / "key"


@given(st.data())
@settings(max_examples=100)
def test_no_damage_to_a_cache_escapes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever its two files hold, opening gives the pixels that were built or says which cache is damaged."""
    folder = _one_cache(tmp_path_factory)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    expected = PixelCache(folder).read(0).copy()
    for name in data.draw(st.sets(st.sampled_from(["index", "pixels.bin"]), min_size=1)):
        old = before[name]
        cut, end = data.draw(st.integers(0, len(old))), data.draw(st.integers(0, len(old)))
        (folder / name).write_bytes(old[:cut] + data.draw(st.binary(max_size=20)) + old[end:])
    unchanged = before == {path.name: path.read_bytes() for path in folder.iterdir()}
    try:
        found = PixelCache(folder)  # as a run's process does, which does not read all pixels
        assert expected.shape == found.read(0).shape
    except DamagedCacheError as error:
        assert str(folder) in str(error)
    assert unchanged == (discard_damaged(folder) is None)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "index").unlink(), "index is missing"),
        (lambda folder: (folder / "pixels.bin").unlink(), "pixels.bin is missing"),
        (shutil.rmtree, None),
        (lambda folder: os.truncate(folder / "pixels.bin", 100), "pixels.bin has 100 bytes and had"),
        (lambda folder: os.truncate(folder / "index", 0), "index was changed"),
        (lambda folder: append(folder / "index"), "index was changed"),
        (lambda folder: append(folder / "pixels.bin"), "bytes and had"),
        (lambda folder: (shutil.rmtree(folder), folder.write_text("a file")), "index is missing"),
        (lambda folder: (shutil.rmtree(folder), folder.symlink_to("nowhere")), "index is missing"),
        (lambda folder: ((folder / "index").unlink(), (folder / "index").mkdir()), "index is missing"),
    ],
)  # fmt: skip
def test_a_damaged_cache_is_built_again(
    files: list[Content], cache: Path, damage: Callable[[Path], object], says: str | None
) -> None:
    """It says what was wrong, the cache is then what it was, and nothing else is left. A run's process names it."""
    expected = PixelCache(cache).read(0).copy()
    damage(cache)
    with pytest.raises(DamagedCacheError, match=f"cache {cache}: .*; the next `intelbench run` builds it again"):
        PixelCache(cache)
    found = discard_damaged(cache)
    assert (says is None) == (found is None)
    assert says is None or says in str(found)
    np.testing.assert_array_equal(expected, open_cache(cache, files, 40).read(0))
    assert [cache] == list(cache.parent.iterdir())


def test_a_cache_that_another_session_builds_again_is_kept(
    files: list[Content], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sessions find one damage at the same moment: the slower one does not remove what the other one has built."""
    append(cache / "pixels.bin")
    discard, built = pixels.discard, []

    def after_another(folder: Path, seen: tuple[int, int] | None) -> None:
        discard(folder, seen)
        open_cache(folder, files, 40)
        built.append(folder.stat().st_ino)
        discard(folder, seen)

    monkeypatch.setattr(pixels, "discard", after_another)
    assert discard_damaged(cache)
    assert built == [cache.stat().st_ino]


def test_files_that_nobody_wrote_do_not_matter(cache: Path) -> None:
    """What a desktop leaves in a folder is not read."""
    (cache / ".DS_Store").write_bytes(b"x")
    assert discard_damaged(cache) is None


def test_who_has_a_cache_open_keeps_it_while_it_is_built_again(files: list[Content], cache: Path) -> None:
    """The pixels are never written in place: a run that reads them is not disturbed, neither while nor after."""
    reader = PixelCache(cache)
    expected = reader.read(0).copy()
    with (cache / "pixels.bin").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0" if reader._bytes[-1] else b"\1")
    assert "pixels.bin was changed" == discard_damaged(cache)
    reader.release()
    np.testing.assert_array_equal(expected, reader.read(0))
    again = open_cache(cache, files, 40)
    np.testing.assert_array_equal(expected, reader.read(0))
    np.testing.assert_array_equal(expected, again.read(0))


READ = """
import sys
from pathlib import Path
from intelbench.data.pixels import PixelCache
cache = PixelCache(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(cache.read(0).sum())
"""


def test_a_cache_cut_short_under_a_reader_ends_it(cache: Path) -> None:
    """Its process is ended by a signal, which is recorded, and no pixel that is not there is ever trained on."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READ, cache], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout
    assert "ready\n" == reader.stdout.readline()
    os.truncate(cache / "pixels.bin", 0)
    assert "" == reader.communicate("go\n", timeout=30)[0]
    assert -signal.SIGBUS == reader.returncode


def test_a_cache_that_cannot_be_read_is_not_taken_for_a_damaged_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk says nothing about the cache: it stays, and the message names it."""

    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(UserError, match=f"cache {cache}: pixels.bin cannot be read .Input/output error."):
        discard_damaged(cache)
    assert (cache / "pixels.bin").exists()


def test_the_digests_cover_a_cache_of_several_blocks(
    tmp_path: Path, files: list[Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the last, shorter block, and a byte in the middle of any."""
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", 1000)
    folder = tmp_path / "caches" / "key"
    size = open_cache(folder, files, 40)._bytes.size
    assert size % 1000 > 0
    for place in (0, 999, 1000, size // 2, size - 1):
        with (folder / "pixels.bin").open("r+b") as file:
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 1]))
        assert "pixels.bin was changed" == discard_damaged(folder)
        open_cache(folder, files, 40)
    assert discard_damaged(folder) is None
