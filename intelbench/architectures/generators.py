"""The random number generators that a network may draw from: PyTorch's, Python's `random` and NumPy's global one."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from intelbench.errors import UserError


def seed_generators(seed: int) -> None:
    """Seed PyTorch's generators with `seed`, the others with numbers that are derived from it.

    Not with `seed` itself: Python and NumPy would draw the same numbers, since their algorithm is the same.
    """
    torch.manual_seed(seed)
    random.seed(_derived(seed, "random"))
    np.random.seed(_derived(seed, "numpy"))  # noqa: NPY002 - the generator that networks use is the global one


@contextmanager
def undrawn() -> Iterator[None]:
    """Run the block, then let every generator draw on as if the block had drawn nothing."""
    generators = Generators()
    before = generators.state_dict()
    try:
        yield
    finally:
        generators.load_state_dict(before)


class Generators:
    """The states of all generators, saved and restored as the state of a module is."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each; of a GPU's where one is in use.

        Raises:
            UserError: NumPy's global generator was replaced by one whose state cannot be restored.
        """
        state = np.random.get_state(legacy=False)  # noqa: NPY002 - as above
        if (kind := state["bit_generator"]) != "MT19937":
            raise UserError(
                f"NumPy's global generator was replaced by a {kind}, whose state a run cannot restore; leave the "
                "global one, or draw from a numpy.random.Generator of your own"
            )
        name, keys, *rest = np.random.get_state()  # noqa: NPY002 - as above
        return {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
            "random": random.getstate(),
            "numpy": (name, np.asarray(keys).tolist(), *rest),
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Draw on from a state that was saved."""
        torch.set_rng_state(state_dict["cpu"])
        torch.cuda.set_rng_state_all(state_dict["cuda"])
        random.setstate(state_dict["random"])
        np.random.set_state(state_dict["numpy"])  # noqa: NPY002 - as above


def _derived(seed: int, generator: str) -> int:
    """Four bytes, which is what NumPy takes."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{generator}".encode(), digest_size=4).digest())
