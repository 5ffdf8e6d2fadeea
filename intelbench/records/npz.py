"""The arrays in the bytes of a `.npz` file, as numpy writes it and no other way; nothing in it is executed.

`numpy.load` unpacks whatever a file claims to hold, and takes ten times as long for the many small arrays of a run.
Here the sizes are known before anything is unpacked, and an array is unpacked when it is asked for.
"""

import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_ARRAYS = 256
"""A run leaves thirty."""
MAX_UNPACKED_BYTES = 512 * 2**20
"""Of all arrays together: logits of 130,000 images and 1,000 classes, or 60 million steps."""

_END = struct.Struct("<4s4x2H2L2x")
_ENTRY = struct.Struct("<4s6xH4x3L3H8xL")
_LOCAL_LENGTHS = struct.Struct("<26x2H")
_STORED, _DEFLATED = 0, 8
_HEADER = re.compile(
    rb"\{'descr': '([<>|](?:[fiu][1248]|b1|U[1-9]\d{0,6}))', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,15}, ?)*(?:\d{1,15})?)\), \} *\n"
)


class _Member(NamedTuple):
    """Where a packed array lies in the file."""

    method: int
    checksum: int
    packed_size: int
    unpacked_size: int
    place: int
    """Of its local header."""


Texts = MutableMapping[tuple[object, ...], NDArray[np.generic]]
"""Arrays of text by what was packed; ids of images are the same in most of several files."""


class Archive(Mapping[str, NDArray[np.generic]]):
    """Arrays by name; reading one that is damaged raises `ValueError`, as making an archive of damaged bytes does.

    An array is unpacked once. One of text is taken from `texts`, where an archive before had the same, or put there.
    """

    def __init__(self, content: bytes, texts: Texts | None = None) -> None:
        self._content = content
        self._members = _directory(content)
        self._found: dict[str, NDArray[np.generic]] = {}
        self._texts = {} if texts is None else texts

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """Unpack an array; it cannot be written to."""
        if name not in self._found:
            try:
                self._found[name] = self._read(self._members[name])
            except ValueError as error:
                raise ValueError(f"the array {name!r} is damaged: {error}") from error
            except (TypeError, struct.error, zlib.error) as error:
                raise ValueError(f"the array {name!r} is damaged: it cannot be unpacked") from error
        return self._found[name]

    @property
    def size(self) -> int:
        """Bytes that it takes, packed or unpacked, whichever are more."""
        return max(len(self._content), sum(member.unpacked_size for member in self._members.values()))

    def unpack(self) -> None:
        """Unpack all now, or those up to one that is damaged; that is said when it is asked for."""
        with suppress(ValueError):
            for name in self:
                self[name]

    def _read(self, member: _Member) -> NDArray[np.generic]:
        packed = _packed(self._content, member)
        key = (packed, *member[:-1])  # all but the place
        if key in self._texts:
            return self._texts[key]
        found = _array(_unpacked(packed, member))
        if found.dtype.kind == "U":
            self._texts[key] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _directory(content: bytes) -> dict[str, _Member]:
    """What the end of the file says that it holds."""
    found: dict[str, _Member] = {}
    try:
        signature, _, number, size, place = _END.unpack_from(content, len(content) - _END.size)
        if signature != b"PK\5\6" or number > MAX_ARRAYS or place + size + _END.size != len(content):
            raise ValueError("it does not end as a .npz file of a run does")
        for _ in range(number):
            signature, *member, name_size, extra_size, comment_size, local = _ENTRY.unpack_from(content, place)
            start = place + _ENTRY.size
            name = content[start : start + name_size].decode().removesuffix(".npy")
            if signature != b"PK\1\2" or name in found:
                raise ValueError("its directory is damaged")
            found[name] = _Member._make((*member, local))
            place = start + name_size + extra_size + comment_size
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError("its directory is damaged") from error
    unpacked = sum(member.unpacked_size for member in found.values())
    if unpacked > MAX_UNPACKED_BYTES:
        raise ValueError(f"its arrays take {unpacked:,} bytes unpacked; at most {MAX_UNPACKED_BYTES:,} are read")
    return found


def _packed(content: bytes, member: _Member) -> bytes:
    """The bytes of a member as they lie in the file."""
    name_size, extra_size = _LOCAL_LENGTHS.unpack_from(content, member.place)
    start = member.place + _LOCAL_LENGTHS.size + name_size + extra_size
    return content[start : start + member.packed_size]


def _unpacked(packed: bytes, member: _Member) -> bytes:
    """The bytes of a member, no more than it declares."""
    if member.method == _DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        packed = inflater.decompress(packed, member.unpacked_size + 1)
    elif member.method != _STORED:
        raise ValueError("it is packed in a way that numpy does not use")
    if len(packed) != member.unpacked_size or zlib.crc32(packed) != member.checksum:
        raise ValueError("its checksum is another")
    return packed


def _array(content: bytes) -> NDArray[np.generic]:
    """A `.npy` file as an array, over the same bytes."""
    size_format = "<8xH" if content[6:7] == b"\1" else "<8xL"
    start = struct.calcsize(size_format)
    (size,) = struct.unpack_from(size_format, content)
    if not content.startswith(b"\x93NUMPY"):
        raise ValueError("it is no array")
    dtype, order, shape = _layout(content[start : start + size])
    if math.prod(shape) * dtype.itemsize != len(content) - start - size:
        raise ValueError("it has another size than its shape")
    return np.ndarray(shape, dtype, content, start + size, order=order)


@lru_cache(maxsize=4096)
def _layout(header: bytes) -> tuple[np.dtype[np.generic], Literal["C", "F"], tuple[int, ...]]:
    """Type, order and shape; the same few headers stand in all runs."""
    found = _HEADER.fullmatch(header)
    if found is None:
        raise ValueError("it is not a plain array of numbers or texts")
    dtype = np.dtype(found[1].decode())
    shape = tuple(int(size) for size in found[3].split(b",") if size.strip())
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > MAX_UNPACKED_BYTES:
        raise ValueError("its shape is absurd")
    return dtype, "F" if found[2] == b"True" else "C", shape
