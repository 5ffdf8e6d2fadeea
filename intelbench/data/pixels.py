"""Read the pixels of a run: decoded for each batch, or from a cache of decoded images."""

import hashlib
import mmap
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec
import numpy as np
import PIL
from msgspec import Struct
from numpy.typing import NDArray

from intelbench.data.decoding import Pixels, UnreadableImageError, decode, decode_all
from intelbench.data.files import Content
from intelbench.errors import UserError, printable
from intelbench.records.atomic import discard, draft_of, identity

_LAYOUT_VERSION = 4
"""Increased whenever the files of a cache or the decoded pixels of an image change."""
_INDEX, _PIXELS = "index", "pixels.bin"
_BLOCK_BYTES = 2**20
"""Bytes of pixels that one digest covers."""
_MAX_RESIDENT_BYTES = 8 * 2**20
"""Bytes of mapped pixels that may count as memory of this process: few, and enough to make system calls rare."""


class DamagedCacheError(UserError):
    """A pixel cache that is missing or was changed."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(f"cache {printable(folder)}: {what}; the next `intelbench run` builds it again")
        self.what = what


class PixelSource(Protocol):
    """Decoded images by row."""

    def read(self, row: int) -> Pixels:
        """Return the image of a row: RGB, height x width x 3, uint8."""
        ...

    def release(self) -> None:
        """Free the memory of images that were read before; called once a batch."""
        ...


class DecodedOnTheFly:
    """Pixels that are decoded on each read: slower than the cache, with equal pixels."""

    def __init__(self, contents: Sequence[Content], shorter_side: int) -> None:
        self._contents = contents
        self._shorter_side = shorter_side

    def read(self, row: int) -> Pixels:
        """Decode the image of a row.

        Raises:
            UserError: the file has changed since the session began.
        """
        return decode(self._contents[row].read(), self._shorter_side).copy()  # Pillow's buffer is read-only

    def release(self) -> None:
        """Do nothing, because no memory is kept."""


class _Index(Struct, frozen=True):
    """The index of a pixel cache. Its file begins with the SHA-256 of the rest."""

    shapes: tuple[tuple[int, int], ...]
    """Height and width of the image of each row; 0 x 0 if it cannot be decoded. Rows are stored without gaps."""
    unreadable: dict[int, str]
    """Why an image cannot be decoded, by row."""
    digests: tuple[str, ...]
    """SHA-256 of each `_BLOCK_BYTES` of pixels."""

    @property
    def num_bytes(self) -> int:
        """Return the size of the file of pixels; at least 1, because an empty file cannot be mapped."""
        return max(1, sum(3 * height * width for height, width in self.shapes))


class PixelCache:
    """uint8 images of different sizes in one memory-mapped file.

    Raises:
        DamagedCacheError: the cache is missing, its index was changed, or the pixels have another size.
        UserError: the cache cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        index = _read_index(folder)
        self.unreadable = index.unreadable
        self._shapes: NDArray[np.int64] = np.array(index.shapes, dtype=np.int64).reshape(-1, 2)
        sizes = 3 * self._shapes.prod(axis=1)
        self._offsets: NDArray[np.int64] = sizes.cumsum() - sizes
        with _opened(folder, _PIXELS) as file:
            _require_size(folder, file, index)
            # Copy-on-write, because torch requires writable memory; nothing writes to it.
            self._map = mmap.mmap(file.fileno(), index.num_bytes, access=mmap.ACCESS_COPY)
        self._bytes = np.frombuffer(self._map, dtype=np.uint8)
        self._resident = 0

    def read(self, row: int) -> Pixels:
        """Return a view of the image of a row, which must not be modified."""
        height, width = self._shapes[row].tolist()
        start, size = int(self._offsets[row]), height * width * 3
        self._resident += size
        return self._bytes[start : start + size].reshape(height, width, 3)

    def release(self) -> None:
        """Unmap pixels from time to time: they stay in the page cache but leave the memory of this process."""
        if self._resident > _MAX_RESIDENT_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._resident = 0


def cache_key(digests: Sequence[str], shorter_side: int) -> str:
    """Return the name of the cache of these contents, from their digests, the size and the version of the decoder."""
    parts = (f"layout {_LAYOUT_VERSION}", f"pillow {PIL.__version__}", f"side {shorter_side}", *digests)
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def discard_damaged(folder: Path) -> str | None:
    """Verify the cache in `folder`, if it exists. Remove a changed cache, and return what was changed.

    Processes that have the cache open can still use it.

    Raises:
        UserError: the cache cannot be read or removed.
    """
    if (seen := identity(folder)) is None:
        return None
    try:
        index = _read_index(folder)
        with _opened(folder, _PIXELS) as file:
            _require_size(folder, file, index)
            if _digests(file) != index.digests:
                raise DamagedCacheError(folder, f"{_PIXELS} was changed")
    except DamagedCacheError as error:
        discard(folder, seen)
        return error.what
    return None


def open_cache(folder: Path, contents: Sequence[Content], shorter_side: int) -> PixelCache:
    """Open the cache in `folder`, after building it from `contents` (one row each) if it does not exist.

    The cache is created atomically. If two processes build it at once, both use the first one.

    Raises:
        UserError: a file has changed, or the cache cannot be written or read.
    """
    if not folder.exists():
        with draft_of(folder) as draft:
            _build(draft, contents, shorter_side)
    return PixelCache(folder)


def _build(folder: Path, contents: Sequence[Content], shorter_side: int) -> None:
    shapes: list[tuple[int, int]] = []
    unreadable: dict[int, str] = {}
    with (folder / _PIXELS).open("w+b") as file:
        for row, result in enumerate(decode_all(contents, shorter_side)):
            if isinstance(result, UnreadableImageError):
                unreadable[row] = str(result)
                shapes.append((0, 0))
            else:
                shapes.append((result.shape[0], result.shape[1]))
                file.write(result.tobytes())
        if file.tell() == 0:
            file.write(b"\0")  # an empty file cannot be mapped; the caller reports that all images are unreadable
        file.flush()
        digests = _digests(file)
    content = msgspec.json.encode(_Index(tuple(shapes), unreadable, digests))
    (folder / _INDEX).write_bytes(_seal(content) + b"\n" + content)


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file of the cache; an OSError in the block becomes a UserError that names the cache."""
    try:
        with (folder / name).open("rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedCacheError(folder, f"{name} is missing") from error
    except OSError as error:
        raise UserError(
            f"cache {printable(folder)}: {name} cannot be read ({error.strerror}). Expected a readable folder. "
            "Try another one with --cache-dir, or `cache_folder` in Python"
        ) from error


def _read_index(folder: Path) -> _Index:
    with _opened(folder, _INDEX) as file:
        seal, _, content = file.read().partition(b"\n")
    if seal != _seal(content):
        raise DamagedCacheError(folder, f"{_INDEX} was changed")
    return msgspec.json.decode(content, type=_Index)


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _require_size(folder: Path, file: BinaryIO, index: _Index) -> None:
    size = os.fstat(file.fileno()).st_size
    if size != index.num_bytes:
        raise DamagedCacheError(folder, f"{_PIXELS} has {size} bytes and had {index.num_bytes}")


def _digests(file: BinaryIO) -> tuple[str, ...]:
    """Return the digest of each block. The file is read and not mapped, so that a failing disk raises an error."""

    def digest(start: int) -> str:
        return hashlib.sha256(os.pread(file.fileno(), _BLOCK_BYTES, start)).hexdigest()

    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(digest, range(0, os.fstat(file.fileno()).st_size, _BLOCK_BYTES)))
