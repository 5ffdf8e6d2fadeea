"""Choose splits and subsets of images by a hash of their content, so that every run has the same ones."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from intelbench.data.seeds import stream_key


class Image(NamedTuple):
    """A file that decodes."""

    id: str
    """Path below the data folder, with forward slashes: the unique name of the image in records."""
    label: int
    digest: str
    """128-bit digest of the file's bytes, hexadecimal."""
    row: int
    """Row of the pixels in the pixel source."""


def carve(images: Sequence[Image], fraction: float, purpose: str) -> tuple[list[Image], list[Image]]:
    """Split images into the rest and a stratified `fraction`, both in the given order.

    Images of equal content stay together, with the smallest of their labels. In each class, contents are taken in the
    order of a hash of (purpose, content) until the fraction is reached, so the choice does not depend on seed, names or
    order. A class with two different images has at least one on each side.
    """
    copies: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        copies[image.digest].append(image)
    by_class: dict[int, list[list[Image]]] = defaultdict(list)
    for digest in sorted(copies, key=lambda digest: _hash(f"{purpose}/{digest}".encode())):
        by_class[min(image.label for image in copies[digest])].append(copies[digest])
    taken: set[str] = set()
    """Digests."""
    for groups in by_class.values():
        total = sum(map(len, groups))
        goal = min(max(1, round(fraction * total)), total - 1)
        num_taken = 0
        for group in groups:
            if num_taken + len(group) <= goal:
                taken.add(group[0].digest)
                num_taken += len(group)
        if num_taken == 0 and len(groups) > 1:  # every group is larger than the goal
            taken.add(min(groups, key=len)[0].digest)
    return [image for image in images if image.digest not in taken], [i for i in images if i.digest in taken]


def stratified_subset(labels: Sequence[int], ids: Sequence[str], count: int) -> list[int]:
    """Return the positions of a fixed stratified subset of `count` images, chosen by a hash of the ids."""
    order = sorted(range(len(ids)), key=lambda position: _hash(ids[position].encode()))
    ranked = [
        ((rank + 0.5) / len(positions), label, position)
        for label, positions in by_label(labels, order).items()
        for rank, position in enumerate(positions)
    ]
    return sorted(position for _, _, position in sorted(ranked)[:count])


def draw_of_each_class(labels: Sequence[int], digests: Sequence[str], count: int, seed: int) -> list[int]:
    """Return the positions of `count` images of each class, drawn by the seed; of a smaller class, of all its images.

    In each class, images are taken in the order of a hash of (seed, content). So a smaller draw is a subset of a larger
    one, and names and order do not matter. Of copies within a class only the first one is used.
    """
    first: dict[tuple[int, str], int] = {}
    for position, content in enumerate(zip(labels, digests, strict=True)):
        first.setdefault(content, position)
    prefix = b"%b/" % stream_key(seed, "labels")
    order = sorted(first.values(), key=lambda position: _hash(prefix + digests[position].encode()))
    return sorted(position for positions in by_label(labels, order).values() for position in positions[:count])


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content).digest()


def by_label(labels: Sequence[int], positions: Iterable[int]) -> dict[int, list[int]]:
    """Return positions by the label at each position."""
    groups: dict[int, list[int]] = defaultdict(list)
    for position in positions:
        groups[labels[position]].append(position)
    return groups
