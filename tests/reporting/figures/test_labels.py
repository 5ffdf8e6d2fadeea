"""Labels never overlap, whatever the points."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from intelbench.reporting.figures.labels import Box, place, text_width

coordinates = st.tuples(st.floats(0, 300), st.floats(0, 200))


@given(st.lists(coordinates, max_size=30))
def test_placed_labels_are_free(points: list[tuple[float, float]]) -> None:
    """No label leaves the area, covers a point or another label."""
    area = Box(0, 0, 300, 200)
    obstacles = [Box(x - 3, y - 3, x + 3, y + 3) for x, y in points]
    boxes = [box for box in place(points, ["a label"] * len(points), obstacles, area, 8) if box is not None]
    assert all(box.inside(area) for box in boxes)
    assert not any(box.overlaps(other) for box in boxes for other in obstacles)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_a_lone_label_stands_beside_its_point() -> None:
    """With room to spare the label begins just right of the point."""
    (box,) = place([(100, 100)], ["name"], [], Box(0, 0, 300, 200), 8)
    assert box is not None
    assert 100 < box.left < 110
    assert box.bottom < 100 < box.top


def test_wide_characters_are_wider() -> None:
    """An East Asian character takes a full square."""
    assert text_width("氷", 8) == 8 > text_width("i", 8)
