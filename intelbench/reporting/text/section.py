"""A section of the report, which is written when its turn comes, in whichever process has time for it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Section(NamedTuple):
    """A title, none for what opens a report, and what writes the blocks under it."""

    title: str
    write: Callable[[], Sequence[str]]

    def blocks(self, heading: str) -> list[str]:
        """The title after `heading`, a run of `#`, and the blocks that are not empty; nothing without any."""
        shown = [block for block in self.write() if block]
        return [f"{heading} {self.title}", *shown] if shown and self.title else shown
