"""The model of the caching allocator follows the rules of the real one."""

import pytest
from hypothesis import example, given
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


def sizes_up_to(number: int) -> st.SearchStrategy[int]:
    """So many mebibytes."""
    return st.integers(1, number * MIB).map(round_up)


@example([(1049088, 1), (10486272, 1), (10485760, 0)])  # whose second round, in another order of rooms, takes one more
@given(
    st.lists(
        st.tuples(st.sampled_from([1, 4, 40]).flatmap(sizes_up_to), st.integers(0, 10**6)),
        max_size=60,
    )
)
def test_blocks_never_overlap_and_memory_is_used_again(requests: list[tuple[int, int]]) -> None:
    """Whatever is asked for and released: blocks lie apart, and a new segment is taken where no room is enough."""
    allocator, alive = CachingAllocator(), list[Block]()
    segments: dict[int, tuple[bool, int]] = {}  # by address: whether it is for small requests, and its size

    def largest_room(small: bool) -> int:
        rooms = [0]
        for start, size in ((start, size) for start, (of_small, size) in segments.items() if of_small == small):
            inside = sorted((each.address, each.size) for each in alive if start <= each.address < start + size)
            ends = [start, *(address + held for address, held in inside)]
            rooms += [
                begin - end for end, begin in zip(ends, [*(place for place, _ in inside), start + size], strict=True)
            ]
        return max(rooms)

    for size, choice in requests * 2:
        before, enough = allocator.reserved_bytes, size <= largest_room(size <= MIB)
        block = allocator.allocate(size)
        assert block.size >= size
        assert all(
            block.address + block.size <= other.address or other.address + other.size <= block.address
            for other in alive
        )
        assert enough == (before == allocator.reserved_bytes)
        if not enough:
            segments[block.address] = (size <= MIB, allocator.reserved_bytes - before)
        alive.append(block)
        if choice % 3 == 0:
            allocator.release(alive.pop(choice % len(alive)))
