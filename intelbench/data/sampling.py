"""The order of the training images in an epoch, from a hash of seed, epoch and image."""

import hashlib
from collections.abc import Sequence
from itertools import cycle, islice

from intelbench.data.split import by_label


def shuffled(key: bytes, epoch: int, ids: Sequence[str]) -> list[int]:
    """Return all positions sorted by the hash of (order, epoch, id), a shuffle that needs no generator."""
    hashes = [_hash(key, epoch, image_id) for image_id in ids]
    return sorted(range(len(hashes)), key=hashes.__getitem__)


def balanced(key: bytes, epoch: int, ids: Sequence[str], labels: Sequence[int]) -> list[int]:
    """Return as many positions as there are images, with equally many of each class, in random order.

    With n images of K classes, each class has n // K places in an epoch; the classes with the smallest hashes of
    (order, epoch, class) have one more until there are n. The images of a class take its places in the order of their
    hashes of (order, epoch, `draw`, id), again and again: no image is seen twice before all images of its class were
    seen once. If all classes are equally large, the order is that of `shuffled`.

    Args:
        key: Key of the stream `order`.
        epoch: Counted from 0.
        ids: Id of each image.
        labels: Class of each image.

    Returns:
        For each place the position of its image, plus n times the number of times that the epoch has it already.
    """
    members = by_label(labels, range(len(labels)))
    num_each, num_more = divmod(len(ids), len(members))
    larger = set(sorted(members, key=lambda label: _hash(key, epoch, f"class\0{label}"))[:num_more])
    places = []
    for label, positions in members.items():
        drawn = sorted(positions, key=lambda position: _hash(key, epoch, f"draw\0{ids[position]}"))
        turns = islice(enumerate(cycle(drawn)), num_each + (label in larger))
        places += [turn // len(drawn) * len(ids) + position for turn, position in turns]

    def order(place: int) -> bytes:
        turn, position = divmod(place, len(ids))
        return _hash(key, epoch, f"{turn}\0{ids[position]}" if turn else ids[position])

    return sorted(places, key=order)


def _hash(key: bytes, epoch: int, text: str) -> bytes:
    return hashlib.blake2b(b"%b/%d/%b" % (key, epoch, text.encode()), digest_size=16).digest()
