"""Transforms of training images that a recipe lists by name, such as `random_erasing`, and their random numbers.

A transform first draws its parameters, and then applies them to pixels. The parameters are a function of seed, epoch
and image, and are in the digest of the stream. Each transform has random numbers of its own, so adding one to a recipe
does not change the parameters of the others.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from itertools import count
from typing import Any, Protocol, TypeVar, cast

import msgspec
from msgspec import Struct
from torch import Tensor

from intelbench.config.recipe import ArgumentValue, Recipe
from intelbench.config.validation import find_fault
from intelbench.data.torchvision_transforms import (
    ColorJitter,
    RandAugment,
    RandomErasing,
    RandomRotation,
    RandomVerticalFlip,
    TrivialAugmentWide,
)
from intelbench.errors import UserError, kind_of, one_of
from intelbench.plugins.providers import BUILT_IN
from intelbench.plugins.registry import Entry, Registry, takes_name

_BLOCK = struct.Struct("<16I")
Parameters = tuple[int | float | str, ...]
"""What a transform draws for one image, for the digest; empty if it does not change the image."""


class Random:
    """Uniform random numbers that depend on nothing but a key: a hash of the key and a counter."""

    def __init__(self, key: bytes) -> None:
        self._numbers: Iterator[float] = (
            value / 2**32
            for block in count()
            for value in _BLOCK.unpack(hashlib.shake_128(b"%b/%d" % (key, block)).digest(_BLOCK.size))
        )

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number from `low` to below `high`."""
        return low + next(self._numbers) * (high - low)

    def below(self, end: int) -> int:
        """Return a whole number from 0 to below `end`."""
        return int(next(self._numbers) * end)

    def permutation(self, num: int) -> list[int]:
        """Return the numbers from 0 to below `num` in random order."""
        drawn = [next(self._numbers) for _ in range(num)]
        return sorted(range(num), key=drawn.__getitem__)


class Transform(Protocol):
    """A random change of an image that keeps its size and its class."""

    def parameters(self, random: Random, size: int) -> Parameters:
        """Draw the parameters for an image of `size` x `size` pixels; empty leaves the image as it is."""
        ...

    def __call__(self, image: Tensor, *parameters: Any) -> Tensor:
        """Return the changed image (3 x size x size, uint8); `image` must keep its pixels."""
        ...


Factory = TypeVar("Factory", bound=Callable[..., Any])
TRANSFORMS: Registry[Callable[..., Transform]] = Registry(
    "transform",
    {
        "random_vertical_flip": RandomVerticalFlip,
        "random_rotation": RandomRotation,
        "color_jitter": ColorJitter,
        "random_erasing": RandomErasing,
        "trivial_augment_wide": TrivialAugmentWide,
        "rand_augment": RandAugment,
    },
)


@takes_name
def transform(name: str) -> Callable[[Factory], Factory]:
    """Register a transform under a name for `recipe.transforms`.

    The decorated class or function is called as `factory(**recipe.transform_arguments.NAME)`, and returns an object
    with the methods of `Transform`.
    """
    return TRANSFORMS.decorator(name)


def require_transforms(recipe: Recipe) -> tuple[str, ...]:
    """Check that the transforms of a recipe exist and take their arguments; return the providers of plug-ins' ones.

    Raises:
        UserError: a transform is not known, an argument is not known, or the transform refuses its value.
    """
    make_transforms(recipe)
    providers = [TRANSFORMS.entries[name].provider for name in recipe.transforms]
    return tuple(provider for provider in providers if provider != BUILT_IN)


def make_transforms(recipe: Recipe) -> dict[str, Transform]:
    """Return the transforms of a recipe by name, in their order.

    Raises:
        UserError: as `require_transforms`.
    """
    entries = {name: TRANSFORMS.require(name, "recipe.transforms") for name in recipe.transforms}
    return {name: _make(entry, recipe.transform_arguments.get(name, {})) for name, entry in entries.items()}


def _make(entry: Entry[Callable[..., Transform]], arguments: dict[str, ArgumentValue]) -> Transform:
    key, factory = f"recipe.transform_arguments.{entry.name}", entry.value
    if isinstance(factory, type) and issubclass(factory, Struct):
        try:
            return cast("Transform", msgspec.convert(msgspec.to_builtins(arguments), factory))
        except msgspec.ValidationError as error:
            place = "recipe", "transform_arguments", entry.name
            raise UserError(str(find_fault(msgspec.to_builtins(arguments), factory, place))) from error
    accepted = signature(factory).parameters
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in accepted.values())
    for name in arguments:
        if not (takes_any or name in accepted):
            raise UserError(f"{key}.{name}: not an argument of {entry.name!r}. {one_of(name, list(accepted))}")
    try:
        with TRANSFORMS.guarded(entry):
            made = factory(**arguments)
            if not (callable(made) and hasattr(made, "parameters")):
                raise TypeError(f"returned {kind_of(made)}. Expected an object with `parameters` and `__call__`")
    except UserError as error:
        raise UserError(f"{error} (with `{key}` {arguments})" if arguments else str(error)) from error
    return made


def draw(name: str, transform: Transform, random: Random, size: int) -> Parameters:
    """Return the parameters that a transform draws for an image of `size` x `size` pixels.

    Raises:
        UserError: they are no tuple.
    """
    drawn = transform.parameters(random, size)
    if not isinstance(drawn, tuple):
        raise UserError(
            f"transform {name!r}: `parameters` returned {kind_of(drawn)}. Expected a tuple of numbers and texts, with"
            " which the transform is called; `()` leaves the image as it is"
        )
    return drawn


def apply(name: str, transform: Transform, image: Tensor, parameters: Parameters) -> Tensor:
    """Return the image (3 x size x size, uint8) as a transform changes it.

    Raises:
        UserError: the transform returned something else, which would be cut to bytes or repeated without a word.
    """
    changed: object = transform(image, *parameters)
    if isinstance(changed, Tensor) and (changed.dtype, changed.shape) == (image.dtype, image.shape):
        return changed
    returned = f"{tuple(changed.shape)} of {changed.dtype}" if isinstance(changed, Tensor) else kind_of(changed)
    raise UserError(f"transform {name!r}: returned {returned}. Expected {tuple(image.shape)} of {image.dtype}")
