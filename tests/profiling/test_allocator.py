"""The model of the caching allocator follows the rules of the real one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.profiling.allocator import Block, CachingAllocator, round_up

KIB, MIB = 2**10, 2**20


@pytest.mark.parametrize(("size", "taken"), [(0, 0), (1, 512), (512, 512), (513, 1024), (MIB, MIB)])
def test_sizes_are_rounded_up(size: int, taken: int) -> None:
    """To multiples of 512 bytes."""
    assert taken == round_up(size)


@pytest.mark.parametrize(
    ("size", "segment"),
    [
        (512, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 512, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 512, 12 * MIB),
        (101 * MIB, 102 * MIB),
    ],
)
def test_segments(size: int, segment: int) -> None:
    """Small, medium and large requests take segments of 2 MiB, 20 MiB, and their own size in steps of 2 MiB."""
    allocator = CachingAllocator()
    allocator.allocate(size)
    assert segment == allocator.reserved_bytes


def test_small_requests_share_a_segment() -> None:
    """Four of 512 KiB fill 2 MiB; the fifth takes another."""
    allocator = CachingAllocator()
    for number in range(5):
        assert 2 * MIB * (number > 0) == allocator.reserved_bytes
        allocator.allocate(512 * KIB)
    assert 4 * MIB == allocator.reserved_bytes


def test_a_large_block_keeps_a_rest_of_a_mebibyte() -> None:
    """Of 20 MiB, 19 MiB leave too little to be split off, and half a mebibyte less does not."""
    for size, splits in ((19 * MIB, False), (19 * MIB - 512, True)):
        allocator = CachingAllocator()
        allocator.release(allocator.allocate(20 * MIB))
        assert splits == (size == allocator.allocate(size).size)


def test_the_best_fit_is_taken() -> None:
    """Of the free blocks that are large enough, the smallest."""
    allocator = CachingAllocator()
    blocks = [allocator.allocate(size * MIB) for size in (40, 12, 30)]
    for block in blocks:
        allocator.release(block)
    assert 12 * MIB == allocator.allocate(11 * MIB + 512).size
    assert 82 * MIB == allocator.reserved_bytes


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)])
def test_free_neighbours_become_one(order: tuple[int, ...]) -> None:
    """In whatever order they are released, three blocks are one again."""
    allocator = CachingAllocator()
    blocks = [allocator.allocate(size * MIB) for size in (4, 6, 10 - 1)]
    for position in order:
        allocator.release(blocks[position])
    assert 20 * MIB == allocator.allocate(20 * MIB - 512).size == allocator.reserved_bytes


def test_small_and_large_blocks_do_not_mix() -> None:
    """A small request takes no piece of a free large block."""
    allocator = CachingAllocator()
    allocator.release(allocator.allocate(20 * MIB))
    allocator.allocate(512)
    assert 22 * MIB == allocator.reserved_bytes


@given(
    st.lists(
        st.tuples(st.integers(1, 40 * MIB).map(round_up), st.integers(0, 10**6)),
        max_size=60,
    )
)
def test_blocks_never_overlap_and_memory_is_used_again(requests: list[tuple[int, int]]) -> None:
    """Whatever is asked for and released: blocks lie apart, fit, and a second round takes no new segment."""
    allocator = CachingAllocator()

    def play() -> None:
        alive: list[Block] = []
        for size, choice in requests:
            block = allocator.allocate(size)
            assert block.size >= size
            assert all(
                block.address + block.size <= other.address or other.address + other.size <= block.address
                for other in alive
            )
            alive.append(block)
            assert sum(each.size for each in alive) <= allocator.reserved_bytes
            if choice % 3 == 0:
                allocator.release(alive.pop(choice % len(alive)))
        for block in alive:
            allocator.release(block)

    play()
    reserved = allocator.reserved_bytes
    play()
    assert reserved == allocator.reserved_bytes
