"""Decoded pixels: one decoder, and the cache that lets every run of every architecture skip it."""

import hashlib
import json
import mmap
import os
import secrets
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]

_LAYOUT_VERSION = 1
_CHUNK = 256
"""Images decoded before they are written: bounds the memory of a build."""
_RESIDENT_BYTES = 8 * 2**20
"""Pixels that may count as this process's memory: small beside any network, and rarely worth a system call."""
_DECODER_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow's plug-ins raise on damaged files."""


class UnreadableImageError(Exception):
    """A file that does not decode; the message says why and does not name the file."""


class PixelSource(Protocol):
    """Where a run gets its pixels from."""

    def read(self, row: int) -> Pixels:
        """The image of that row, height x width x 3, RGB."""
        ...

    def release(self) -> None:
        """Give back what earlier reads hold in memory; called once a batch."""
        ...


def decode(path: Path, shorter_side: int) -> Pixels:
    """Decode one file to height x width x 3 RGB, upright by its EXIF tag, reduced to `shorter_side` if it is larger.

    Aspect ratio is kept and nothing is enlarged. Grey, palette, CMYK and 16-bit images become 8-bit RGB; transparency
    is dropped, as torchvision's ImageFolder does.

    Raises:
        UnreadableImageError: not an image, damaged, unsafe in size, or of a kind with no agreed range of values.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
                raise UnreadableImageError(f"{image.width}x{image.height} pixels: too large to be decoded safely")
            image.draft(None, (2 * shorter_side, 2 * shorter_side))  # large JPEGs decode at a fraction of their size
            upright = _as_rgb(ImageOps.exif_transpose(image))
    except PIL.UnidentifiedImageError as error:
        raise UnreadableImageError("empty file" if path.stat().st_size == 0 else "not an image") from error
    except PermissionError as error:
        raise UnreadableImageError("permission denied") from error
    except _DECODER_ERRORS as error:
        raise UnreadableImageError(f"damaged: {error}") from error
    width, height = upright.size
    if min(width, height) > shorter_side:
        scale = shorter_side / min(width, height)
        size = (max(shorter_side, round(width * scale)), max(shorter_side, round(height * scale)))
        upright = upright.resize(size, Image.Resampling.BILINEAR)  # antialiased, as torchvision's Resize is
    return np.asarray(upright)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels have no agreed range; convert it to 8 bits")
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it to white
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise UnreadableImageError("32-bit pixels have no agreed range; convert it to 8 bits")
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    image.info.pop("transparency", None)  # dropped, and Pillow warns where it cannot translate it
    return image.convert("RGB")


class DecodedOnTheFly:
    """Decodes at each read: slower, and the same pixels as the cache."""

    def __init__(self, paths: Sequence[Path], shorter_side: int) -> None:
        self._paths = paths
        self._shorter_side = shorter_side

    def read(self, row: int) -> Pixels:
        """Decode the image of that row."""
        return decode(self._paths[row], self._shorter_side).copy()  # Pillow's buffer is read-only

    def release(self) -> None:
        """Nothing is held."""


class PixelCache:
    """Ragged uint8 images in one memory-mapped file: image `row` lies at `offsets[row]` in shape `shapes[row]`."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "index.npz", allow_pickle=False) as index:
            self._offsets: NDArray[np.int64] = index["offsets"]
            self._shapes: NDArray[np.int32] = index["shapes"]
        self.unreadable: dict[int, str] = {
            int(row): reason for row, reason in json.loads((folder / "unreadable.json").read_text("utf-8")).items()
        }
        with (folder / "pixels.bin").open("rb") as file:
            # Copy-on-write, because torch wants writable memory; nobody writes.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._bytes = np.frombuffer(self._map, dtype=np.uint8)
        self._resident = 0

    def __len__(self) -> int:
        return len(self._offsets)

    def read(self, row: int) -> Pixels:
        """A view of the image of that row; not to be written to."""
        height, width = self._shapes[row].tolist()
        start, size = int(self._offsets[row]), height * width * 3
        self._resident += size
        return self._bytes[start : start + size].reshape(height, width, 3)

    def release(self) -> None:
        """Unmap what was read, now and then: it stays in the page cache, out of this process's resident memory."""
        if self._resident > _RESIDENT_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._resident = 0


def cache_key(digests: Sequence[str], shorter_side: int) -> str:
    """Name of the cache of these contents at this size, as this decoder reads them."""
    parts = (f"layout {_LAYOUT_VERSION}", f"pillow {PIL.__version__}", f"side {shorter_side}", *digests)
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def open_cache(folder: Path, paths: Sequence[Path], shorter_side: int) -> PixelCache:
    """The cache in `folder`, built from `paths` (one row each) if it is not there.

    It appears whole or not at all; of two processes that build it at once, one wins and both read the winner's.
    """
    if not folder.exists():
        # Process numbers are not unique: containers and machines that share a disk count alike.
        scratch = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}")
        scratch.mkdir(parents=True)
        try:
            _build(scratch, paths, shorter_side)
            try:
                scratch.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return PixelCache(folder)


def find_unreadable(paths: Sequence[Path], shorter_side: int) -> dict[int, str]:
    """Decode every file, keep nothing, and say by row why some do not decode."""
    return {
        row: str(got) for row, got in enumerate(_decode_all(paths, shorter_side)) if not isinstance(got, np.ndarray)
    }


def _build(folder: Path, paths: Sequence[Path], shorter_side: int) -> None:
    offsets = np.zeros(len(paths), dtype=np.int64)
    shapes = np.zeros((len(paths), 2), dtype=np.int32)
    unreadable: dict[int, str] = {}
    with (folder / "pixels.bin").open("wb") as file:
        for row, got in enumerate(_decode_all(paths, shorter_side)):
            offsets[row] = file.tell()
            if isinstance(got, UnreadableImageError):
                unreadable[row] = str(got)
            else:
                shapes[row] = got.shape[:2]
                file.write(got.tobytes())
        if file.tell() == 0:
            file.write(b"\0")  # an empty file cannot be mapped, and "all unreadable" is for the caller to say
    np.savez(folder / "index.npz", offsets=offsets, shapes=shapes)
    (folder / "unreadable.json").write_text(json.dumps(unreadable), encoding="utf-8")


def _decode_all(paths: Sequence[Path], shorter_side: int) -> Iterator[Pixels | UnreadableImageError]:
    def attempt(path: Path) -> Pixels | UnreadableImageError:
        try:
            return decode(path, shorter_side)
        except UnreadableImageError as error:
            return error

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), _CHUNK):
            yield from pool.map(attempt, paths[start : start + _CHUNK])
