"""Damaged image files, and those that are made to do harm, are refused with a reason."""

import io
import resource
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from intelbench.data import decoding
from intelbench.data.decoding import UnreadableImageError, find_unreadable
from intelbench.data.files import Content, digest_of
from intelbench.errors import UserError
from tests.conftest import write_image
from tests.data.test_decoding import encoded, refusal


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


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x20ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0", "JPEG 2000"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b'<?xml version="1.0"?>\n<svg/>', "SVG"),
    ],
)
def test_a_format_that_is_not_read_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    """Whatever the file is called; and the message says what to do."""
    (tmp_path / "x.jpg").write_bytes(content.ljust(200, b"\0"))
    assert f"{name}, a format that is not read; convert it to JPEG or PNG" == refusal(tmp_path / "x.jpg")


@pytest.mark.parametrize("error", [KeyError(262), AttributeError("x"), AssertionError(), RuntimeError("a\x1bb")])
def test_whatever_a_decoder_raises_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It concerns one file and is said in one printable line; nothing that it raises ends the command."""
    write_image(tmp_path / "x.png")

    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(decoding, "_as_rgb", failing)
    reason = find_unreadable([Content(tmp_path / "x.png", digest_of(tmp_path / "x.png"))], 64)[0]
    assert reason.startswith("damaged: ")
    assert len(reason) > len("damaged: ")
    assert reason.isprintable()


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


SUFFIXES = ["jpg", "png", "gif", "bmp", "webp", "tif", "ppm", "pgm"]
TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
OPTIONS: dict[str, list[dict[str, object]]] = {
    "jpg": [{}, {"progressive": True}, {"exif": TURNED}],
    "tif": [{}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}],
    "webp": [{}, {"lossless": True}, {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}],
    "gif": [{}, {"save_all": True, "append_images": [Image.new("RGB", (24, 16), "red")]}],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow may say more about a damaged file
@given(st.data())
@settings(max_examples=300)
def test_no_damage_escapes(data: st.DataObject) -> None:
    """Whatever bytes are altered, cut or put in, a file decodes to pixels or is refused in one printable line."""
    suffix = data.draw(st.sampled_from(SUFFIXES))
    mode = "L" if suffix == "pgm" else data.draw(st.sampled_from(["RGB", "L", "1", "RGB"]))
    content = bytearray(encoded(suffix, mode, **data.draw(st.sampled_from(OPTIONS.get(suffix, [{}])))))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, min(300, len(content) - 1)))
        match data.draw(st.integers(0, 3)):
            case 0:
                content[place] = data.draw(st.integers(0, 255))
            case 1:
                content[place : place + 4] = data.draw(st.sampled_from(EXTREMES))
            case 2:
                content[place:place] = data.draw(st.binary(max_size=8))
            case _:
                del content[place : place + data.draw(st.integers(1, 8))]
        if not content:
            break
    try:
        assert 3 == decoding.decode(bytes(content), 64).shape[2]
    except UnreadableImageError as error:
        assert str(error)
        assert str(error).isprintable()
        assert 300 > len(str(error))


EXTREMES = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x80\0\0\0"]


def declaring(suffix: str, width: int, height: int) -> bytes:
    """A file of some hundred bytes whose header speaks of other dimensions."""
    content = bytearray(encoded(suffix, "L" if suffix == "pgm" else "RGB"))
    if suffix == "jpg":
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", height, width)
    elif suffix == "png":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif suffix == "gif":
        content[6:10] = struct.pack("<HH", width, height)
    elif suffix == "bmp":
        content[18:26] = struct.pack("<ii", width, height)
    elif suffix == "webp":  # the canvas of an animation; one picture has 14 bits a side
        content = bytearray(encoded("webp", save_all=True, append_images=[Image.new("RGB", (24, 16))]))
        place = content.index(b"VP8X") + 12
        content[place : place + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif suffix == "tif":
        return tiff({256: width, 257: height, 273: 8, 278: height, 279: 99})
    else:
        content[:] = content.replace(b"24 16", b"%d %d" % (width, height))
    return bytes(content)


def tiff(tags: dict[int, int]) -> bytes:
    """A deflated grey TIFF with these tags, each a 32-bit number, and no pixels to speak of."""
    tags = {258: 8, 259: 8, 262: 1, 277: 1, **tags}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    data = zlib.compress(bytes(2**16), 9).ljust(100, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("side", [16_384, 50_000])
def test_a_bomb_is_refused_before_it_is_unpacked(suffix: str, side: int) -> None:
    """A file of some hundred bytes that speaks of billions of pixels, in every format: no memory, no warning."""
    content = declaring(suffix, side, side)
    assert 2000 > len(content)
    with limited_memory(300 * 2**20), pytest.raises(UnreadableImageError, match="too large to be decoded safely"):
        decoding.decode(content, 64)


@contextmanager
def limited_memory(num_bytes: int) -> Iterator[None]:
    """Let this process take so many bytes more than it has."""
    used = psutil.Process().memory_info().vms
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_tile_larger_than_its_image_is_refused() -> None:
    """A TIFF of 64 x 64 pixels in one tile of a gigabyte: the size of the image says nothing about the memory."""
    content = tiff({256: 64, 257: 64, 322: 32_768, 323: 32_768, 324: 8, 325: 99})
    with limited_memory(300 * 2**20), pytest.raises(UnreadableImageError, match="32768x32768 pixels: too large"):
        decoding.decode(content, 64)


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    """Ten bytes a scan, and a pass over all pixels for each; as many as encoders write are decoded."""
    whole = encoded("jpg", "L", (600, 400), progressive=True)
    end = whole.rindex(b"\xff\xd9")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10"
    assert (67, 100, 3) != decoding.decode(whole[:end] + 20 * scan + whole[end:], 64).shape
    with pytest.raises(UnreadableImageError, match=r"progressive JPEG of 10\d\d scans: too many"):
        decoding.decode(whole[:end] + 1000 * scan + whole[end:], 64)


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they could fill the memory. Small ones do not wait, nor large JPEGs, which are decoded at a fraction."""
    monkeypatch.setattr(decoding, "_LARGE", 40 * 40)
    content = encoded("png", size=(41, 40))
    waiting = threading.Thread(target=decoding.decode, args=(content, 8))
    with decoding._large_images:
        waiting.start()
        assert (8, 12, 3) == decoding.decode(encoded("png", size=(24, 16)), 8).shape
        assert (8, 12, 3) == decoding.decode(encoded("jpg", size=(240, 160)), 8).shape
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def test_no_other_program_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript under the name of a picture would be given to Ghostscript; it is no image here."""
    (tmp_path / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with Image.open(tmp_path / "x.jpg") as image:
        assert "EPS" == image.format
    monkeypatch.setattr(subprocess, "Popen", None)
    assert "not an image" == refusal(tmp_path / "x.jpg")


def test_reasons_carry_no_escapes() -> None:
    """What a decoder quotes from a file cannot colour or clear a terminal."""
    with pytest.raises(UnreadableImageError) as caught:
        decoding.decode(b"P3 \x1b[31m\x07 2 255 0 0 0", 64)
    assert str(caught.value).isprintable()


def test_a_lack_of_memory_is_not_the_image_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops the command with the file's name, where calling the image damaged would be remembered."""
    write_image(tmp_path / "x.png")
    for error in (MemoryError(), OSError("out of memory when reading image file")):

        def failing(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(decoding, "_as_rgb", failing)
        with pytest.raises(UserError, match=f"data {tmp_path / 'x.png'}: not enough memory to decode it"):
            find_unreadable([Content(tmp_path / "x.png", digest_of(tmp_path / "x.png"))], 64)


def test_find_unreadable_names_the_rows(tmp_path: Path) -> None:
    """Row and reason of what does not decode, in one reading of all; Pillow's own warnings are not passed on."""
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for path in paths:
        write_image(path)
    paths[1].write_bytes(b"")
    paths[3].write_bytes(declaring("png", 12_000, 10_000))
    found = find_unreadable([Content(path, digest_of(path)) for path in paths], 64)
    assert {1: "empty file", 3: "12000x10000 pixels: too large to be decoded safely"} == found
