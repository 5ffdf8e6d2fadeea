"""Carving is stratified, keeps copies together, and depends on contents alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.data.split import Image, carve, draw_of_each_class, stratified_subset

Listed = list[tuple[int, str]]
"""Label and content of each file."""

distinct = st.lists(st.integers(0, 3), min_size=2, max_size=80).map(
    lambda labels: [(label, f"content {index}") for index, label in enumerate(labels)]
)
with_copies = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30).map(str)), min_size=1, max_size=80)
shares = st.floats(0.01, 0.99)


def cut(listed: Listed, fraction: float, purpose: str = "validation") -> tuple[list[int], list[int]]:
    """Carve images of these labels and contents, and return their positions."""
    images = [Image(f"{position}.jpg", label, content, position) for position, (label, content) in enumerate(listed)]
    kept, taken = carve(images, fraction, purpose)
    return [image.row for image in kept], [image.row for image in taken]


@given(with_copies, shares)
def test_every_file_is_on_one_side(listed: Listed, fraction: float) -> None:
    """The two sides are sorted and together hold each position once."""
    kept, taken = cut(listed, fraction)
    assert list(range(len(listed))) == sorted(kept + taken)
    assert sorted(kept) == kept
    assert sorted(taken) == taken


@given(distinct, shares)
def test_each_class_gives_its_share(listed: Listed, fraction: float) -> None:
    """Of n images round(fraction x n) are taken, but at least one, and at least one is kept."""
    _, taken = cut(listed, fraction)
    totals = Counter(label for label, _ in listed)
    got = Counter(listed[position][0] for position in taken)
    assert {label: min(max(1, round(fraction * n)), n - 1) for label, n in totals.items()} == {
        label: got[label] for label in totals
    }


@given(with_copies, shares)
def test_copies_stay_together(listed: Listed, fraction: float) -> None:
    """No content stands on both sides, even where copies carry different labels."""
    kept, taken = cut(listed, fraction)
    assert set() == {listed[position][1] for position in kept} & {listed[position][1] for position in taken}


@given(with_copies, shares)
def test_no_class_gives_more_than_its_share(listed: Listed, fraction: float) -> None:
    """Copies are counted under the smallest of their labels; the share is never exceeded but for the one image due."""
    _, taken = cut(listed, fraction)
    smallest = {content: min(label for label, each in listed if each == content) for _, content in listed}
    totals = Counter(smallest[content] for _, content in listed)
    got = Counter(smallest[listed[position][1]] for position in taken)
    groups = Counter(listed[position][1] for position in range(len(listed)))
    for label, number in got.items():
        goal = max(1, round(fraction * totals[label]))
        least = min(count for content, count in groups.items() if smallest[content] == label)
        assert number <= max(goal, least)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=6, max_size=20).map(
        lambda groups: [(0, 1), (0, 3), (1, 2), (1, 2), (2, 4), (2, 4), *groups]
    ),
    shares,
)
def test_every_class_stands_on_both_sides(groups: list[tuple[int, int]], fraction: float) -> None:
    """A class of at least two different images has one on each side, also if each of them lies there in copies."""
    listed = [(label, f"content {index}") for index, (label, copies) in enumerate(groups) for _ in range(copies)]
    kept, taken = cut(listed, fraction)
    assert {0, 1, 2} == {listed[position][0] for position in kept}
    assert {0, 1, 2} == {listed[position][0] for position in taken}


def test_a_class_of_two_doubled_images_stands_on_both_sides() -> None:
    """Two images, each there twice: one pair on each side, though a tenth of four rounds to none."""
    kept, taken = cut([(0, "a"), (0, "a"), (0, "b"), (0, "b")], 0.1)
    assert (2, 2) == (len(kept), len(taken))


@given(st.data(), with_copies, shares)
def test_the_order_of_the_files_does_not_matter(data: st.DataObject, listed: Listed, fraction: float) -> None:
    """Listed in another order, the same files are taken."""
    order = data.draw(st.permutations(range(len(listed))))
    _, taken = cut(listed, fraction)
    _, again = cut([listed[position] for position in order], fraction)
    assert set(taken) == {order[position] for position in again}


def test_names_do_not_matter() -> None:
    """Renamed files fall on the same side: the content decides."""
    sides = [
        carve([Image(name.format(i), i % 2, f"content {i}", i) for i in range(40)], 0.3, "test")
        for name in ("a{}.jpg", "{}-z.png")
    ]
    assert [[image.row for image in side] for side in sides[0]] == [[image.row for image in side] for side in sides[1]]


def test_purposes_choose_independently() -> None:
    """Validation is not carved from what stands first in the order of the test split."""
    listed = [(0, f"content {index}") for index in range(400)]
    test, validation = set(cut(listed, 0.25, "test")[1]), set(cut(listed, 0.25, "validation")[1])
    assert 10 < len(test & validation) < 45  # 25 expected


def test_the_choice_never_changes() -> None:
    """A pinned choice: another one would make every old record incomparable."""
    assert [4, 9] == cut([(0, f"content {index}") for index in range(10)], 0.2, "validation")[1]


labels = st.lists(st.integers(0, 4), min_size=1, max_size=100)


@given(labels, st.integers(1, 120))
def test_subset_has_the_size_that_was_asked_for(labels: list[int], count: int) -> None:
    """Sorted positions, each once, as many as there are at most."""
    subset = stratified_subset(labels, [str(i) for i in range(len(labels))], count)
    assert min(count, len(labels)) == len(subset)
    assert sorted(set(subset)) == subset


@given(st.integers(1, 6), st.integers(1, 20), st.data())
def test_subset_of_equal_classes_is_equal(num_classes: int, per_class: int, data: st.DataObject) -> None:
    """Classes of one size differ by at most one image."""
    labels = [label for label in range(num_classes) for _ in range(per_class)]
    count = data.draw(st.integers(1, len(labels)))
    got = Counter(labels[i] for i in stratified_subset(labels, [str(i) for i in range(len(labels))], count))
    assert max(got[label] for label in range(num_classes)) - min(got[label] for label in range(num_classes)) <= 1


@given(labels, st.integers(1, 99))
def test_subsets_are_nested(labels: list[int], count: int) -> None:
    """A larger subset holds the smaller one."""
    ids = [str(i) for i in range(len(labels))]
    assert set(stratified_subset(labels, ids, count)) <= set(stratified_subset(labels, ids, count + 1))


@given(labels, st.integers(1, 99), st.data())
def test_subset_does_not_depend_on_the_order(labels: list[int], count: int, data: st.DataObject) -> None:
    """The same ids are chosen from any listing."""
    ids = [str(i) for i in range(len(labels))]
    order = data.draw(st.permutations(range(len(labels))))
    shuffled = stratified_subset([labels[i] for i in order], [ids[i] for i in order], count)
    assert set(stratified_subset(labels, ids, count)) == {order[i] for i in shuffled}


def test_subset_of_unequal_classes_keeps_their_shares() -> None:
    """60, 30 and 10 of a hundred images are 12, 6 and 2 of twenty."""
    labels = [0] * 60 + [1] * 30 + [2] * 10
    got = Counter(labels[i] for i in stratified_subset(labels, [str(i) for i in range(100)], 20))
    assert {0: 12, 1: 6, 2: 2} == got


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_a_single_image_is_kept(fraction: float) -> None:
    """A class of one image cannot stand on both sides and stays in training."""
    assert ([0], []) == cut([(0, "a")], fraction)


seeds = st.integers(0, 2**63 - 1)


@given(with_copies, st.integers(1, 20), seeds)
def test_a_draw_has_so_many_different_images_of_each_class(listed: Listed, count: int, seed: int) -> None:
    """Or as many as the class has; sorted positions, of copies in a class the first."""
    drawn = draw_of_each_class(*zip(*listed, strict=True), count, seed)
    assert sorted(set(drawn)) == drawn
    different = Counter(label for label, _ in set(listed))
    assert {label: min(count, number) for label, number in different.items()} == Counter(listed[i][0] for i in drawn)
    assert [listed.index(listed[position]) for position in drawn] == drawn


@given(with_copies, st.integers(1, 20), seeds)
def test_a_smaller_draw_is_part_of_a_larger_one(listed: Listed, count: int, seed: int) -> None:
    """For one seed."""
    labels, contents = zip(*listed, strict=True)
    smaller, larger = (draw_of_each_class(labels, contents, number, seed) for number in (count, count + 1))
    assert set(smaller) <= set(larger)


@given(st.data(), with_copies, st.integers(1, 20), seeds)
def test_a_draw_depends_on_contents_alone(data: st.DataObject, listed: Listed, count: int, seed: int) -> None:
    """Listed in another order, the same contents are drawn."""
    shuffled = data.draw(st.permutations(listed))
    drawn, again = (
        {each[i] for i in draw_of_each_class(*zip(*each, strict=True), count, seed)} for each in (listed, shuffled)
    )
    assert drawn == again


def test_each_seed_has_a_draw_of_its_own() -> None:
    """Two seeds share no more than chance lets them."""
    listed = [(0, f"content {index}") for index in range(400)]
    first, second = (set(draw_of_each_class(*zip(*listed, strict=True), 100, seed)) for seed in (0, 1))
    assert 10 < len(first & second) < 45  # 25 expected


def test_a_draw_never_changes() -> None:
    """A pinned choice: with another one a run could not be made again."""
    assert [0, 4] == draw_of_each_class([0] * 9, [f"content {index}" for index in range(9)], 2, 0)
