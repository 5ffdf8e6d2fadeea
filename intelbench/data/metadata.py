"""Separate the pixels of an image file from its metadata, and read the orientation from the metadata.

Cameras and editors write text, thumbnails, colour profiles and hundreds of tags into image files, often in ways that
break the standards. All metadata is cut out before the file is decoded, so that no odd tag makes an image unreadable.
Where the structure of a file is damaged, the rest of the file is left to the decoder.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

_ORIENTATION, _XMP = 0x0112, 0x02BC
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"II\0*", b"MM*\0")
"""First bytes of EXIF data; the last two are common mistakes."""
_INTEGERS = {3: "H", 4: "L", 6: "b", 8: "h", 9: "l"}
"""Format of `struct` for each integer type of a tag."""
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_PIXEL_TAGS = frozenset({
    *range(254, 260), 262, 263, 266, *range(273, 275), *range(277, 282), 284, *range(290, 294), 297, 301, 317,
    320, *range(322, 329), 332, 334, 336, *range(338, 342), 347, *range(512, 522), *range(529, 533), 559,
    *range(32995, 32999), 33421, 33422, 34016, 34925, 34926, 50674, 0xBC01,
}) - {_ORIENTATION}  # fmt: skip
"""Tags of a TIFF that describe how its pixels are stored."""
_MAX_TEXT_BYTES = 2**20
"""Bytes of a compressed text that are unpacked to search for the orientation."""
_JPEG_COLOUR_SEGMENTS = {0xE0: 14, 0xEE: 12}
"""JFIF and Adobe segments, which decide about colours, and the least bytes that decoders require of them."""
_PNG_PIXEL_CHUNKS = frozenset({b"tRNS", b"acTL", b"fcTL", b"fdAT"})
"""Chunks that affect the pixels, in addition to the critical chunks, whose names begin with a capital."""


class Parts(NamedTuple):
    """An image file without its metadata, and its orientation."""

    pixels: bytes
    """The file without the parts that do not affect the pixels."""
    orientation: int = 1
    """EXIF orientation: 1 is upright, 2 to 8 are mirrored or turned."""


def separate(content: bytes) -> Parts:
    """Separate the bytes of a JPEG, PNG, TIFF or WebP file. For WebP and other formats `pixels` is all of the bytes."""
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(content)
    if content.startswith((b"II*\0", b"MM\0*", b"II+\0")):
        return _tiff(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp(content)
    return Parts(content)


def _orientation(exif: bytes, xmp: bytes) -> int:
    """Return the orientation in EXIF data, or else the one in XMP data, or else 1."""
    exif = re.sub(b"^(Exif\0\0){1,2}", b"", exif)
    if exif.startswith(_TIFF_HEADS):
        with suppress(struct.error, OverflowError):  # cut short, or with an offset beyond the end
            for tag in _tags(exif):
                if tag.id == _ORIENTATION:
                    return _integer(exif, tag)
    return _orientation_of_xmp(xmp)


def _orientation_of_xmp(xmp: bytes) -> int:
    match = re.search(rb'tiff:Orientation(="|>)([0-9])', xmp)
    return int(match[2]) if match else 1


def _jpeg(content: bytes) -> Parts:
    """Remove comments and application segments, except those of colour. Segments after the first scan are not read."""
    kept, exif, xmp = [content[:2]], b"", b""
    position = 2
    while (marker := content[position : position + 2]) and marker[0] == 0xFF and len(marker) == 2:
        if marker[1] == 0xFF:  # a fill byte
            position += 1
            continue
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4])
        body = content[position + 4 : end]
        if marker[1] in _JPEG_COLOUR_SEGMENTS and len(body) >= _JPEG_COLOUR_SEGMENTS[marker[1]]:
            kept.append(content[position:end])
        elif marker[1] == 0xFE or 0xE0 <= marker[1] <= 0xEF:
            if body.startswith(b"Exif\0\0"):
                exif += body[6:]
            elif body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
                xmp = body
        elif 0xC0 <= marker[1] <= 0xDF and not 0xD0 <= marker[1] <= 0xDA and end > position + 3:
            kept.append(content[position:end])
        else:
            break
        position = end
    return Parts(b"".join([*kept, content[position:]]), _orientation(exif, xmp))


def _png(content: bytes) -> Parts:
    """Remove chunks that do not affect the pixels: text, colour profiles, times, print sizes, private chunks."""
    kept, exif, xmp, raw_profile = [content[:8]], b"", b"", b""
    position = 8
    while len(header := content[position : position + 8]) == 8:
        name, end = header[4:], position + 12 + int.from_bytes(header[:4])
        if end > len(content) or not name.isalpha():
            break
        body = content[position + 8 : end - 4]
        if name[:1].isupper() or name in _PNG_PIXEL_CHUNKS:
            kept.append(content[position:end])
        elif name == b"eXIf":
            exif = body
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            keyword = body.partition(b"\0")[0]
            if keyword == b"XML:com.adobe.xmp":
                xmp = _text(name, body)
            elif keyword == b"Raw profile type exif":
                raw_profile = _text(name, body)
        position = end
    if not exif and raw_profile:  # ImageMagick's format: three lines of heading, then hexadecimal digits
        with suppress(ValueError):
            exif = bytes.fromhex("".join(raw_profile.decode("latin-1").split("\n")[3:]))
    return Parts(b"".join([*kept, content[position:]]), _orientation(exif, xmp))


def _webp(content: bytes) -> Parts:
    """Read the orientation, and leave the file unchanged, because the decoder of WebP reads no metadata."""
    chunks: dict[bytes, bytes] = {}
    position = 12
    while len(header := content[position : position + 8]) == 8:
        size = int.from_bytes(header[4:], "little")
        if header[:4] in (b"EXIF", b"XMP "):
            chunks.setdefault(header[:4], content[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return Parts(content, _orientation(chunks.get(b"EXIF", b""), chunks.get(b"XMP ", b"")))


def _text(chunk: bytes, body: bytes) -> bytes:
    """Return the text of a PNG chunk; of a compressed text, at most `_MAX_TEXT_BYTES`."""
    rest = body.partition(b"\0")[2]
    compressed = chunk == b"zTXt"
    if chunk == b"iTXt":
        compressed, rest = rest[:1] != b"\0", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif compressed:
        rest = rest[1:]
    if compressed:
        with suppress(zlib.error):
            return zlib.decompressobj().decompress(rest, _MAX_TEXT_BYTES)
    return rest


class _Tag(NamedTuple):
    id: int
    type: int
    num_values: int
    offset: int
    """Position of the value in the file."""
    entry: bytes
    """The entry of the tag in the directory."""


class _Form(NamedTuple):
    """Formats of `struct` for the directory of a TIFF; EXIF data is a TIFF too."""

    total: str
    entry: str
    pointer: str

    @property
    def size(self) -> int:
        """Return the bytes of an entry."""
        return struct.calcsize(self.entry)


def _form(content: bytes) -> _Form:
    order = "<" if content.startswith(b"II") else ">"
    return (
        _Form(order + "Q", order + "HHQ8s", order + "Q")
        if content[2:3] == b"+"
        else _Form(order + "H", order + "HHL4s", order + "L")
    )


def _tiff(content: bytes) -> Parts:
    """Remove the tags of the first image that do not affect the pixels. Later images are not read."""
    form = _form(content)
    kept: dict[int, bytes] = {}
    orientation: int | None = None
    xmp = b""
    try:
        start, count = _directory_at(content)
        for tag in _tags(content):
            if tag.id in _PIXEL_TAGS:
                kept.setdefault(tag.id, tag.entry)
            elif tag.id == _ORIENTATION and orientation is None:
                orientation = _integer(content, tag)
            elif tag.id == _XMP:
                xmp = content[tag.offset : tag.offset + tag.num_values]
    except (struct.error, OverflowError):  # cut short, or with an offset beyond the end
        return Parts(content)
    end = start + struct.calcsize(form.total) + count * form.size
    pointer = content[end : end + struct.calcsize(form.pointer)]
    directory = struct.pack(form.total, len(kept)) + b"".join(kept.values()) + pointer
    return Parts(
        content[:start] + directory + content[start + len(directory) :],
        _orientation_of_xmp(xmp) if orientation is None else orientation,
    )


def _directory_at(content: bytes) -> tuple[int, int]:
    """Return the position of the first directory, and the number of tags that it announces."""
    form = _form(content)
    (start,) = struct.unpack_from(form.pointer, content, struct.calcsize(form.pointer))
    (count,) = struct.unpack_from(form.total, content, start)
    return start, count


def _tags(content: bytes) -> Iterator[_Tag]:
    """Yield the tags of the first directory, as far as the file has them."""
    form = _form(content)
    start, count = _directory_at(content)
    first, num_inline_bytes = start + struct.calcsize(form.total), struct.calcsize(form.pointer)
    for position in range(first, len(content) - form.size + 1, form.size)[:count]:
        tag_id, tag_type, num_values, value = struct.unpack_from(form.entry, content, position)
        offset = position + form.size - num_inline_bytes
        if num_values * _TYPE_BYTES.get(tag_type, 0) > num_inline_bytes:
            (offset,) = struct.unpack(form.pointer, value)
        yield _Tag(tag_id, tag_type, num_values, offset, content[position : position + form.size])


def _integer(content: bytes, tag: _Tag) -> int:
    """Return the first value of a tag; 1 if the value is no integer."""
    if tag.type in _INTEGERS and tag.num_values > 0:
        with suppress(struct.error, OverflowError):  # beyond the end
            return int(struct.unpack_from(_form(content).total[0] + _INTEGERS[tag.type], content, tag.offset)[0])
    return 1
