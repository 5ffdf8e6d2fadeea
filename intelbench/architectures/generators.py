"""Seed, save and restore the random number generators of PyTorch, Python's `random` and NumPy's global one."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from intelbench.errors import UserError


def seed_generators(seed: int) -> None:
    """Seed PyTorch's generators with `seed`, and those of Python and NumPy with numbers derived from it.

    Python and NumPy have the same algorithm, so from one seed they would draw equal numbers.
    """
    torch.manual_seed(seed)
    random.seed(_derived(seed, "random"))
    np.random.seed(_derived(seed, "numpy"))  # noqa: NPY002 - the generator that networks use is the global one


class HasGenerator(Protocol):
    """A device that may have a generator, such as `intelbench.profiling.device.Device`."""

    def generator_state(self) -> Tensor | None:
        """Return the state of the device's generator; `None` on a CPU."""

    def set_generator_state(self, state: Tensor) -> None:
        """Restore the state of the device's generator."""


@contextmanager
def preserve_generators(device: HasGenerator | None = None) -> Iterator[None]:
    """Run the block, then restore the state of every generator, including that of `device`."""
    generators = Generators(device)
    before = generators.state_dict()
    try:
        yield
    finally:
        generators.load_state_dict(before)


class Generators:
    """The states of all generators, with the interface of a module's state."""

    def __init__(self, device: HasGenerator | None = None) -> None:
        """Include the generator of `device`; those of other GPUs are left out."""
        self._device = device

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each generator; "device" is `None` without a GPU.

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
            "device": self._device.generator_state() if self._device else None,
            "random": random.getstate(),
            "numpy": (name, np.asarray(keys).tolist(), *rest),
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore the state of each generator."""
        torch.set_rng_state(state_dict["cpu"])
        if self._device and state_dict["device"] is not None:
            self._device.set_generator_state(state_dict["device"])
        random.setstate(state_dict["random"])
        np.random.set_state(state_dict["numpy"])  # noqa: NPY002 - as above


def host_generator_states() -> tuple[object, ...]:
    """Return the states of the generators of PyTorch on the CPU, Python and NumPy, which can be compared."""
    state = Generators().state_dict()
    return state["cpu"].tolist(), state["random"], state["numpy"]


def _derived(seed: int, generator: str) -> int:
    """Return a seed of four bytes, which NumPy accepts."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{generator}".encode(), digest_size=4).digest())
