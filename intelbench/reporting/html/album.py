"""The pictures of a page: each embedded once, and where there is no room for all, those that are wrong most often."""

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from intelbench.data.thumbnails import Pictures
from intelbench.errors import UserError
from intelbench.records.types import DataFacts
from intelbench.results import mistakes
from intelbench.results.summaries import CohortSummary

BUDGET = 3_000_000
"""Characters of base64 that all pictures of a page may take."""

Find = Callable[[DataFacts], Pictures]
"""Finds the images of recorded data; raises `UserError`."""
Key = tuple[str, str]
"""Digest of the data and id of an image: the same image in two cohorts has the same key."""


@dataclass(frozen=True)
class Entry:
    """An image that the page shows."""

    image_id: str
    picture: str | None
    """WebP in base64; `None` where it was not found or there was no more room."""


@dataclass(frozen=True)
class Album:
    """The images of a page."""

    entries: tuple[Entry, ...]
    numbers: Mapping[Key, int]
    """Place of each image in `entries`."""
    problems: Mapping[str, str]
    """Why there are no pictures, by digest of the data."""


def embed(summaries: Sequence[CohortSummary], wanted: Iterable[Key], find: Find, budget: int = BUDGET) -> Album:
    """Embed the wanted images in the order of how often they are wrong, until `budget` is spent."""
    times_wrong: dict[str, Counter[str]] = defaultdict(Counter)
    for summary in summaries:
        times_wrong[summary.data.digest].update(mistakes.times_wrong(summary))
    order = sorted(set(wanted), key=lambda key: (-times_wrong[key[0]][key[1]], key))
    pictures, problems = {}, {}
    for digest, facts in {summary.data.digest: summary.data for summary in reversed(summaries)}.items():
        try:
            pictures[digest] = find(facts)
        except UserError as error:
            problems[digest] = str(error)
    entries, left = [], budget
    for digest, image_id in order:
        content = pictures[digest].thumbnail(image_id) if digest in pictures and left > 0 else None
        picture = None if content is None else base64.b64encode(content).decode()
        left -= len(picture or "")
        entries.append(Entry(image_id, picture if left >= 0 else None))
    return Album(tuple(entries), {key: number for number, key in enumerate(order)}, problems)
