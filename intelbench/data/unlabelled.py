"""Images without labels, as evaluation shows images to a network."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from intelbench.data.dataset import stored_side
from intelbench.data.decoding import Pixels, as_pixels, decode
from intelbench.data.photos import Photo
from intelbench.data.transforms import evaluation_view, normalize
from intelbench.records.types import Normalization


@dataclass(frozen=True)
class EvaluationTransform:
    """What evaluation does to an image before the network sees it: reduce, resize, crop, normalise."""

    image_size: int
    """Height and width of the network's input in pixels."""
    normalization: Normalization

    def __call__(self, image: Image.Image | Tensor | str | Path) -> Tensor:
        """Return an image as input of a network: 3 x size x size, float32, normalised.

        Args:
            image: An image that Pillow has opened, the file of one, or an RGB tensor (3 x height x width): uint8, or
                float from 0 to 1.

        Raises:
            UnreadableImageError: the file cannot be read or decoded.
            ValueError: the tensor has another shape.
        """
        return normalize(self.view(self._pixels(image))[None], "contiguous", self.normalization)[0]

    @property
    def stored_side(self) -> int:
        """Return the largest shorter side of decoded images, in pixels."""
        return stored_side(self.image_size)

    def view(self, pixels: Pixels) -> Tensor:
        """Return decoded pixels as evaluation sees them: size x size x 3, uint8."""
        return evaluation_view(pixels, torch.empty(self.image_size, self.image_size, 3, dtype=torch.uint8))

    def _pixels(self, image: Image.Image | Tensor | str | Path) -> Pixels:
        if isinstance(image, str | Path):
            return decode(Photo(str(image), Path(image)).read(), self.stored_side).copy()  # Pillow's is read-only
        if isinstance(image, Tensor):
            if image.ndim != 3 or len(image) != 3:
                raise ValueError(f"a tensor of shape {tuple(image.shape)}. Expected RGB, (3, height, width)")
            scaled = image if image.dtype == torch.uint8 else (image.clamp(0, 1) * 255).round().to(torch.uint8)
            image = Image.fromarray(scaled.permute(1, 2, 0).contiguous().cpu().numpy())
        return as_pixels(image, self.stored_side).copy()
