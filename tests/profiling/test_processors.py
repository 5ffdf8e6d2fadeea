"""The processors of a machine, divided among runs."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.profiling import processors
from intelbench.profiling.processors import divided, divided_by_place, num_processors, own_processors, pinned


@given(st.integers(1, 200), st.integers(1, 40))
def test_every_processor_has_one_owner(number: int, parts: int) -> None:
    """Parts differ by one at most; fewer processors than parts are shared by all."""
    found = divided(range(number), parts)
    assert parts == len(found)
    if number < parts:
        assert {frozenset(range(number))} == set(found)
    else:
        assert list(range(number)) == [each for part in found for each in sorted(part)]
        assert max(map(len, found)) - min(map(len, found)) <= 1


def test_devices_divide_the_processors_near_them() -> None:
    """Two on each socket; one that tells nothing has a share of all, and nobody has one that may not be used."""
    first, second = frozenset(range(8)), frozenset(range(8, 16))
    found = divided_by_place([first, second, first, second], range(2, 16))
    assert [{2, 3, 4}, {8, 9, 10, 11}, {5, 6, 7}, {12, 13, 14, 15}] == found
    assert [{0, 1}, {2, 3}] == divided_by_place([frozenset(), frozenset()], range(4))
    assert [{0, 1}] == divided_by_place([second], range(2))


def test_the_threads_of_a_core_are_next_to_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a part has complete cores."""
    siblings = {0: 0, 4: 0, 1: 1, 5: 1}
    monkeypatch.setattr(processors, "_core_first", lambda each: (siblings[each], each))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(siblings))
    assert [0, 4, 1, 5] == own_processors()


@pytest.mark.skipif(num_processors() < 2, reason="needs two processors")
def test_a_block_has_its_processors_alone() -> None:
    """And the thread has its own again, whatever the block raises."""
    mine = os.sched_getaffinity(0)
    one = frozenset(list(mine)[:1])
    with pytest.raises(ValueError, match=r"^1$"), pinned(one):
        raise ValueError(len(os.sched_getaffinity(0)))
    with pinned(frozenset()):
        assert mine == os.sched_getaffinity(0)
    assert mine == os.sched_getaffinity(0)
