"""Random numbers of transforms depend on their key only, and transforms are found by name."""

from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from intelbench.config.recipe import Recipe
from intelbench.data.augment import (
    TRANSFORMS,
    Parameters,
    Random,
    apply,
    draw,
    make_transforms,
    require_transforms,
    transform,
)
from intelbench.errors import UserError


@given(key=st.binary(max_size=40))
def test_numbers_depend_on_the_key_only(key: bytes) -> None:
    """Twice the same numbers in [0, 1), however many are drawn."""
    first, second = Random(key), Random(key)
    numbers = [first.uniform() for _ in range(40)]
    assert numbers == [second.uniform() for _ in range(40)]
    assert all(0 <= number < 1 for number in numbers)
    assert 40 == len(set(numbers))


def test_numbers_are_uniform_and_independent_of_those_of_other_keys() -> None:
    """The Kolmogorov-Smirnov test and the correlation say nothing else."""
    first, second = Random(b"a"), Random(b"b")
    one, other = (np.array([each.uniform() for _ in range(4000)]) for each in (first, second))
    assert float(stats.kstest(one, "uniform").pvalue) > 1e-3
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / 4000**0.5


@given(key=st.binary(max_size=8), num=st.integers(0, 30), low=st.floats(-1e3, 1e3), width=st.floats(0, 1e3))
def test_numbers_are_in_their_ranges(key: bytes, num: int, low: float, width: float) -> None:
    """Of a range of numbers, of positions, and of a permutation."""
    random = Random(key)
    assert low <= random.uniform(low, low + width) <= low + width
    assert 0 <= random.below(num + 1) <= num
    assert sorted(random.permutation(num)) == list(range(num))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"transforms": ["random_erasing"] * 2}, "`transforms` has 'random_erasing' twice"),
        ({"transform_arguments": {"color_jitter": {}}}, "needs 'color_jitter' in `transforms`"),
        ({"transforms": ["random_erasing"], "augmentation": "none"}, "so `transforms` must be empty"),
        ({"transforms": ["RandomErasing"]}, "lower-case"),
        ({"mixup_alpha": -1}, "mixup_alpha"),
        ({"sampling": "weighted"}, "sampling"),
    ],
)
def test_a_recipe_is_strict(recipe: dict[str, Any], message: str) -> None:
    """What would do nothing is refused."""
    from intelbench.config.decoding import convert

    with pytest.raises(UserError) as caught:
        convert("suite", recipe, Recipe)
    assert message in str(caught.value)


class Inverted:
    """A transform of a plug-in."""

    def __init__(self, share: float = 1.0) -> None:
        self.share = share

    def parameters(self, random: Random, size: int) -> Parameters:
        """Draw whether to invert."""
        return (size,) if random.uniform() < self.share else ()

    def __call__(self, image: Tensor, size: int) -> Tensor:
        """Invert."""
        assert tuple(image.shape) == (3, size, size)
        return 255 - image


@pytest.fixture
def inverted() -> Any:
    """Register the transform for a test."""
    transform("inverted")(Inverted)
    yield
    del TRANSFORMS.entries["inverted"]


@pytest.mark.usefixtures("inverted")
def test_a_registered_transform_takes_its_arguments() -> None:
    """By name; it has a provider of its own."""
    recipe = Recipe(transforms=("random_erasing", "inverted"), transform_arguments={"inverted": {"share": 0.5}})
    made = make_transforms(recipe)
    assert ["random_erasing", "inverted"] == list(made)
    assert isinstance(made["inverted"], Inverted)
    assert 0.5 == made["inverted"].share
    assert 1 == len(require_transforms(recipe))
    assert () == require_transforms(Recipe(transforms=("random_erasing",)))
    with pytest.raises(UserError, match=r"recipe.transform_arguments.inverted.part: not an argument of 'inverted'"):
        make_transforms(msgspec.structs.replace(recipe, transform_arguments={"inverted": {"part": 0.5}}))


def test_what_a_factory_returns_is_checked() -> None:
    """It needs both methods."""
    transform("nothing")(lambda: None)
    try:
        with pytest.raises(UserError, match="Expected an object with `parameters` and `__call__`"):
            make_transforms(Recipe(transforms=("nothing",)))
    finally:
        del TRANSFORMS.entries["nothing"]


class Returning:
    """A transform of a plug-in that draws and returns what it is told to."""

    def __init__(self, drawn: Any, changed: Any) -> None:
        self.drawn, self.changed = drawn, changed

    def parameters(self, random: Random, size: int) -> Any:
        """Return what it was told to."""
        return self.drawn

    def __call__(self, image: Tensor, *parameters: Any) -> Any:
        """Return what it was told to."""
        return self.changed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (torch.rand(3, 8, 8), r"\(3, 8, 8\) of torch.float32"),  # cut to bytes, every pixel would be black
        (torch.zeros(1, 8, 8, dtype=torch.uint8), r"\(1, 8, 8\) of torch.uint8"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"\(3, 4, 4\) of torch.uint8"),
        (None, "None"),
    ],
)
def test_an_image_stays_bytes_of_its_size(changed: Any, said: str) -> None:
    """Whatever else a transform returns is refused with its name, and not cut to bytes or repeated."""
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    message = rf"^transform 'odd': returned {said}\. Expected \(3, 8, 8\) of torch.uint8$"
    with pytest.raises(UserError, match=message):
        apply("odd", Returning((1,), changed), image, (1,))
    assert image is apply("odd", Returning((1,), image), image, (1,))


def test_drawn_parameters_are_a_tuple() -> None:
    """A bare number is refused before it is unpacked."""
    random = Random(b"key")
    with pytest.raises(UserError, match=r"^transform 'odd': `parameters` returned a float\. Expected a tuple"):
        draw("odd", Returning(0.5, None), random, 8)
    assert (0.5, "up") == draw("odd", Returning((0.5, "up"), None), random, 8)
