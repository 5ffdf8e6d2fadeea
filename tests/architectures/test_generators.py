"""All generators that a network may draw from are seeded, saved and left alone together."""

import io
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from intelbench.architectures.generators import Generators, preserve_generators, seed_generators
from intelbench.errors import UserError


@pytest.fixture(autouse=True)
def own_generators() -> Iterator[None]:
    """The test draws from generators that are put back afterwards."""
    with preserve_generators():
        yield


def draw() -> tuple[float, ...]:
    """Two numbers of each kind; the second normal one of a pair is kept by the generator itself."""
    numbers = [(torch.rand(()).item(), random.random(), random.gauss(), np.random.rand(), np.random.randn())]  # noqa: NPY002
    return sum(numbers * 2, ())


def test_a_seed_gives_the_same_numbers_and_another_gives_others() -> None:
    """Of every generator; Python's and NumPy's, which have one algorithm, differ from each other."""
    found = []
    for seed in (0, 0, 1, 2**63 - 1):
        seed_generators(seed)
        found.append(draw())
    assert found[0] == found[1]
    assert not set(found[0]) & set(found[2])
    assert not set(found[0]) & set(found[3])
    assert found[0][1] != found[0][3]


def test_a_block_that_draws_leaves_no_trace() -> None:
    """Also one that seeds, and one that fails."""
    seed_generators(7)
    expected = draw(), draw()
    seed_generators(7)
    assert expected[0] == draw()
    with pytest.raises(ValueError, match="failed"), preserve_generators():
        seed_generators(8)
        draw()
        raise ValueError("failed")
    assert expected[1] == draw()


def test_states_pass_through_a_file_of_plain_values() -> None:
    """As a checkpoint, which is read without executing anything."""
    seed_generators(7)
    random.gauss(), np.random.randn()  # noqa: NPY002 - half of a pair
    file = io.BytesIO()
    torch.save(Generators().state_dict(), file)
    expected = draw()
    seed_generators(8)
    file.seek(0)
    Generators().load_state_dict(torch.load(file, weights_only=True))
    assert expected == draw()


def test_another_generator_of_numpy_is_refused_in_words() -> None:
    """Its state could not be restored, so a resumed run would draw other numbers."""
    before = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(1))
    try:
        with pytest.raises(UserError, match="was replaced by a PCG64"):
            Generators().state_dict()
    finally:
        np.random.set_bit_generator(before)
