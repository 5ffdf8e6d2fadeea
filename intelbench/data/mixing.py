"""Mix each image of a batch with the image before it: mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019).

The order of the images is a shuffle by hash, so the image before another one is a random image of the epoch, as in
torchvision's `MixUp` and `CutMix`. Unlike there, each image has its own weight and box, from its own hash: they depend
on seed, epoch and image only.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from intelbench.config.recipe import Recipe
from intelbench.data.augment import Random

_STEPS = 2**16
"""Weights are multiples of 1/65536, so that digests do not depend on the last bits of scipy's functions."""
_PACKED = struct.Struct("<I4i")


@dataclass(frozen=True)
class Mix:
    """How one image is mixed with another."""

    weight: float
    """Share of the image in its target; the rest is the share of the other image."""
    box: tuple[int, int, int, int] | None
    """Top, left, bottom and right of what the other image replaces (CutMix); `None` blends all pixels (mixup)."""

    def content(self) -> bytes:
        """Return the mix as bytes for the digest."""
        return _PACKED.pack(round(self.weight * _STEPS), *(self.box or (-1, -1, -1, -1)))


def draw_mix(random: Random, recipe: Recipe, size: int) -> Mix:
    """Draw how an image of `size` x `size` pixels is mixed; with mixup and CutMix in the recipe, each has every second.

    The box of CutMix is that of torchvision's `CutMix.make_params`: it has the drawn share of the area, and is cut off
    at the edges of the image; the weight is that of the pixels that are left.
    """
    from scipy.special import betaincinv  # loaded in a tenth of a second, so only if images are mixed

    cuts = recipe.cutmix_alpha > 0 and (recipe.mixup_alpha == 0 or random.uniform() < 0.5)
    alpha = recipe.cutmix_alpha if cuts else recipe.mixup_alpha
    weight = round(float(betaincinv(alpha, alpha, random.uniform())) * _STEPS) / _STEPS
    if not cuts:
        return Mix(weight, None)
    column, row = random.below(size), random.below(size)
    half = int(0.5 * math.sqrt(1 - weight) * size)
    top, left = max(row - half, 0), max(column - half, 0)
    bottom, right = min(row + half, size), min(column + half, size)
    return Mix(1 - (bottom - top) * (right - left) / (size * size), (top, left, bottom, right))


def mix_images(images: Tensor, mixes: Sequence[Mix]) -> None:
    """Mix each image (N x size x size x 3, uint8) with the one before it, in place; the first one with the last."""
    for image, other, mix in zip(images, images.roll(1, 0), mixes, strict=True):
        if mix.box:
            top, left, bottom, right = mix.box
            image[top:bottom, left:right] = other[top:bottom, left:right]
        else:
            image.copy_(other.float().mul_(1 - mix.weight).add_(image.float().mul_(mix.weight)).round_())


def mix_labels(labels: Tensor, mixes: Sequence[Mix], num_classes: int) -> Tensor:
    """Return the share of each class in the mixed images (N x classes, float32)."""
    weights = torch.tensor([mix.weight for mix in mixes])[:, None]
    shares = one_hot(labels, num_classes).float()
    return shares.roll(1, 0).mul_(1 - weights).add_(shares.mul(weights))
