"""Decode the bytes of any image file to upright 8-bit RGB, within bounds of memory and time."""

import io
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from intelbench.data.metadata import separate
from intelbench.errors import UserError, printable

Pixels = NDArray[np.uint8]

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""Formats that are read. For some of the other formats Pillow would run external programs."""
_LARGE = 2**23
"""Number of pixels above which images are decoded one at a time; the largest take up to 1.4 GB (an animated WebP)."""
_MAX_SCANS = 100
"""Upper bound of the scans of a progressive JPEG. Encoders write about ten, and each costs a pass over all pixels."""
_BATCH = 256
"""Number of images that are decoded before the first is yielded, which bounds the memory."""
_MAX_REASON = 200
"""Characters of a decoder's message that an error repeats."""
_OTHER_FORMATS = (
    (b"....ftyp(....){0,12}?avi[fs]", "AVIF"),
    (b"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", "HEIC"),
    (b"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL |\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"(\xef\xbb\xbf)?\\s*(<\\?xml[^>]*>\\s*)?<svg", "SVG"),
)
"""Regular expressions for the first bytes of formats that are not read, and their names."""
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Operation that makes an image upright, by EXIF orientation."""
_SIDEWAYS = frozenset({5, 6, 7, 8})
"""Orientations whose operation exchanges width and height."""

_large_images = threading.Lock()
"""Held while a large image is decoded: several at once could fill the memory."""


class UnreadableImageError(Exception):
    """Bytes that cannot be decoded; the message says why."""


def decode(content: bytes, shorter_side: int) -> Pixels:
    """Decode the bytes of a file to RGB (height x width x 3, uint8), upright by its EXIF orientation.

    An image is reduced until its shorter side has at most `shorter_side` pixels, with the same aspect ratio. Grey,
    palette, CMYK and 16-bit images become 8-bit RGB. Transparency is dropped, as in torchvision's ImageFolder.

    Raises:
        UnreadableImageError: the file is not an image, is damaged or too large, or has pixels without a fixed range.
        MemoryError: there is not enough memory; the image may be fine.
    """
    if not content:
        raise UnreadableImageError("empty file")
    parts = separate(content)
    try:
        with Image.open(io.BytesIO(parts.pixels), formats=_FORMATS) as image:
            _require_safe(image, parts.pixels)
            full_size = image.size
            image.draft(None, (2 * shorter_side, 2 * shorter_side))  # large JPEGs decode at a fraction of their size
            width, height = full_size if "progressive" in image.info else image.size
            with _large_images if width * height > _LARGE else nullcontext():
                image.load()
                method = _TRANSPOSE.get(parts.orientation)
                upright = image if method is None else image.transpose(method)
                upright_size = full_size[::-1] if parts.orientation in _SIDEWAYS else full_size
                return np.asarray(_reduced(_as_rgb(upright), upright_size, shorter_side))
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


def as_pixels(image: Image.Image, shorter_side: int) -> Pixels:
    """Return an image that was opened by Pillow as `decode` returns the image of a file.

    Raises:
        UnreadableImageError: the image has pixels without a fixed range.
    """
    upright = _as_rgb(ImageOps.exif_transpose(image))
    return np.asarray(_reduced(upright, upright.size, shorter_side))


class Readable(Protocol):
    """A file of an image."""

    @property
    def path(self) -> Path:
        """Return its path, for messages."""
        ...

    def read(self) -> bytes:
        """Return its bytes."""
        ...


def decode_all(contents: Sequence[Readable], shorter_side: int) -> Iterator[Pixels | UnreadableImageError]:
    """Decode files in threads, and yield the pixels or the error of each in order.

    Raises:
        UserError: a file has changed since it was listed, or there is not enough memory.
    """

    def attempt(content: Readable) -> Pixels | UnreadableImageError:
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


def find_unreadable(contents: Sequence[Readable], shorter_side: int) -> dict[int, str]:
    """Decode every file, and return the rows of those that cannot be decoded, with the reason.

    Raises:
        UserError: a file has changed since it was listed, or there is not enough memory.
    """
    results = enumerate(decode_all(contents, shorter_side))
    return {row: str(result) for row, result in results if isinstance(result, UnreadableImageError)}


def _require_safe(image: Image.Image, content: bytes) -> None:
    """Raise an error for an image whose decoding would need too much memory or time."""
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


def _unidentified(content: bytes) -> str:
    """Return why no decoder accepts the bytes."""
    for start, name in _OTHER_FORMATS:
        if re.match(start, content[:1000], re.DOTALL):
            return f"{name}, a format that is not read; convert it to JPEG or PNG"
    return "not an image"


def _reduced(image: Image.Image, full_size: tuple[int, int], shorter_side: int) -> Image.Image:
    """Reduce an image with the aspect ratio of its full size, since a decoder that reduces rounds both sides up."""
    width, height = full_size
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
