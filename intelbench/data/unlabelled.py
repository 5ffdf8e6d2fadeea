"""Images without labels, as evaluation shows images to a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from intelbench.data.dataset import stored_side
from intelbench.data.decoding import Pixels, UnreadableImageError, as_pixels, decode
from intelbench.data.photos import Photo
from intelbench.data.transforms import evaluation_view, normalize
from intelbench.errors import UserError, kind_of, printable
from intelbench.records.types import Normalization

_EXPECTED = (
    "Expected the file of an image, an image of Pillow, an RGB tensor (3, height, width) or an RGB array "
    "(height, width, 3), of uint8 or of floats from 0 to 1"
)


@dataclass(frozen=True)
class EvaluationTransform:
    """What evaluation does to an image before the network sees it: reduce, resize, crop, normalise."""

    image_size: int
    """Height and width of the network's input in pixels."""
    normalization: Normalization

    def __call__(self, image: Image.Image | Tensor | NDArray[Any] | str | Path) -> Tensor:
        """Return an image as input of a network: 3 x size x size, float32, normalised.

        Args:
            image: An image that Pillow has opened, the file of one, an RGB tensor (3 x height x width) or an RGB array
                (height x width x 3): uint8, or float from 0 to 1.

        Raises:
            UserError: the file cannot be read or decoded, or the image is none of these.
        """
        return normalize(self.view(self._pixels(image))[None], "contiguous", self.normalization)[0]

    @property
    def stored_side(self) -> int:
        """Return the largest shorter side of decoded images, in pixels."""
        return stored_side(self.image_size)

    def view(self, pixels: Pixels) -> Tensor:
        """Return decoded pixels as evaluation sees them: size x size x 3, uint8."""
        return evaluation_view(pixels, torch.empty(self.image_size, self.image_size, 3, dtype=torch.uint8))

    def _pixels(self, image: Image.Image | Tensor | NDArray[Any] | str | Path) -> Pixels:
        try:
            if isinstance(image, str | Path):
                pixels = decode(Photo(str(image), Path(image)).read(), self.stored_side)
            else:
                pixels = as_pixels(image if isinstance(image, Image.Image) else _image(image), self.stored_side)
        except (UnreadableImageError, OSError) as error:  # Pillow may read the file of an image only now
            name = printable(image) if isinstance(image, str | Path) else kind_of(image)
            raise UserError(f"image {name}: cannot be read ({error}). {_EXPECTED}") from error
        return pixels.copy()  # Pillow's buffer is read-only


def _image(values: object) -> Image.Image:
    """Return an RGB tensor or array as an image.

    Raises:
        UserError: it is neither, or it has another shape, type or range.
    """
    if not isinstance(values, Tensor | np.ndarray):
        raise UserError(f"image: {kind_of(values)} is not accepted. {_EXPECTED}")
    what = "a tensor" if isinstance(values, Tensor) else "an array"
    what = f"image: {what} of {str(values.dtype).removeprefix('torch.')}, {tuple(values.shape)},"
    if isinstance(values, np.ndarray) and values.dtype.kind not in "uif":
        raise UserError(f"{what} has values of another type. {_EXPECTED}")
    pixels = (
        values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.require(values, requirements=("C", "W")))
    )
    if pixels.ndim == 3 and isinstance(values, Tensor):
        pixels = pixels.permute(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.numel():
        raise UserError(f"{what} has another shape. {_EXPECTED}")
    if pixels.is_floating_point():
        if not ((pixels >= 0) & (pixels <= 1)).all():
            raise UserError(f"{what} has values that are not from 0 to 1. {_EXPECTED}")
        pixels = (pixels.float() * 255).round().to(torch.uint8)
    if pixels.dtype != torch.uint8:
        raise UserError(f"{what} has values of another type. {_EXPECTED}")
    return Image.fromarray(pixels.contiguous().cpu().numpy())
