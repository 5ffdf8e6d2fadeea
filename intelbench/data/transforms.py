"""Transform stored pixels to the input of a network: random resized crop, flip, evaluation crop, normalisation.

Random numbers come from a hash and not from a generator, so the crop of an image in an epoch does not depend on other
crops, the machine or the version of PyTorch. The pixel operations are torchvision's.
"""

import hashlib
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from intelbench.config.fields import MemoryFormat
from intelbench.config.recipe import Recipe
from intelbench.data.decoding import Pixels
from intelbench.records.types import IMAGENET_NORMALIZATION, Normalization

_ATTEMPTS = 10
_NUM_DRAWS = 2 * _ATTEMPTS + 3
_DRAWS = struct.Struct(f"<{_NUM_DRAWS}I")
_upsample: Any = torch._C._nn._upsample_bilinear2d_aa
"""As `torch.nn.functional.interpolate` calls it. By `torch.ops.aten`, the resize of an image to 96 px takes a fifth
longer."""


@dataclass(frozen=True)
class Crop:
    """The augmentation of one training image: a box in stored pixels, and whether the image is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


def draws(key: bytes, epoch: int, image_id: str) -> list[float]:
    """Return the 23 uniform numbers in [0, 1) that determine the augmentation of an image in an epoch."""
    data = hashlib.shake_128(b"%b/%d/%b" % (key, epoch, image_id.encode())).digest(_DRAWS.size)
    return [value / 2**32 for value in _DRAWS.unpack(data)]


def random_resized_crop(uniform: list[float], height: int, width: int, recipe: Recipe) -> Crop:
    """Return an Inception-style crop (Szegedy et al., 2015), as torchvision's `RandomResizedCrop.get_params` does.

    Up to ten boxes of random area and aspect ratio are tried. If no box fits, the largest central box with an accepted
    aspect ratio is used.

    Args:
        uniform: The numbers that `draws` returns.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        recipe: Ranges of area and aspect ratio, and whether images are mirrored.
    """
    flip = recipe.flip and uniform[-1] < 0.5
    low, high = recipe.crop_scale
    log_low, log_high = math.log(recipe.crop_ratio[0]), math.log(recipe.crop_ratio[1])
    for attempt in range(_ATTEMPTS):
        area = height * width * (low + uniform[2 * attempt] * (high - low))
        ratio = math.exp(log_low + uniform[2 * attempt + 1] * (log_high - log_low))
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(uniform[-3] * (height - box_height + 1))
            left = int(uniform[-2] * (width - box_width + 1))
            return Crop(top, left, box_height, box_width, flip)
    ratio = min(max(width / height, recipe.crop_ratio[0]), recipe.crop_ratio[1])
    box_width = max(1, min(width, round(height * ratio)))
    box_height = max(1, min(height, round(width / ratio)))
    return Crop((height - box_height) // 2, (width - box_width) // 2, box_height, box_width, flip)


def training_view(pixels: Pixels, crop: Crop, out: Tensor) -> Tensor:
    """Write the cropped, resized and perhaps mirrored image into `out` (size x size x 3, uint8), and return `out`."""
    box = pixels[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    _resize(box, out)
    return out.copy_(out.flip(1)) if crop.flip else out


def evaluation_view(pixels: Pixels, out: Tensor) -> Tensor:
    """Write the image as evaluation sees it into `out` (size x size x 3, uint8), and return `out`.

    The shorter side is resized to size x 256/224, and the central square is cut out.
    """
    size = len(out)
    height, width = pixels.shape[:2]
    side = round(size * 256 / 224)
    shape = (side, int(side * width / height)) if height < width else (int(side * height / width), side)
    resized = _resize(pixels, torch.empty(*shape, 3, dtype=torch.uint8))
    top = round((shape[0] - size) / 2)
    left = round((shape[1] - size) / 2)
    return out.copy_(resized[top : top + size, left : left + size])


def normalize(
    images: Tensor, memory_format: MemoryFormat, normalization: Normalization = IMAGENET_NORMALIZATION
) -> Tensor:
    """Convert uint8 images (N x H x W x 3) to normalised float32 (N x 3 x H x W) on their device.

    The computation is on rows of W*3 values, because broadcasting over the short channel axis is many times slower.
    """
    num, height, width, _ = images.shape
    scale, shift = _scale_and_shift(normalization, width, images.device)
    rows = images.view(num, height, width * 3).float().mul_(scale).add_(shift)
    nchw = rows.view(num, height, width, 3).permute(0, 3, 1, 2)
    return nchw if memory_format == "channels_last" else nchw.contiguous()


@lru_cache(maxsize=16)
def _scale_and_shift(normalization: Normalization, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a row of `width` pixels (width*3 values each).

    The result is cached, because a copy to a GPU makes the host wait for the GPU.
    """
    mean, std = torch.tensor(normalization.mean), torch.tensor(normalization.std)
    return (1 / (255 * std)).repeat(width).to(device), (-mean / std).repeat(width).to(device)


def _resize(pixels: Pixels, out: Tensor) -> Tensor:
    """Resize into `out` (height x width x 3, uint8), bilinear and antialiased, and return `out`.

    This is the operator behind torchvision's `resize` on tensors, with equal bits. torchvision returns another memory
    layout, and converting that takes longer than the resize.
    """
    image = torch.from_numpy(pixels)
    if image.shape == out.shape:
        return out.copy_(image)
    planar, into = image.permute(2, 0, 1)[None], out.permute(2, 0, 1)[None]
    _upsample(planar, out.shape[:2], align_corners=False, out=into)
    return out
