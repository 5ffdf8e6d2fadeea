"""The cache holds what was decoded, or says that it does not; a file that changes is noticed."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelbench.data import decoding, pixels
from intelbench.data.decoding import Pixels, decode, find_unreadable
from intelbench.data.files import Content, digest_of
from intelbench.data.pixels import (
    DamagedCacheError,
    DecodedOnTheFly,
    PixelCache,
    cache_key,
    discard_damaged,
    open_cache,
)
from intelbench.errors import UserError
from tests.conftest import write_image


def contents_of(*paths: Path) -> list[Content]:
    """The files as they are now."""
    return [Content(path, digest_of(path)) for path in paths]


def append(path: Path) -> None:
    """Add a byte."""
    path.write_bytes(path.read_bytes() + b"\0")


def decoded(content: Content, shorter_side: int = 40) -> Pixels:
    """The pixels of a file."""
    return decode(content.path.read_bytes(), shorter_side)


@pytest.fixture
def files(tmp_path: Path) -> list[Content]:
    """Pictures of many sizes and modes, two of them damaged."""
    paths = [
        tmp_path / "in" / f"{index}.{suffix}" for index, suffix in enumerate(["png", "jpg", "gif", "png", "jpg", "png"])
    ]
    for index, path in enumerate(paths):
        write_image(path, seed=index, size=(20 + 17 * index, 90 - 13 * index))
    paths[2].write_bytes(b"")
    paths[4].write_text("no picture")
    return contents_of(*paths)


def test_cache_holds_what_decode_gives(tmp_path: Path, files: list[Content]) -> None:
    """Bit for bit, also after pages were released, also when opened again; what does not decode has its reason."""
    open_cache(tmp_path / "cache", files, 40)
    cache = PixelCache(tmp_path / "cache")
    assert len(files) == len(cache)
    assert {2: "empty file", 4: "not an image"} == cache.unreadable
    for _ in range(2):
        for row in set(range(len(files))) - set(cache.unreadable):
            np.testing.assert_array_equal(decoded(files[row]), cache.read(row))
        cache.release()


def test_decoding_on_the_fly_gives_the_same_pixels(tmp_path: Path, files: list[Content]) -> None:
    """With and without the cache the pixels are equal, and both may be handed to torch without a warning."""
    cache, direct = open_cache(tmp_path / "cache", files, 40), DecodedOnTheFly(files, 40)
    for row in set(range(len(files))) - set(cache.unreadable):
        np.testing.assert_array_equal(direct.read(row), cache.read(row))
        assert direct.read(row).flags.writeable
        assert cache.read(row).flags.writeable
    direct.release()


def test_find_unreadable_names_the_same_rows(tmp_path: Path, files: list[Content]) -> None:
    """Looking without keeping finds what building finds."""
    assert open_cache(tmp_path / "cache", files, 40).unreadable == find_unreadable(files, 40)


def test_an_existing_cache_is_read_and_not_built_again(
    tmp_path: Path, files: list[Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second opening decodes nothing."""
    first = open_cache(tmp_path / "cache", files, 40)
    monkeypatch.setattr(pixels, "decode_all", None)
    np.testing.assert_array_equal(first.read(0), open_cache(tmp_path / "cache", files, 40).read(0))


def test_a_cache_of_nothing_but_damage_can_be_opened(tmp_path: Path, files: list[Content]) -> None:
    """All images unreadable is for the caller to report, not a reason to crash."""
    assert {0: "empty file", 1: "not an image"} == open_cache(tmp_path / "cache", [files[2], files[4]], 40).unreadable


def test_more_images_than_are_decoded_at_once(
    tmp_path: Path, files: list[Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of a build join without a gap."""
    monkeypatch.setattr(decoding, "_BATCH", 4)
    contents = [files[0], files[1], files[3], files[5]] * 3
    cache = open_cache(tmp_path / "cache", contents, 40)
    for row, content in enumerate(contents):
        np.testing.assert_array_equal(decoded(content), cache.read(row))


BUILD = """
import sys
from pathlib import Path
from intelbench.data.files import Content, digest_of
from intelbench.data.pixels import open_cache
folder, *paths = map(Path, sys.argv[1:])
contents = [Content(path, digest_of(path)) for path in paths]
print("ready", flush=True)
sys.stdin.readline()
cache = open_cache(folder, contents, 40)
print(sum(int(cache.read(row).sum()) for row in range(len(paths))))
"""


def test_processes_that_build_one_cache_at_once(tmp_path: Path) -> None:
    """All end with the same valid cache, and nobody's scratch folder is left."""
    paths = [tmp_path / "in" / f"{index}.png" for index in range(60)]
    for index, path in enumerate(paths):
        write_image(path, seed=index, size=(120, 100))
    folder = tmp_path / "caches" / "key"
    builders = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", BUILD, folder, *paths],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    assert ["ready\n"] * 3 == [builder.stdout.readline() for builder in builders if builder.stdout]
    for builder in builders:
        assert builder.stdin
        builder.stdin.write("go\n")
        builder.stdin.flush()
    outputs = [builder.communicate(timeout=60)[0] for builder in builders]
    expected = sum(int(decoded(content).sum()) for content in contents_of(*paths))
    assert [f"{expected}\n"] * 3 == outputs
    assert [0] * 3 == [builder.returncode for builder in builders]
    assert ["key"] == [entry.name for entry in folder.parent.iterdir()]


def test_builders_with_one_process_number(
    tmp_path: Path, files: list[Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers on one disk may have equal process numbers, as threads have: neither spoils the other's work."""
    folder = tmp_path / "caches" / "key"
    first_built, second_began, first_ended = threading.Event(), threading.Event(), threading.Event()
    build = pixels._build

    def in_turns(scratch: Path, contents: list[Content], side: int) -> None:
        if not first_built.is_set():
            build(scratch, contents, side)
            first_built.set()
            assert second_began.wait(10)
        else:
            second_began.set()
            assert first_ended.wait(10)
            build(scratch, contents, side)

    monkeypatch.setattr(pixels, "_build", in_turns)
    problems: list[Exception] = []

    def work() -> None:
        try:
            np.testing.assert_array_equal(decoded(files[0]), open_cache(folder, files, 40).read(0))
        except Exception as error:  # noqa: BLE001 - handed to the test's own thread
            problems.append(error)

    first, second = threading.Thread(target=work), threading.Thread(target=work)
    first.start()
    assert first_built.wait(10)
    second.start()
    first.join()
    first_ended.set()
    second.join()
    assert [] == problems
    assert ["key"] == [entry.name for entry in folder.parent.iterdir()]


@pytest.mark.parametrize("where", ["decode_all", "_digests"])
def test_a_failed_build_leaves_nothing(
    tmp_path: Path, files: list[Content], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A full disk is one line that names the folder and the way out; nothing stays, and the next build succeeds."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "caches" / "key"
    with monkeypatch.context() as patch:
        patch.setattr(pixels, where, full)
        with pytest.raises(UserError) as caught:
            open_cache(folder, files, 40)
    assert (
        f"cache {folder.parent}: cannot be written (No space left on device). Expected a writable folder. Try another "
        "one with --cache-dir"
    ) == str(caught.value)
    assert [] == list(folder.parent.iterdir())
    assert len(files) == len(open_cache(folder, files, 40))


def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, files: list[Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is passed on, without a cache and without a draft."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pixels, "_digests", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_cache(tmp_path / "caches" / "key", files, 40)
    assert [] == list((tmp_path / "caches").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_disk_that_fills_up_while_it_is_written(tmp_path: Path, files: list[Content]) -> None:
    """The system's own error, at whatever moment the buffer is written out."""
    draft = tmp_path / "draft"
    draft.mkdir()
    (draft / "pixels.bin").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        pixels._build(draft, files, 40)


@pytest.mark.parametrize("act", [Path.unlink, lambda path: path.write_bytes(b"other"), append])
def test_a_file_that_changes_while_the_cache_is_built_stops_it(
    tmp_path: Path, files: list[Content], act: Callable[[Path], object]
) -> None:
    """What is decoded are the bytes that were listed: else the cache would hold other images than its name says."""
    act(files[3].path)
    with pytest.raises(UserError, match=f"data {files[3].path}: (has changed since|cannot be read any more)"):
        open_cache(tmp_path / "caches" / "key", files, 40)
    assert [] == list((tmp_path / "caches").iterdir())


def test_a_failing_disk_is_not_remembered_as_a_bad_image(
    tmp_path: Path, files: list[Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that may pass stops the build and names the file; when it has passed, the image is in the cache."""
    real = os.read

    def failing(descriptor: int, size: int) -> bytes:
        if os.fstat(descriptor).st_ino == files[3].path.stat().st_ino:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, size)

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", failing)
        with pytest.raises(UserError, match=rf"data {files[3].path}: cannot be read just now \(Input/output error\)"):
            open_cache(tmp_path / "cache", files, 40)
    np.testing.assert_array_equal(decoded(files[3]), open_cache(tmp_path / "cache", files, 40).read(3))


def test_on_the_fly_a_changed_file_is_noticed(files: list[Content]) -> None:
    """Another picture of the same name is an error that names it, and so is one that is gone; the others are read."""
    direct = DecodedOnTheFly(files, 40)
    write_image(files[0].path, seed=99)
    files[1].path.unlink()
    with pytest.raises(UserError, match=f"data {files[0].path}: has changed since the session began"):
        direct.read(0)
    with pytest.raises(
        UserError, match=rf"data {files[1].path}: cannot be read any more \(No such file or directory\)"
    ):
        direct.read(1)
    np.testing.assert_array_equal(decoded(files[3]), direct.read(3))


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


def test_cache_key_depends_on_contents_and_size() -> None:
    """Other contents, another order of rows, another side or another Pillow: another cache."""
    keys = [cache_key(["a", "b"], 40), cache_key(["a", "c"], 40), cache_key(["b", "a"], 40), cache_key(["a", "b"], 41)]
    assert 4 == len(set(keys))
    assert keys[0] == cache_key(["a", "b"], 40)


def test_cache_key_depends_on_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Pillow may decode to other pixels, so it has a cache of its own."""
    before = cache_key(["a"], 40)
    monkeypatch.setattr(pixels.PIL, "__version__", "0.0")
    assert before != cache_key(["a"], 40)
