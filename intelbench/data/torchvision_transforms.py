"""torchvision's random transforms, with parameters from a hash instead of PyTorch's global generator.

Names, options and distributions are those of `torchvision.transforms.v2`, and its operators change the pixels. They
work on bytes of pixels before the normalization, so that all architectures see the same images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from msgspec import Meta, Struct
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from intelbench.data.augment import Parameters, Random

_Probability = Annotated[float, Meta(ge=0, le=1)]
_Positive = Annotated[float, Meta(ge=0.01, le=100)]
_Byte = Annotated[int, Meta(ge=0, le=255)]
# Arrays of a fixed length are written as arrays with bounds, because msgspec 0.22 crashes in the garbage collector if a
# struct accepts a bounded number or an array of a fixed length.
_Fill = _Byte | Annotated[tuple[_Byte, ...], Meta(min_length=3, max_length=3)]
"""Value of a pixel, or of its three channels."""
_Interpolation = Literal["nearest", "bilinear"]
_Strength = Annotated[float, Meta(ge=0, le=10)]
_Factor = _Strength | Annotated[tuple[_Strength, ...], Meta(min_length=2, max_length=2)]
_HueShift = Annotated[float, Meta(ge=-0.5, le=0.5)]
_Degrees = Annotated[float, Meta(ge=-360, le=360)]
_Bins = Annotated[int, Meta(ge=2, le=1000)]
_ERASING_ATTEMPTS = 10
_MEAN_COLOUR = (124, 116, 104)
"""Mean colour of ImageNet, which is 0 after its normalization; torchvision erases with 0 after normalization."""
_SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
"""Operations with a magnitude of either sign."""
_UNSIGNED = ("Posterize", "Solarize")
_OPERATIONS = ("Identity", *_SIGNED, *_UNSIGNED, "AutoContrast", "Equalize")


class RandomVerticalFlip(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mirror images top to bottom."""

    p: _Probability = 0.5
    """Share of the images."""

    def parameters(self, random: Random, size: int) -> Parameters:
        """Return the word `flip`, or nothing."""
        return ("flip",) if random.uniform() < self.p else ()

    def __call__(self, image: Tensor, _: str) -> Tensor:
        """Return the mirrored image."""
        mirrored: Tensor = _functional().vertical_flip(image)
        return mirrored


class RandomRotation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rotate images about their centre; the size stays, and corners are filled."""

    degrees: Annotated[float, Meta(ge=0, le=360)] | Annotated[tuple[_Degrees, ...], Meta(min_length=2, max_length=2)]
    """Largest angle in either direction, or [smallest, largest]; positive angles are counter-clockwise."""
    interpolation: _Interpolation = "nearest"
    fill: _Fill = 0

    def __post_init__(self) -> None:
        _require_ascending("degrees", self.degrees)

    def parameters(self, random: Random, size: int) -> Parameters:
        """Return the angle in degrees."""
        low, high = self.degrees if isinstance(self.degrees, tuple) else (-self.degrees, self.degrees)
        return (random.uniform(low, high),)

    def __call__(self, image: Tensor, angle: float) -> Tensor:
        """Return the rotated image."""
        rotated: Tensor = _functional().rotate(image, angle, **_resampling(self.interpolation, self.fill))
        return rotated


class ColorJitter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Change brightness, contrast, saturation and hue, in random order.

    A number x draws the factor from [max(0, 1 - x), 1 + x]; an array is [smallest, largest] factor. For the hue they
    are shifts, in turns of the colour wheel.
    """

    brightness: _Factor = 0
    contrast: _Factor = 0
    saturation: _Factor = 0
    hue: Annotated[float, Meta(ge=0, le=0.5)] | Annotated[tuple[_HueShift, ...], Meta(min_length=2, max_length=2)] = 0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _require_ascending(name, getattr(self, name))
        if not self._ranges():
            raise ValueError("without a strength it does nothing; set `brightness`, `contrast`, `saturation` or `hue`")

    def parameters(self, random: Random, size: int) -> Parameters:
        """Return the name and the factor of each change, in order."""
        drawn = [(name, random.uniform(low, high)) for name, (low, high) in self._ranges().items()]
        return tuple(part for position in random.permutation(len(drawn)) for part in drawn[position])

    def __call__(self, image: Tensor, *parameters: Any) -> Tensor:
        """Return the image with the changes applied one after the other."""
        for name, factor in zip(parameters[::2], parameters[1::2], strict=True):
            image = getattr(_functional(), f"adjust_{name}")(image, factor)
        return image

    def _ranges(self) -> dict[str, tuple[float, float]]:
        """Return the range of the factor of each property that changes."""
        ranges = {}
        for name in self.__struct_fields__:
            given, neutral = getattr(self, name), 0.0 if name == "hue" else 1.0
            low, high = given if isinstance(given, tuple) else (neutral - given, neutral + given)
            ranges[name] = (low if name == "hue" else max(0.0, low)), high
            if ranges[name] == (neutral, neutral):
                del ranges[name]
        return ranges


class RandomErasing(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Overwrite a random box with one colour (Zhong et al., 2020)."""

    p: _Probability = 0.5
    """Share of the images."""
    scale: tuple[_Probability, _Probability] = (0.02, 0.33)
    """Smallest and largest share of the image's area."""
    ratio: tuple[_Positive, _Positive] = (0.3, 3.3)
    """Smallest and largest aspect ratio (height / width)."""
    value: _Fill = _MEAN_COLOUR
    """Colour of the box, as bytes of a pixel."""

    def __post_init__(self) -> None:
        _require_ascending("scale", self.scale)
        _require_ascending("ratio", self.ratio)

    def parameters(self, random: Random, size: int) -> Parameters:
        """Return top, left, height and width of the box; nothing if no box of ten fits."""
        if random.uniform() >= self.p:
            return ()
        low, high = map(math.log, self.ratio)
        for _ in range(_ERASING_ATTEMPTS):
            area = size * size * random.uniform(*self.scale)
            ratio = math.exp(random.uniform(low, high))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if height < size and width < size:
                return random.below(size - height + 1), random.below(size - width + 1), height, width
        return ()

    def __call__(self, image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
        """Return the image with the box."""
        values = [self.value] if isinstance(self.value, int) else self.value
        colour = torch.tensor(values, dtype=image.dtype)[:, None, None]
        erased: Tensor = _functional().erase(image, top, left, height, width, colour)
        return erased


class TrivialAugmentWide(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Apply one random operation with a random magnitude (Müller and Hutter, 2021)."""

    num_magnitude_bins: _Bins = 31
    interpolation: _Interpolation = "nearest"
    fill: _Fill = 0

    def parameters(self, random: Random, size: int) -> Parameters:
        """Return the name of the operation, the position of its magnitude, and its sign."""
        name = _OPERATIONS[random.below(len(_OPERATIONS))]
        position = random.below(self.num_magnitude_bins)
        return _operation(name, position, random)

    def __call__(self, image: Tensor, name: str, position: int, sign: int) -> Tensor:
        """Return the image after the operation."""
        largest = {"Shear": 0.99, "Translate": 32.0, "Rotate": 135.0, "Posterize": 6}.get(name.rstrip("XY"), 0.99)
        magnitude = sign * _magnitude(name, largest, position, self.num_magnitude_bins)
        return _apply(image, name, magnitude, self.interpolation, self.fill)


class RandAugment(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Apply several random operations with one fixed magnitude (Cubuk et al., 2020)."""

    num_ops: Annotated[int, Meta(ge=1, le=20)] = 2
    magnitude: Annotated[int, Meta(ge=0, le=999)] = 9
    """Position of the magnitude in its bins, counted from 0."""
    num_magnitude_bins: _Bins = 31
    interpolation: _Interpolation = "nearest"
    fill: _Fill = 0

    def __post_init__(self) -> None:
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError(
                f"`magnitude` is {self.magnitude}; it must be below `num_magnitude_bins`, {self.num_magnitude_bins}"
            )

    def parameters(self, random: Random, size: int) -> Parameters:
        """Return name, position of the magnitude, and sign of each operation, in order."""
        names = [_OPERATIONS[random.below(len(_OPERATIONS))] for _ in range(self.num_ops)]
        return tuple(part for name in names for part in _operation(name, self.magnitude, random))

    def __call__(self, image: Tensor, *parameters: Any) -> Tensor:
        """Return the image after the operations."""
        translation = 150 / 331 * image.shape[-1]
        for name, position, sign in zip(parameters[::3], parameters[1::3], parameters[2::3], strict=True):
            largest = {"Shear": 0.3, "Translate": translation, "Rotate": 30.0, "Posterize": 4}.get(
                name.rstrip("XY"), 0.9
            )
            magnitude = sign * _magnitude(name, largest, position, self.num_magnitude_bins)
            image = _apply(image, name, magnitude, self.interpolation, self.fill)
        return image


def _operation(name: str, position: int, random: Random) -> tuple[str, int, int]:
    """Return the operation with a random sign if its magnitude has one, and with position 0 if it has no magnitude."""
    if name in _SIGNED:
        return name, position, -1 if random.uniform() < 0.5 else 1
    return name, position if name in _UNSIGNED else 0, 1


def _magnitude(name: str, largest: float, position: int, num_bins: int) -> float:
    """Return the magnitude at a position of the bins, in float32 as torchvision computes it."""
    if name == "Posterize":
        return float((8 - torch.tensor(position) / ((num_bins - 1) / largest)).round())
    low, high = (1.0, 0.0) if name == "Solarize" else (0.0, largest)
    return float(torch.linspace(low, high, num_bins)[position])


def _apply(image: Tensor, name: str, magnitude: float, interpolation: _Interpolation, fill: _Fill) -> Tensor:
    """Return the image after an operation of TrivialAugment or RandAugment."""
    functional: Any = _functional()
    pixels = _resampling(interpolation, fill)
    degrees = math.degrees(math.atan(magnitude))
    corner: dict[str, Any] = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "center": [0, 0], **pixels}
    shift: dict[str, Any] = {"angle": 0.0, "scale": 1.0, "shear": [0.0, 0.0], **pixels}
    operations: dict[str, Callable[[], Tensor]] = {
        "Identity": lambda: image,
        "ShearX": lambda: functional.affine(image, shear=[degrees, 0.0], **corner),
        "ShearY": lambda: functional.affine(image, shear=[0.0, degrees], **corner),
        "TranslateX": lambda: functional.affine(image, translate=[int(magnitude), 0], **shift),
        "TranslateY": lambda: functional.affine(image, translate=[0, int(magnitude)], **shift),
        "Rotate": lambda: functional.rotate(image, magnitude, **pixels),
        "Brightness": lambda: functional.adjust_brightness(image, 1 + magnitude),
        "Color": lambda: functional.adjust_saturation(image, 1 + magnitude),
        "Contrast": lambda: functional.adjust_contrast(image, 1 + magnitude),
        "Sharpness": lambda: functional.adjust_sharpness(image, 1 + magnitude),
        "Posterize": lambda: functional.posterize(image, int(magnitude)),
        "Solarize": lambda: functional.solarize(image, 255 * magnitude),
        "AutoContrast": lambda: functional.autocontrast(image),
        "Equalize": lambda: functional.equalize(image),
    }
    return operations[name]()


def _require_ascending(name: str, value: object) -> None:
    if isinstance(value, tuple) and value[0] > value[1]:
        raise ValueError(f"`{name}` is [smallest, largest]; got [{value[0]}, {value[1]}]")


def _resampling(interpolation: _Interpolation, fill: _Fill) -> dict[str, Any]:
    """Return the keyword arguments with which torchvision resamples and fills."""
    from torchvision.transforms import InterpolationMode

    values = [fill] * 3 if isinstance(fill, int) else fill
    return {"interpolation": InterpolationMode(interpolation), "fill": list(map(float, values))}


def _functional() -> Any:
    """Return torchvision's operators, which are imported when an image is changed, because that takes a second."""
    from torchvision.transforms.v2 import functional

    return functional
