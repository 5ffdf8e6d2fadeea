"""Decoding of every kind of file that people have, and the cache of decoded pixels."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from intelbench.data import pixels
from intelbench.data.pixels import (
    DecodedOnTheFly,
    PixelCache,
    UnreadableImageError,
    cache_key,
    decode,
    find_unreadable,
    open_cache,
)
from tests.conftest import write_image


def gradient(width: int = 48, height: int = 32) -> np.ndarray:
    """A picture in which every pixel's place can be told."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // max(1, height - 1), columns * 255 // max(1, width - 1), rows * 0 + 77], 2).astype(
        np.uint8
    )


def refusal(path: Path) -> str:
    """Why the file does not decode."""
    with pytest.raises(UnreadableImageError) as caught:
        decode(path, 64)
    return str(caught.value)


def test_png_decodes_to_its_pixels(tmp_path: Path) -> None:
    """A lossless RGB file that is small enough comes back exactly: height x width x 3, uint8."""
    Image.fromarray(gradient()).save(tmp_path / "x.png")
    np.testing.assert_array_equal(gradient(), decode(tmp_path / "x.png", 64))


def test_jpeg_decodes_as_pillow_does(tmp_path: Path) -> None:
    """A JPEG that need not be reduced has the pixels that Pillow gives it."""
    Image.fromarray(gradient()).save(tmp_path / "x.jpg")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.jpg")), decode(tmp_path / "x.jpg", 64))


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    """Grey pixels have three equal channels."""
    grey = gradient()[:, :, 1]
    Image.fromarray(grey).save(tmp_path / "x.png")
    np.testing.assert_array_equal(np.stack([grey] * 3, 2), decode(tmp_path / "x.png", 64))


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    """Bits become 0 and 255."""
    bits = gradient()[:, :, 1] > 127
    Image.fromarray(bits).save(tmp_path / "x.png")
    np.testing.assert_array_equal(np.stack([bits * np.uint8(255)] * 3, 2), decode(tmp_path / "x.png", 64))


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 128, 255])])
def test_palette_becomes_its_colours(tmp_path: Path, transparency: object) -> None:
    """Palette images show their colours, and transparency of either kind is dropped without a warning."""
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "x.png", **({} if transparency is None else {"transparency": transparency}))
    expected = [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    assert expected == decode(tmp_path / "x.png", 64).tolist()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped(tmp_path: Path, mode: str) -> None:
    """Colour stays as it is stored, also under full transparency, as in torchvision's ImageFolder."""
    image = Image.fromarray(gradient()).convert(mode)
    image.putalpha(0)
    image.save(tmp_path / "x.png")
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), decode(tmp_path / "x.png", 64))


def test_cmyk_jpeg_shows_its_colours(tmp_path: Path) -> None:
    """A printer's JPEG looks like the picture it was made from, not like its negative."""
    flat = np.full((16, 16, 3), (200, 60, 30), dtype=np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "x.jpg", quality=95)
    decoded = decode(tmp_path / "x.jpg", 64)
    assert flat.shape == decoded.shape
    assert np.abs(decoded.astype(int) - flat).max() <= 8


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    """65535 becomes 255, the middle the middle: clipping at 255 would make nearly everything white."""
    values = np.array([[0, 257, 32768, 65278, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    assert [0, 1, 128, 254, 255] == decode(tmp_path / "x.png", 64)[0, :, 0].tolist()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@given(values=st.lists(st.integers(0, 65535), min_size=1, max_size=16))
@settings(max_examples=20, deadline=None)
def test_16_bit_grey_is_rounded(tmp_path_factory: pytest.TempPathFactory, suffix: str, values: list[int]) -> None:
    """Every 16-bit value becomes the nearest of the 256, in every format that holds such images."""
    path = tmp_path_factory.mktemp("grey") / f"x{suffix}"
    Image.fromarray(np.array([values], dtype=np.uint16)).save(path)
    assert [round(value / 257) for value in values] == decode(path, 64)[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda stored: stored),
        (2, np.fliplr),
        (3, lambda stored: np.rot90(stored, 2)),
        (6, lambda stored: np.rot90(stored, -1)),
        (8, lambda stored: np.rot90(stored, 1)),
    ],
)
def test_exif_orientation_is_applied(
    tmp_path: Path, orientation: int, upright: Callable[[np.ndarray], np.ndarray]
) -> None:
    """A camera held upright writes its pixels lying down and a tag beside them; the network sees them upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(upright(gradient()), decode(tmp_path / "x.png", 64))


def test_exif_orientation_holds_for_reduced_jpegs(tmp_path: Path) -> None:
    """Orientation 6 of a large JPEG: the upright picture is tall, and its shorter side is reduced."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient(480, 320)).save(tmp_path / "x.jpg", exif=exif)
    decoded = decode(tmp_path / "x.jpg", 64)
    assert (96, 64, 3) == decoded.shape
    assert decoded[0, :, 0].mean() > 100  # the top row was the left column, whose first channel runs through all rows
    assert decoded[:, -1, 0].mean() < 10  # the right column was the top row


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    side=st.integers(8, 64),
    suffix=st.sampled_from(["png", "jpg"]),
)
@settings(max_examples=60, deadline=None)
def test_images_are_reduced_and_never_enlarged(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, side: int, suffix: str
) -> None:
    """The shorter side becomes `side` where it was larger; else the size stays. The aspect ratio is kept to a pixel."""
    path = tmp_path_factory.mktemp("size") / f"x.{suffix}"
    Image.fromarray(gradient(width, height)).save(path)
    got_height, got_width, channels = decode(path, side).shape
    assert 3 == channels
    if min(width, height) <= side:
        assert (height, width) == (got_height, got_width)
    else:
        assert side == min(got_height, got_width)
        scale = side / min(width, height)
        # A reduced JPEG is first cut to eighths, rounded up: at most one pixel of the reduced image.
        assert abs(got_width - width * scale) <= 1.5
        assert abs(got_height - height * scale) <= 1.5


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (1, 64), (7, 9)])
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp"])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    """Slivers and single pixels keep their size."""
    Image.fromarray(gradient(*size)).save(tmp_path / f"x.{suffix}")
    assert (size[1], size[0], 3) == decode(tmp_path / f"x.{suffix}", 64).shape


def test_reduced_jpegs_look_like_reduced_pictures(tmp_path: Path) -> None:
    """Decoding a large JPEG at a fraction of its size gives nearly the pixels of decoding it whole."""
    Image.fromarray(gradient(1200, 800)).save(tmp_path / "x.jpg", quality=95)
    whole = np.asarray(Image.open(tmp_path / "x.jpg").resize((96, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(decode(tmp_path / "x.jpg", 64) - whole).max() <= 6


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    """Their range is anyone's guess."""
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(tmp_path / "x.tif")
    assert "floating-point pixels have no agreed range; convert it to 8 bits" == refusal(tmp_path / "x.tif")


def test_32_bit_pixels_are_refused(tmp_path: Path) -> None:
    """Values above 16 bits have no agreed range either."""
    Image.fromarray(np.full((4, 4), 70000, dtype=np.int32)).save(tmp_path / "x.tif")
    assert "32-bit pixels have no agreed range; convert it to 8 bits" == refusal(tmp_path / "x.tif")


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    """The usual trace of an interrupted download."""
    (tmp_path / "x.jpg").write_bytes(b"")
    assert "empty file" == refusal(tmp_path / "x.jpg")


def test_text_is_not_an_image(tmp_path: Path) -> None:
    """The content decides and not the suffix."""
    (tmp_path / "x.jpg").write_text("<html>404</html>")
    assert "not an image" == refusal(tmp_path / "x.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp", "tif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_damaged(tmp_path: Path, suffix: str, share: float) -> None:
    """Half a picture is no picture, in any format."""
    buffer = io.BytesIO()
    write_image(tmp_path / f"whole.{suffix}", size=(200, 150))
    buffer.write((tmp_path / f"whole.{suffix}").read_bytes())
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(buffer.getvalue()[: int(share * buffer.tell())])
    reason = refusal(path)
    assert reason == "not an image" or reason.startswith("damaged: ")
    assert str(path) not in reason


def test_a_broken_chunk_is_damaged(tmp_path: Path) -> None:
    """A PNG whose pixels were altered on the way fails its checksum."""
    write_image(tmp_path / "x.png")
    content = bytearray((tmp_path / "x.png").read_bytes())
    content[content.index(b"IDAT") + 100] ^= 0xFF
    (tmp_path / "x.png").write_bytes(content)
    assert refusal(tmp_path / "x.png").startswith("damaged: ")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow may say more about a damaged file
@given(st.data())
@settings(max_examples=100, deadline=None)
def test_no_damage_escapes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever bytes are altered, a file decodes to pixels or is refused with a reason: nothing else is raised."""
    suffix = data.draw(st.sampled_from(["jpg", "png", "gif", "bmp", "webp", "tif", "ppm"]))
    path = tmp_path_factory.mktemp("damage") / f"x.{suffix}"
    write_image(path, size=(24, 16))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(200, len(content) - 1)))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert 3 == decode(path, 64).shape[2]
    except UnreadableImageError as error:
        assert str(error)


def test_a_locked_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission is told apart from damage."""
    write_image(tmp_path / "x.png")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "x.png")

    monkeypatch.setattr(Image, "open", denied)
    assert "permission denied" == refusal(tmp_path / "x.png")


def test_an_unsafe_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to gigabytes is refused before it is unpacked, with its size."""
    write_image(tmp_path / "x.png", size=(100, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    assert refusal(tmp_path / "x.png") != ""
    monkeypatch.setattr(Image, "open", lambda path, real=Image.open: _without_check(real, path))
    assert "100x60 pixels: too large to be decoded safely" == refusal(tmp_path / "x.png")


def _without_check(real: Callable[[Path], Image.Image], path: Path) -> Image.Image:
    """Open an image as Pillow does where its own warning is silenced."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        return real(path)
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Pictures of many sizes and modes, two of them damaged."""
    paths = [
        tmp_path / "in" / f"{index}.{suffix}" for index, suffix in enumerate(["png", "jpg", "gif", "png", "jpg", "png"])
    ]
    for index, path in enumerate(paths):
        write_image(path, seed=index, size=(20 + 17 * index, 90 - 13 * index))
    paths[2].write_bytes(b"")
    paths[4].write_text("no picture")
    return paths


def test_cache_holds_what_decode_gives(tmp_path: Path, files: list[Path]) -> None:
    """Bit for bit, also after pages were released, also when opened again; what does not decode has its reason."""
    open_cache(tmp_path / "cache", files, 40)
    cache = PixelCache(tmp_path / "cache")
    assert len(files) == len(cache)
    assert {2: "empty file", 4: "not an image"} == cache.unreadable
    for _ in range(2):
        for row in set(range(len(files))) - set(cache.unreadable):
            np.testing.assert_array_equal(decode(files[row], 40), cache.read(row))
        cache.release()


def test_decoding_on_the_fly_gives_the_same_pixels(tmp_path: Path, files: list[Path]) -> None:
    """With and without the cache the pixels are equal, and both may be handed to torch without a warning."""
    cache, direct = open_cache(tmp_path / "cache", files, 40), DecodedOnTheFly(files, 40)
    for row in set(range(len(files))) - set(cache.unreadable):
        np.testing.assert_array_equal(direct.read(row), cache.read(row))
        assert direct.read(row).flags.writeable
        assert cache.read(row).flags.writeable
    direct.release()


def test_find_unreadable_names_the_same_rows(tmp_path: Path, files: list[Path]) -> None:
    """Looking without keeping finds what building finds."""
    assert open_cache(tmp_path / "cache", files, 40).unreadable == find_unreadable(files, 40)


def test_an_existing_cache_is_read_and_not_built_again(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second opening decodes nothing."""
    first = open_cache(tmp_path / "cache", files, 40)
    monkeypatch.setattr(pixels, "decode", None)
    np.testing.assert_array_equal(first.read(0), open_cache(tmp_path / "cache", files, 40).read(0))


def test_a_cache_of_nothing_but_damage_can_be_opened(tmp_path: Path, files: list[Path]) -> None:
    """All images unreadable is for the caller to report, not a reason to crash."""
    assert {0: "empty file", 1: "not an image"} == open_cache(tmp_path / "cache", [files[2], files[4]], 40).unreadable


def test_more_images_than_are_decoded_at_once(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of a build join without a gap."""
    monkeypatch.setattr(pixels, "_CHUNK", 4)
    paths = [files[0], files[1], files[3], files[5]] * 3
    cache = open_cache(tmp_path / "cache", paths, 40)
    for row, path in enumerate(paths):
        np.testing.assert_array_equal(decode(path, 40), cache.read(row))


BUILD = """
import sys
from pathlib import Path
from intelbench.data.pixels import open_cache
folder, start, *paths = map(Path, sys.argv[1:])
print("ready", flush=True)
sys.stdin.readline()
cache = open_cache(folder, paths, 40)
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
            [sys.executable, "-W", "error", "-c", BUILD, folder, "go", *paths],
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
    expected = sum(int(decode(path, 40).sum()) for path in paths)
    assert [f"{expected}\n"] * 3 == outputs
    assert [0] * 3 == [builder.returncode for builder in builders]
    assert ["key"] == [entry.name for entry in folder.parent.iterdir()]


def test_builders_with_one_process_number(tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers on one disk may have equal process numbers, as threads have: neither spoils the other's work."""
    folder = tmp_path / "caches" / "key"
    first_built, second_began, first_ended = threading.Event(), threading.Event(), threading.Event()
    build = pixels._build

    def in_turns(scratch: Path, paths: list[Path], side: int) -> None:
        if not first_built.is_set():
            build(scratch, paths, side)
            first_built.set()
            assert second_began.wait(10)
        else:
            second_began.set()
            assert first_ended.wait(10)
            build(scratch, paths, side)

    monkeypatch.setattr(pixels, "_build", in_turns)
    problems: list[Exception] = []

    def work() -> None:
        try:
            np.testing.assert_array_equal(decode(files[0], 40), open_cache(folder, files, 40).read(0))
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


def test_leftovers_of_a_dead_build_do_not_matter(tmp_path: Path, files: list[Path]) -> None:
    """Scratch folders of a process that was killed, this one's number included, are no obstacle."""
    folder = tmp_path / "caches" / "key"
    for number in (os.getpid(), 1):
        scratch = folder.with_name(f".key.{number}")
        scratch.mkdir(parents=True)
        (scratch / "pixels.bin").write_bytes(b"half")
    cache = open_cache(folder, files, 40)
    np.testing.assert_array_equal(decode(files[0], 40), cache.read(0))


def test_a_failed_build_leaves_nothing(tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or an interruption leaves neither a cache nor a scratch folder, and the next build succeeds."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "caches" / "key"
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(OSError, match="No space left"):
            open_cache(folder, files, 40)
    assert [] == list(folder.parent.iterdir())
    assert len(files) == len(open_cache(folder, files, 40))


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
