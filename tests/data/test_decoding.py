"""Decoding of every kind of file that people have."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from intelbench.data import decoding
from intelbench.data.decoding import Pixels, UnreadableImageError


def decode(path: Path, shorter_side: int) -> Pixels:
    """The pixels of a file."""
    return decoding.decode(path.read_bytes(), shorter_side)


def gradient(width: int = 48, height: int = 32) -> np.ndarray:
    """A picture in which every pixel's place can be told."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // max(1, height - 1), columns * 255 // max(1, width - 1), rows * 0 + 77], 2).astype(
        np.uint8
    )


def encoded(suffix: str, mode: str = "RGB", size: tuple[int, int] = (24, 16), **options: object) -> bytes:
    """A small picture as a file."""
    buffer = io.BytesIO()
    buffer.name = f"x.{suffix}"
    Image.fromarray(gradient(*size)).convert(mode).save(buffer, **options)
    return buffer.getvalue()


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
@settings(max_examples=20)
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
@settings(max_examples=60)
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
        assert abs(got_width - width * scale) <= 0.5
        assert abs(got_height - height * scale) <= 0.5


@pytest.mark.parametrize(("orientation", "shape"), [(1, (66, 8, 3)), (6, (8, 66, 3))])
def test_a_reduced_jpeg_keeps_the_aspect_ratio_of_its_full_size(
    tmp_path: Path, orientation: int, shape: tuple[int, ...]
) -> None:
    """33 x 271 is decoded at half its size, 17 x 136, whose ratio is another one."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient(33, 271)).save(tmp_path / "x.jpg", exif=exif)
    assert shape == decode(tmp_path / "x.jpg", 8).shape


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


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_exif_orientation_holds_for_tiff(orientation: int, compression: str) -> None:
    """Pillow turns these itself; an uncompressed one that it opened by name it would scramble."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {5: np.transpose(gradient(), (1, 0, 2)), 6: np.rot90(gradient(), -1), 8: np.rot90(gradient(), 1)}
    turned[7] = np.rot90(turned[5], 2)
    content = encoded("tif", size=(48, 32), exif=exif, compression=compression)
    np.testing.assert_array_equal(turned[orientation], decoding.decode(content, 64))
