"""The cache holds what was decoded; a file that changes while it is built is noticed."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from intelbench.data import decoding, pixels
from intelbench.data.decoding import Pixels, decode, find_unreadable
from intelbench.data.files import Content
from intelbench.data.pixels import (
    DecodedOnTheFly,
    PixelCache,
    cache_key,
    open_cache,
)
from intelbench.errors import UserError
from tests.conftest import write_image
from tests.data.conftest import append, contents_of


def decoded(content: Content, shorter_side: int = 40) -> Pixels:
    """The pixels of a file."""
    return decode(content.path.read_bytes(), shorter_side)


def test_cache_holds_what_decode_gives(tmp_path: Path, files: list[Content]) -> None:
    """Bit for bit, also after pages were released, also when opened again; what does not decode has its reason."""
    open_cache(tmp_path / "cache", files, 40)
    cache = PixelCache(tmp_path / "cache")
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
        "one with --cache-dir, or `cache_folder` in Python"
    ) == str(caught.value)
    assert [] == list(folder.parent.iterdir())
    assert {2: "empty file", 4: "not an image"} == open_cache(folder, files, 40).unreadable


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
