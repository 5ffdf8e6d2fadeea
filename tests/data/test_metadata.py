"""Whatever metadata an image file has, the image is read, and turned by its orientation alone."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from intelbench.data.decoding import Pixels, decode
from intelbench.data.metadata import Parts, separate

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def picture() -> Image.Image:
    """48 x 32 pixels that say where they belong."""
    rows, columns = np.mgrid[0:32, 0:48]
    return Image.fromarray(np.stack([rows * 8, columns * 5, rows * 0 + 77], 2).astype(np.uint8))


def encoded(kind: str, **options: object) -> bytes:
    """The picture as a file of that kind."""
    file = io.BytesIO()
    picture().save(file, kind, **options)
    return file.getvalue()


def turned(kind: str) -> Pixels:
    """What the file of that kind looks like without metadata, turned by orientation 6."""
    return np.rot90(decode(encoded(kind), 64), -1)


def tags(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """EXIF data with these tags: number, type, count and four bytes of value or place."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    packed = [struct.pack(order + "HHL", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in sorted(entries)]
    return head + struct.pack(order + "LH", 8, len(entries)) + b"".join(packed) + bytes(12)


ORIENTATION_6 = (0x0112, 3, 1, struct.pack("<H", 6))
ODD_TAGS = [
    (tag, kind, count, value)
    for tag in (0x00FE, 0x0106, 0x010D, 0x010F, 0x011A, 0x0128, 0x8769, 0xFFFF)
    for kind in (0, 1, 2, 3, 5, 7, 12)
    for count, value in ((0, b""), (1, b"1"), (3, b"72"), (1, struct.pack("<L", 38)), (2**32 - 1, b"\xff" * 4))
]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_odd_tag_keeps_an_image_from_being_read(kind: str) -> None:
    """Hundreds of tags of other types and lengths than the standard's: read without a warning, and turned."""
    expected = turned(kind)
    for entry in ODD_TAGS:
        content = encoded(kind, exif=b"Exif\0\0" + tags(ORIENTATION_6, entry))
        np.testing.assert_array_equal(expected, decode(content, 64), str(entry))


@given(kind=st.sampled_from(["JPEG", "PNG", "WEBP"]), exif=st.binary(min_size=1, max_size=60))
@settings(max_examples=100)
def test_any_bytes_can_be_exif_data(kind: str, exif: bytes) -> None:
    """Whatever they are, the pixels are those of the file without them, perhaps turned."""
    plain = decode(encoded(kind), 64)
    got = decode(encoded(kind, exif=b"Exif\0\0" + exif), 64)
    assert sorted(plain.shape) == sorted(got.shape)
    assert int(plain.sum()) == int(got.sum())


@pytest.mark.parametrize(
    ("exif", "orientation"),
    [
        (tags(ORIENTATION_6), 6),
        (tags((0x0112, 3, 1, b"\0\6"), order=">"), 6),
        (tags((0x0112, 4, 1, b"\6")), 6),
        (tags((0x0112, 2, 1, b"6")), 1),
        (tags((0x0112, 3, 0, b"\6")), 1),
        (tags((0x0112, 3, 3, b"\xff\xff\xff\xff")), 1),
        (tags((0x010F, 2, 1, b"x")), 1),
        (b"II*\0\xff\xff\xff\xff", 1),
        (b"II*\0", 1),
        (b"GIF", 1),
    ],
)
def test_the_orientation_tag(exif: bytes, orientation: int) -> None:
    """An integer of either byte order; without one inside the data, the image is upright."""
    assert orientation == separate(encoded("JPEG", exif=b"Exif\0\0" + exif)).orientation


def with_png_text(keyword: str, text: str, *, compressed: bool, international: bool) -> bytes:
    """The picture as a PNG with a text."""
    info = PngImagePlugin.PngInfo()
    add: Callable[..., None] = info.add_itxt if international else info.add_text
    add(keyword, text, zip=compressed)
    return encoded("PNG", pnginfo=info)


def xmp_files() -> Iterator[tuple[str, bytes]]:
    """Files with an orientation in XMP alone."""
    yield "JPEG", encoded("JPEG", xmp=XMP)
    yield "WEBP", encoded("WEBP", xmp=XMP)
    yield "TIFF", encoded("TIFF", tiffinfo={700: XMP})
    for compressed in (False, True):
        yield "PNG", with_png_text("XML:com.adobe.xmp", XMP.decode(), compressed=compressed, international=True)


def test_orientation_in_xmp() -> None:
    """It counts where there is no EXIF tag, in every format that can hold it."""
    for kind, content in xmp_files():
        np.testing.assert_array_equal(turned(kind), decode(content, 64), kind)


@pytest.mark.parametrize("compressed", [False, True])
def test_orientation_in_a_png_as_imagemagick_writes_it(compressed: bool) -> None:
    """A text of hexadecimal digits holds the EXIF data; any other text is passed over."""
    exif = b"Exif\0\0" + tags(ORIENTATION_6)
    for digits, expected in ((exif.hex(), turned("PNG")), ("no digits", decode(encoded("PNG"), 64))):
        content = with_png_text(
            "Raw profile type exif", f"\nexif\n{len(exif):8}\n{digits}\n", compressed=compressed, international=False
        )
        np.testing.assert_array_equal(expected, decode(content, 64))


def test_long_texts_and_profiles_do_not_make_a_png_damaged() -> None:
    """More than a megabyte of text or colour profile, compressed or not: the pixels are what they are."""
    plain = decode(encoded("PNG"), 64)
    for international in (False, True):
        for compressed in (False, True):
            text = with_png_text("Comment", "x" * 2**21, compressed=compressed, international=international)
            np.testing.assert_array_equal(plain, decode(text, 64))
    np.testing.assert_array_equal(plain, decode(encoded("PNG", icc_profile=bytes(2**21)), 64))


@pytest.mark.parametrize(
    "name", [b"gAMA", b"cHRM", b"pHYs", b"sRGB", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"prVt"]
)
@pytest.mark.parametrize("body", [b"", b"\0", b"a\0\7\7"])
def test_a_malformed_chunk_that_says_nothing_of_the_pixels(name: bytes, body: bytes) -> None:
    """Gamma, sizes of print, profiles, texts and private chunks are not looked at by the decoder."""
    content = encoded("PNG")
    chunk = struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
    np.testing.assert_array_equal(decode(content, 64), decode(content[:33] + chunk + content[33:], 64))


@pytest.mark.parametrize("marker", [0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE])
@pytest.mark.parametrize(
    "body", [b"", b"Exif\0\0", b"JFIF", b"Adobe", b"MPF\0xx", b"Photoshop 3.0\0" + b"8BIM\3\xed\0\0"]
)
def test_a_malformed_segment_of_a_jpeg(marker: int, body: bytes) -> None:
    """Application segments and comments of any content do not reach the decoder."""
    content = encoded("JPEG")
    segment = struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body
    np.testing.assert_array_equal(decode(content, 64), decode(content[:2] + segment + content[2:], 64))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_odd_tags_of_a_tiff(compression: str, big: bool) -> None:
    """Resolutions that are texts, pointers to nowhere: the tags of the pixels are enough."""
    expected = decode(encoded("TIFF"), 64)
    exif = odd_exif()
    exif[0x010F], exif[0x011A], exif[0x011B], exif[0x0128] = "maker", 72.0, 72.0, 3
    content = bytearray(encoded("TIFF", compression=compression, big_tiff=big, exif=exif))
    for number, kind, odd in ((0x010F, 2, 12), (0x011A, 5, 2)):
        at = content.index(struct.pack("<HH", number, kind))
        content[at + 2 : at + 4] = struct.pack("<H", odd)
    np.testing.assert_array_equal(np.rot90(expected, -1), decode(bytes(content), 64))


def odd_exif() -> Image.Exif:
    """Orientation 6, and a directory of a camera's settings."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2024:07:01 12:00:00"
    return exif


def test_what_is_no_image_is_left_as_it_is() -> None:
    """So are formats without metadata; the decoder judges them."""
    for content in (
        b"",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0",
        b"MM\0*\xff\xff\xff\xff",
        b"GIF89a",
        encoded("BMP"),
    ):
        assert Parts(content) == separate(content)


@given(kind=st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP"]), data=st.data())
@settings(max_examples=100)
def test_a_file_cut_anywhere_is_separated(kind: str, data: st.DataObject) -> None:
    """Nothing is raised, and nothing is invented: at most as many bytes are left as there were."""
    content = encoded(kind, exif=odd_exif())
    cut = content[: data.draw(st.integers(0, len(content)))]
    assert len(cut) >= len(separate(cut).pixels)
