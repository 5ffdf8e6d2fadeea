"""Derive independent random streams from one seed, so that drawing from one stream never changes another."""

import hashlib

from intelbench.config.fields import StreamName


def stream_key(seed: int, name: StreamName, *numbers: int) -> bytes:
    """Return the eight-byte key of the stream `name` that belongs to `seed`, or of a stream in it, by its numbers."""
    return hashlib.blake2b("/".join(map(str, (seed, name, *numbers))).encode(), digest_size=8).digest()


def stream_seed(seed: int, name: StreamName, *numbers: int) -> int:
    """Return the key of the stream as a non-negative 63-bit integer, for generators that need one."""
    return int.from_bytes(stream_key(seed, name, *numbers)) >> 1
