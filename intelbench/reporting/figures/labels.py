"""Where to write the names of points so that no two overlap: geometry in typographic points, no drawing."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_DIRECTIONS = (0, 180, 90, 270, 45, 315, 135, 225)  # degrees, anticlockwise from the right
_RADII = (7, 14, 24, 36, 50, 66, 84, 104, 130)


@dataclass(frozen=True)
class Box:
    """An axis-parallel rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share any area."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def inside(self, other: "Box") -> bool:
        """Whether this one is inside the other."""
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.bottom <= self.bottom
            and self.top <= other.top
        )


def text_width(text: str, size: float) -> float:
    """Return the approximate width of a text in DejaVu Sans; wide East Asian characters take a full square."""
    ems = sum(1.0 if unicodedata.east_asian_width(char) in "WF" else 0.61 for char in text)
    return ems * size


def place(
    points: Sequence[tuple[float, float]], labels: Sequence[str], obstacles: Sequence[Box], area: Box, size: float
) -> list[Box | None]:
    """Find a free box for each label, as near its point as the others allow; `None` where the area is full."""
    taken = list(obstacles)
    boxes: list[Box | None] = []
    for (x, y), label in zip(points, labels, strict=True):
        width, height = text_width(label, size), 1.25 * size
        box = next(
            (
                candidate
                for radius in _RADII
                for degrees in _DIRECTIONS
                if (candidate := _beside(x, y, width, height, radius, math.radians(degrees))).inside(area)
                and not any(candidate.overlaps(other) for other in taken)
            ),
            None,
        )
        boxes.append(box)
        if box is not None:
            taken.append(box)
    return boxes


def _beside(x: float, y: float, width: float, height: float, radius: float, angle: float) -> Box:
    """Return the box whose nearest edge or corner is `radius` from the point, in the given direction."""
    dx, dy = math.cos(angle), math.sin(angle)
    centre_x = x + radius * dx + (0 if abs(dx) < 1e-9 else math.copysign(width / 2, dx))
    centre_y = y + radius * dy + (0 if abs(dy) < 1e-9 else math.copysign(height / 2, dy))
    return Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2)
