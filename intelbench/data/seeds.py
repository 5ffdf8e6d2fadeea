"""Named seed streams: one seed gives independent streams, so that drawing from one never shifts another."""

import hashlib
from typing import Literal

StreamName = Literal["init", "order", "augment", "dropout", "labels"]


def stream_key(seed: int, name: StreamName) -> bytes:
    """Eight bytes that stand for the stream `name` of `seed`."""
    return hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()


def stream_seed(seed: int, name: StreamName) -> int:
    """The same key as a non-negative 63-bit integer, for generators that want one."""
    return int.from_bytes(stream_key(seed, name)) >> 1
