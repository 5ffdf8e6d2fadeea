"""One decoder for every image: from bytes to upright 8-bit RGB, within bounds of memory and time."""

import io
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from intelbench.data.files import Content
from intelbench.data.metadata import separate
from intelbench.errors import UserError, printable

Pixels = NDArray[np.uint8]

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""Formats that are read. Pillow would run other programs for some of the others."""
_LARGE = 2**23
"""Pixels from which on images are decoded one at a time; the largest take up to 1.4 GB (an animated WebP)."""
_MAX_SCANS = 100
"""Scans of a progressive JPEG; encoders write about ten, and each costs a pass over all pixels."""
_BATCH = 256
"""Images that are decoded before any of them is yielded; this bounds the memory."""
_MAX_REASON = 200
"""Characters of a decoder's message."""
_OTHER_FORMATS = (
    (b"....ftyp(....){0,12}?avi[fs]", "AVIF"),
    (b"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", "HEIC"),
    (b"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL |\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"(\xef\xbb\xbf)?\\s*(<\\?xml[^>]*>\\s*)?<svg", "SVG"),
)
"""First bytes of images in formats that are not read, as regular expressions."""
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image is made upright, by its EXIF orientation."""

_large_images = threading.Lock()


class UnreadableImageError(Exception):
    """Bytes that cannot be decoded; the message says why."""


def decode(content: bytes, shorter_side: int) -> Pixels:
    """Decode a file to height x width x 3 RGB, upright by its EXIF tag.

    An image whose shorter side is larger than `shorter_side` is reduced to it, with the same aspect ratio; no image is
    enlarged. Grey, palette, CMYK and 16-bit images become 8-bit RGB. Transparency is dropped, as in torchvision's
    ImageFolder.

    Raises:
        UnreadableImageError: the file is not an image, is damaged or too large, or has pixels without a fixed range.
        MemoryError: memory is short; the image may be fine.
    """
    if not content:
        raise UnreadableImageError("empty file")
    parts = separate(content)
    try:
        with Image.open(io.BytesIO(parts.pixels), formats=_FORMATS) as image:
            _require_safe(image, parts.pixels)
            stored = image.size
            image.draft(None, (2 * shorter_side, 2 * shorter_side))  # large JPEGs decode at a fraction of their size
            with _turn(stored if "progressive" in image.info else image.size):
                image.load()
                return np.asarray(_reduced(_as_rgb(_upright(image, parts.orientation)), shorter_side))
    except (UnreadableImageError, MemoryError):
        raise
    except PIL.UnidentifiedImageError as error:
        raise UnreadableImageError(_unidentified(content)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImageError(f"too large to be decoded safely: {error}") from error
    except Exception as error:  # decoders raise anything for damaged files
        if "out of memory" in str(error):
            raise MemoryError(str(error)) from error
        reason = printable(error) or type(error).__name__
        raise UnreadableImageError(f"damaged: {reason[:_MAX_REASON]}") from error


def decode_all(contents: Sequence[Content], shorter_side: int) -> Iterator[Pixels | UnreadableImageError]:
    """Decode files in threads, and yield them in order.

    Raises:
        UserError: a file has changed since it was listed, or there is not enough memory for one.
    """

    def attempt(content: Content) -> Pixels | UnreadableImageError:
        try:
            return decode(content.read(), shorter_side)
        except UnreadableImageError as error:
            return error
        except MemoryError as error:
            raise UserError(f"data {printable(content.path)}: not enough memory to decode it") from error

    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings about damaged files, for all threads
        for start in range(0, len(contents), _BATCH):
            yield from pool.map(attempt, contents[start : start + _BATCH])


def find_unreadable(contents: Sequence[Content], shorter_side: int) -> dict[int, str]:
    """Decode every file, and return by row why some cannot be decoded. Raises as `decode_all`."""
    return {
        row: str(got) for row, got in enumerate(decode_all(contents, shorter_side)) if not isinstance(got, np.ndarray)
    }


def _require_safe(image: Image.Image, content: bytes) -> None:
    """Refuse an image that would need too much memory or time, before it is decoded."""
    sizes = [image.size]
    if isinstance(image, TiffImageFile):  # tiles are decoded completely, and may be larger than the image
        width, height = (image.tag_v2.get(tag) for tag in (TILEWIDTH, TILELENGTH))
        if isinstance(width, int) and isinstance(height, int):
            sizes.append((width, height))
    for width, height in sizes:
        if width * height > (Image.MAX_IMAGE_PIXELS or 0):
            raise UnreadableImageError(f"{width}x{height} pixels: too large to be decoded safely")
    if "progressive" in image.info and (scans := content.count(b"\xff\xda")) > _MAX_SCANS:
        raise UnreadableImageError(f"progressive JPEG of {scans} scans: too many to be decoded safely")


def _turn(size: tuple[int, int]) -> AbstractContextManager[object]:
    """Lock out other large images if this is one: together they could fill the memory."""
    return _large_images if size[0] * size[1] > _LARGE else nullcontext()


def _unidentified(content: bytes) -> str:
    """Say why no decoder accepts the bytes."""
    for start, name in _OTHER_FORMATS:
        if re.match(start, content[:1000], re.DOTALL):
            return f"{name}, a format that is not read; convert it to JPEG or PNG"
    return "not an image"


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = _TRANSPOSE.get(orientation)
    return image if method is None else image.transpose(method)


def _reduced(image: Image.Image, shorter_side: int) -> Image.Image:
    width, height = image.size
    if min(width, height) <= shorter_side:
        return image
    scale = shorter_side / min(width, height)
    size = (max(shorter_side, round(width * scale)), max(shorter_side, round(height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR)  # antialiased, as torchvision's Resize is


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels have no agreed range; convert it to 8 bits")
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it to white
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise UnreadableImageError("32-bit pixels have no agreed range; convert it to 8 bits")
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    image.info.pop("transparency", None)  # dropped, and Pillow warns where it cannot translate it
    return image if image.mode == "RGB" else image.convert("RGB")
