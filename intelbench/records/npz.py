"""Read the arrays of a `.npz` file that numpy wrote; nothing in the file is executed.

`numpy.load` decompresses whatever size a file declares, and takes ten times as long for the many small arrays of a run.
Here all sizes are checked before anything is decompressed, and arrays are decompressed on demand.
"""

import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_ARRAYS = 256
"""A run leaves about thirty."""
MAX_UNPACKED_BYTES = 512 * 2**20
"""Size of all arrays: logits of 130,000 images and 1,000 classes, or 60 million steps."""

_END = struct.Struct("<4s4x2H2L2x")
_ENTRY = struct.Struct("<4s6xH4x3L3H8xL")
_LOCAL_LENGTHS = struct.Struct("<26x2H")
_STORED, _DEFLATED = 0, 8
_HEADER = re.compile(
    rb"\{'descr': '([<>|](?:[fiu][1248]|b1|U[1-9]\d{0,6}))', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,15}, ?)*(?:\d{1,15})?)\), \} *\n"
)


class _Member(NamedTuple):
    """The position of a compressed array in the file."""

    method: int
    checksum: int
    packed_size: int
    unpacked_size: int
    offset: int
    """Position of the local header."""


Texts = MutableMapping[tuple[object, ...], NDArray[np.generic]]
"""Arrays of text by their compressed bytes; most runs have equal image ids."""


class Archive(Mapping[str, NDArray[np.generic]]):
    """Arrays by name. Reading a damaged array, or creating an archive from damaged bytes, raises a `ValueError`.

    An array is decompressed once. Arrays of text are shared through `texts` with earlier archives.
    """

    def __init__(self, content: bytes, texts: Texts | None = None) -> None:
        self._content = content
        self._members = _directory(content)
        self._arrays: dict[str, NDArray[np.generic]] = {}
        self._texts = {} if texts is None else texts

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """Decompress an array; it is read-only."""
        if name not in self._arrays:
            try:
                self._arrays[name] = self._read(self._members[name])
            except ValueError as error:
                raise ValueError(f"the array {name!r} is damaged: {error}") from error
            except (TypeError, struct.error, zlib.error) as error:
                raise ValueError(f"the array {name!r} is damaged: it cannot be unpacked") from error
        return self._arrays[name]

    def _read(self, member: _Member) -> NDArray[np.generic]:
        packed = _packed(self._content, member)
        key = (packed, *member[:-1])  # everything but the offset
        if key in self._texts:
            return self._texts[key]
        array = _array(_unpacked(packed, member))
        if array.dtype.kind == "U":
            self._texts[key] = array
        return array

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _directory(content: bytes) -> dict[str, _Member]:
    """Read the directory at the end of the file."""
    members: dict[str, _Member] = {}
    try:
        signature, _, num_members, size, offset = _END.unpack_from(content, len(content) - _END.size)
        if signature != b"PK\5\6" or num_members > MAX_ARRAYS or offset + size + _END.size != len(content):
            raise ValueError("it does not end as a .npz file of a run does")
        for _ in range(num_members):
            signature, *member, name_size, extra_size, comment_size, local = _ENTRY.unpack_from(content, offset)
            start = offset + _ENTRY.size
            name = content[start : start + name_size].decode().removesuffix(".npy")
            if signature != b"PK\1\2" or name in members:
                raise ValueError("its directory is damaged")
            members[name] = _Member._make((*member, local))
            offset = start + name_size + extra_size + comment_size
        if offset + _END.size != len(content):
            raise ValueError("its directory has another number of arrays than it says")
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError("its directory is damaged") from error
    unpacked = sum(member.unpacked_size for member in members.values())
    if unpacked > MAX_UNPACKED_BYTES:
        raise ValueError(f"its arrays take {unpacked:,} bytes unpacked; at most {MAX_UNPACKED_BYTES:,} are read")
    return members


def _packed(content: bytes, member: _Member) -> bytes:
    """Return the compressed bytes of a member."""
    name_size, extra_size = _LOCAL_LENGTHS.unpack_from(content, member.offset)
    start = member.offset + _LOCAL_LENGTHS.size + name_size + extra_size
    return content[start : start + member.packed_size]


def _unpacked(packed: bytes, member: _Member) -> bytes:
    """Decompress a member, up to its declared size."""
    if member.method == _DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        packed = inflater.decompress(packed, member.unpacked_size + 1)
    elif member.method != _STORED:
        raise ValueError("it is packed in a way that numpy does not use")
    if len(packed) != member.unpacked_size or zlib.crc32(packed) != member.checksum:
        raise ValueError("its checksum does not match")
    return packed


def _array(content: bytes) -> NDArray[np.generic]:
    """Return the array of a `.npy` file without copying its bytes."""
    size_format = "<8xH" if content[6:7] == b"\1" else "<8xL"
    start = struct.calcsize(size_format)
    (size,) = struct.unpack_from(size_format, content)
    if not content.startswith(b"\x93NUMPY"):
        raise ValueError("it is not an array")
    dtype, order, shape = _layout(content[start : start + size])
    if math.prod(shape) * dtype.itemsize != len(content) - start - size:
        raise ValueError("it has another size than its shape")
    return np.ndarray(shape, dtype, content, start + size, order=order)


@lru_cache(maxsize=4096)
def _layout(header: bytes) -> tuple[np.dtype[np.generic], Literal["C", "F"], tuple[int, ...]]:
    """Parse type, order and shape from a header; all runs have the same few headers."""
    match = _HEADER.fullmatch(header)
    if match is None:
        raise ValueError("it is not a plain array of numbers or texts")
    dtype = np.dtype(match[1].decode())
    shape = tuple(int(size) for size in match[3].split(b",") if size.strip())
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > MAX_UNPACKED_BYTES:
        raise ValueError("its shape is too large")
    return dtype, "F" if match[2] == b"True" else "C", shape
