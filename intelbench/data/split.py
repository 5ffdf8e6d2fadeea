"""Splits and subsets of images, chosen by their content, so that they are equal in every run."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from intelbench.data.folder import ImageFile
from intelbench.data.seeds import stream_key


def carve(
    files: Sequence[ImageFile], digests: Sequence[str], fraction: float, purpose: str
) -> tuple[list[int], list[int]]:
    """Split files into the rest and a stratified `fraction`, as positions in `files`.

    Files of equal content stay together, with the smallest of their labels. In each class, groups are taken in the
    order of a hash of (purpose, content) until the fraction is reached, so the choice does not depend on seed, names or
    order. A class with two images has at least one on each side.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(digests):
        groups[digest].append(position)
    by_class: dict[int, list[list[int]]] = defaultdict(list)
    for digest in sorted(groups, key=lambda digest: hashlib.blake2b(f"{purpose}/{digest}".encode()).digest()):
        members = groups[digest]
        by_class[min(files[position].label for position in members)].append(members)
    kept: list[int] = []
    taken: list[int] = []
    for members_of_class in by_class.values():
        total = sum(map(len, members_of_class))
        goal = min(max(1, round(fraction * total)), total - 1)
        num_taken = 0
        for members in members_of_class:
            side = taken if num_taken + len(members) <= goal else kept
            side.extend(members)
            num_taken += len(members) * (side is taken)
        if num_taken == 0 and len(members_of_class) > 1:  # all groups are larger than the share: the smallest one
            smallest = min(members_of_class, key=len)
            kept = [position for position in kept if position not in smallest]
            taken.extend(smallest)
    return sorted(kept), sorted(taken)


def stratified_subset(labels: Sequence[int], ids: Sequence[str], count: int) -> list[int]:
    """Return positions of a fixed stratified subset of `count` images, chosen by a hash of the ids."""
    by_class: dict[int, list[int]] = defaultdict(list)
    for position in sorted(range(len(ids)), key=lambda position: hashlib.blake2b(ids[position].encode()).digest()):
        by_class[labels[position]].append(position)
    ranked = [
        ((rank + 0.5) / len(members), label, position)
        for label, members in by_class.items()
        for rank, position in enumerate(members)
    ]
    return sorted(position for _, _, position in sorted(ranked)[:count])


def draw_of_each_class(labels: Sequence[int], digests: Sequence[str], count: int, seed: int) -> list[int]:
    """Return positions of `count` images of each class, drawn by the seed; of all images of a smaller class.

    In each class, images are taken in the order of a hash of (seed, content). So a smaller draw is a subset of a larger
    one, and names and order do not matter. Of copies within a class only the first one is used.
    """
    first: dict[tuple[int, str], int] = {}
    for position, content in enumerate(zip(labels, digests, strict=True)):
        first.setdefault(content, position)
    prefix = b"%b/" % stream_key(seed, "labels")
    by_class: dict[int, list[int]] = defaultdict(list)
    for label, digest in sorted(first, key=lambda content: hashlib.blake2b(prefix + content[1].encode()).digest()):
        by_class[label].append(first[label, digest])
    return sorted(position for members in by_class.values() for position in members[:count])
