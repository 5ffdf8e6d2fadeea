"""Balanced sampling gives each class equally many places of an epoch, by hashes only."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from intelbench.data.sampling import balanced, shuffled

KEY = b"01234567"
Labels = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def ids_of(labels: list[int]) -> list[str]:
    """Return an id for each image."""
    return [f"{label}/{number}.jpg" for number, label in enumerate(labels)]


@given(labels=Labels, epoch=st.integers(0, 100))
def test_classes_have_equally_many_places(labels: list[int], epoch: int) -> None:
    """The numbers differ by at most one, and there are as many places as images."""
    places = balanced(KEY, epoch, ids_of(labels), labels)
    num = Counter(labels[place % len(labels)] for place in places)
    assert len(labels) == len(places)
    assert set(num) == set(labels)
    assert max(num.values()) - min(num.values()) <= 1


@given(labels=Labels, epoch=st.integers(0, 100))
def test_images_of_a_class_take_turns(labels: list[int], epoch: int) -> None:
    """No image has two places more than another one of its class, and its places are numbered."""
    places = balanced(KEY, epoch, ids_of(labels), labels)
    assert len(places) == len(set(places))
    times = Counter(place % len(labels) for place in places)
    for label in set(labels):
        of_class = [times[position] for position, each in enumerate(labels) if each == label]
        assert max(of_class) - min(of_class) <= 1
    for position, num in times.items():
        assert {place // len(labels) for place in places if place % len(labels) == position} == set(range(num))


@given(num_each=st.integers(1, 12), epoch=st.integers(0, 100))
def test_equal_classes_are_only_shuffled(num_each: int, epoch: int) -> None:
    """The order is that of the default, bit for bit."""
    labels = [0, 1, 2] * num_each
    assert shuffled(KEY, epoch, ids_of(labels)) == balanced(KEY, epoch, ids_of(labels), labels)


def test_large_classes_show_other_images_in_other_epochs() -> None:
    """After some epochs every image was seen, about equally often, and anywhere in an epoch."""
    labels = [0] * 90 + [1] * 10
    seen, first_half = Counter[int](), Counter[int]()
    for epoch in range(200):
        places = balanced(KEY, epoch, ids_of(labels), labels)
        seen.update(place % 100 for place in places)
        first_half.update(place % 100 for place in places[:50])
    large = [seen[position] for position in range(90)]  # each is drawn in 5 of 9 epochs
    assert 80 < min(large) <= max(large) < 145
    assert all(200 * 5 == seen[position] for position in range(90, 100))
    share = sum(first_half[position] for position in range(90)) / sum(large)
    assert abs(share - 0.5) < 0.02


def test_the_order_depends_on_key_and_epoch() -> None:
    """And not on the order of the listing."""
    labels = [0] * 20 + [1] * 5
    ids = ids_of(labels)
    first = [ids[place % 25] for place in balanced(KEY, 0, ids, labels)]
    assert first != [ids[place % 25] for place in balanced(KEY, 1, ids, labels)]
    assert first != [ids[place % 25] for place in balanced(b"other", 0, ids, labels)]
    backwards, backward_labels = ids[::-1], labels[::-1]
    assert first == [backwards[place % 25] for place in balanced(KEY, 0, backwards, backward_labels)]
