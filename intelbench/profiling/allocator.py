"""Model PyTorch's caching allocator, to compute the memory that it reserves for given tensors. Sizes are in bytes.

The model follows `c10/cuda/CUDACachingAllocator.cpp` of PyTorch 2.11 with its default settings, for one stream.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Size = TypeVar("Size", int, NDArray[np.int64])

_ROUNDING = 512
_SMALL = 1 << 20
"""Requests up to this size are served from small segments."""
_SMALL_SEGMENT = 2 << 20
_MEDIUM = 10 << 20
"""Requests below this size that are not small share segments of `_MEDIUM_SEGMENT`."""
_MEDIUM_SEGMENT = 20 << 20
_LARGE_ROUNDING = 2 << 20
_SEGMENT_DISTANCE = 1 << 50
"""Distance between the artificial addresses of two segments."""


def round_up(size: Size) -> Size:
    """Return the size of the block for a tensor of `size` bytes (a number or an array): a multiple of 512 bytes."""
    return -(-size // _ROUNDING) * _ROUNDING


@dataclass(eq=False)
class Block:
    """A part of a segment, linked to its neighbours in the segment."""

    address: int
    size: int
    pool: list[tuple[int, int, Block]] = field(repr=False)
    """The pool of free blocks, sorted by size and then address."""
    free: bool = False
    before: Block | None = field(default=None, repr=False)
    after: Block | None = field(default=None, repr=False)

    @property
    def entry(self) -> tuple[int, int, Block]:
        """Return the entry of the block in its pool."""
        return self.size, self.address, self


class CachingAllocator:
    """A best-fit allocator whose segments are never freed."""

    def __init__(self) -> None:
        self.reserved_bytes = 0
        self._small: list[tuple[int, int, Block]] = []
        self._large: list[tuple[int, int, Block]] = []
        self._num_segments = 0

    def allocate(self, size: int) -> Block:
        """Allocate a block of a size that has been rounded up."""
        pool, keeps_rest = (self._small, _ROUNDING) if size <= _SMALL else (self._large, _SMALL + 1)
        position = bisect_left(pool, (size,))
        block = pool.pop(position)[2] if position < len(pool) else self._reserve(size, pool)
        block.free = False
        if block.size - size >= keeps_rest:
            self._split(block, size)
        return block

    def release(self, block: Block) -> None:
        """Free a block, and merge it with its free neighbours."""
        if block.after and block.after.free:
            block.pool.remove(block.after.entry)
            block = _joined(block, block.after)
        if block.before and block.before.free:
            block.pool.remove(block.before.entry)
            block = _joined(block.before, block)
        block.free = True
        insort(block.pool, block.entry)

    def _reserve(self, size: int, pool: list[tuple[int, int, Block]]) -> Block:
        if size <= _SMALL:
            size = _SMALL_SEGMENT
        elif size < _MEDIUM:
            size = _MEDIUM_SEGMENT
        else:
            size = -(-size // _LARGE_ROUNDING) * _LARGE_ROUNDING
        self._num_segments += 1
        self.reserved_bytes += size
        return Block(self._num_segments * _SEGMENT_DISTANCE, size, pool)

    def _split(self, block: Block, size: int) -> None:
        rest = Block(block.address + size, block.size - size, block.pool, free=True, before=block, after=block.after)
        if block.after:
            block.after.before = rest
        block.size, block.after = size, rest
        insort(block.pool, rest.entry)


def _joined(first: Block, second: Block) -> Block:
    first.size += second.size
    first.after = second.after
    if second.after:
        second.after.before = first
    return first
