"""Where a run gets its pixels from: decoded at each read, or from the cache that lets it skip the decoder."""

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
from intelbench.records.atomic import discard, draft_of

_LAYOUT_VERSION = 3
_INDEX, _PIXELS = "index", "pixels.bin"
_BLOCK_BYTES = 2**20
"""Pixels under one digest."""
_RESIDENT_BYTES = 8 * 2**20
"""Pixels that may count as this process's memory: small beside any network, and rarely worth a system call."""


class DamagedCacheError(UserError):
    """A cache that is gone, or not what was built."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(f"cache {printable(folder)}: {what}; the next `intelbench run` builds it again")
        self.what = what


class PixelSource(Protocol):
    """Where a run gets its pixels from."""

    def read(self, row: int) -> Pixels:
        """The image of that row, height x width x 3, RGB."""
        ...

    def release(self) -> None:
        """Give back what earlier reads hold in memory; called once a batch."""
        ...


class DecodedOnTheFly:
    """Decodes at each read: slower, and the same pixels as the cache."""

    def __init__(self, contents: Sequence[Content], shorter_side: int) -> None:
        self._contents = contents
        self._shorter_side = shorter_side

    def read(self, row: int) -> Pixels:
        """Decode the image of that row.

        Raises:
            UserError: the file is not as it was when the session began.
        """
        return decode(self._contents[row].read(), self._shorter_side).copy()  # Pillow's buffer is read-only

    def release(self) -> None:
        """Nothing is held."""


class _Index(Struct, frozen=True):
    """What lies where in the pixels. Its file begins with the SHA-256 of the rest."""

    shapes: tuple[tuple[int, int], ...]
    """Height and width of each row; 0 x 0 where the image did not decode. The rows follow each other without a gap."""
    unreadable: dict[int, str]
    """Why, by row."""
    digests: tuple[str, ...]
    """SHA-256 of each `_BLOCK_BYTES` of pixels."""

    @property
    def num_bytes(self) -> int:
        """Size of the pixels; an empty file could not be mapped."""
        return max(1, sum(3 * height * width for height, width in self.shapes))


class PixelCache:
    """Ragged uint8 images in one memory-mapped file.

    Raises:
        DamagedCacheError: the cache is gone, its index was changed, or the pixels have another size.
        UserError: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        index = _read_index(folder)
        self.unreadable = index.unreadable
        self._shapes: NDArray[np.int64] = np.array(index.shapes, dtype=np.int64).reshape(-1, 2)
        sizes = 3 * self._shapes.prod(axis=1)
        self._offsets: NDArray[np.int64] = sizes.cumsum() - sizes
        with _opened(folder, _PIXELS) as file:
            _require_size(folder, file, index)
            # Copy-on-write, because torch wants writable memory; nobody writes.
            self._map = mmap.mmap(file.fileno(), index.num_bytes, access=mmap.ACCESS_COPY)
        self._bytes = np.frombuffer(self._map, dtype=np.uint8)
        self._resident = 0

    def __len__(self) -> int:
        return len(self._shapes)

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


def discard_damaged(folder: Path) -> str | None:
    """Read the whole cache in `folder`, if there is one; if it is not what was built, remove it and say why.

    Processes that have it open keep it.

    Raises:
        UserError: it cannot be read, or not be removed.
    """
    if not os.path.lexists(folder):
        return None
    try:
        index = _read_index(folder)
        with _opened(folder, _PIXELS) as file:
            _require_size(folder, file, index)
            if _digests(file) != index.digests:
                raise DamagedCacheError(folder, f"{_PIXELS} was changed")
    except DamagedCacheError as error:
        discard(folder)
        return error.what
    return None


def open_cache(folder: Path, contents: Sequence[Content], shorter_side: int) -> PixelCache:
    """The cache in `folder`, built from `contents` (one row each) if it is not there.

    It appears whole or not at all; of two processes that build it at once, one wins and both read the winner's.

    Raises:
        UserError: a file changed meanwhile, or the cache cannot be written or read.
    """
    if not folder.exists():
        with draft_of(folder) as draft:
            _build(draft, contents, shorter_side)
    return PixelCache(folder)


def _build(folder: Path, contents: Sequence[Content], shorter_side: int) -> None:
    shapes: list[tuple[int, int]] = []
    unreadable: dict[int, str] = {}
    with (folder / _PIXELS).open("w+b") as file:
        for row, got in enumerate(decode_all(contents, shorter_side)):
            if isinstance(got, UnreadableImageError):
                unreadable[row] = str(got)
                shapes.append((0, 0))
            else:
                shapes.append((got.shape[0], got.shape[1]))
                file.write(got.tobytes())
        if file.tell() == 0:
            file.write(b"\0")  # an empty file cannot be mapped, and "all unreadable" is for the caller to say
        file.flush()
        digests = _digests(file)
    content = msgspec.json.encode(_Index(tuple(shapes), unreadable, digests))
    (folder / _INDEX).write_bytes(_seal(content) + b"\n" + content)


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[BinaryIO]:
    """A file of the cache; what goes wrong with it in the block is said of the cache."""
    try:
        with (folder / name).open("rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedCacheError(folder, f"{name} is gone") from error
    except OSError as error:
        raise UserError(
            f"cache {printable(folder)}: {name} cannot be read ({error.strerror}); mend that, or give another folder "
            "with --cache-dir"
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
    """Digest of each block. Read and not mapped, so that a failing disk is an error and not the end of the process."""

    def digest(start: int) -> str:
        return hashlib.sha256(os.pread(file.fileno(), _BLOCK_BYTES, start)).hexdigest()

    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(digest, range(0, os.fstat(file.fileno()).st_size, _BLOCK_BYTES)))
