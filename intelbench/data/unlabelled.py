"""Images without labels: found in a folder, decoded, and shown to a network as evaluation shows images to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from intelbench.data.dataset import stored_side
from intelbench.data.decoding import Pixels, UnreadableImageError, as_pixels, decode
from intelbench.data.files import UnusableFileError, read_file
from intelbench.data.folder import images_below
from intelbench.data.transforms import evaluation_view, normalize
from intelbench.errors import UserError, printable
from intelbench.records.types import Normalization


class Photo(NamedTuple):
    """A file of an image, which may not decode."""

    id: str
    """Path below the folder that was given, with forward slashes."""
    path: Path

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            UnreadableImageError: the file cannot be used.
            UserError: it could not be read for a reason that may be temporary.
        """
        try:
            return read_file(self.path)
        except UnusableFileError as error:
            raise UnreadableImageError(str(error)) from error


def find_photos(place: Path) -> Sequence[Photo]:
    """Return the images in a folder and its subfolders, sorted by path, or the image that `place` is.

    Raises:
        UserError: there is no such file or folder, or no image in it.
    """
    if place.is_file():
        return [Photo(place.name, place)]
    if not place.is_dir():
        raise UserError(f"images {printable(place)}: no such file or folder. Expected a folder of images, or an image")
    photos = [Photo(path.relative_to(place).as_posix(), path) for path in images_below(place)]
    if not photos:
        raise UserError(f"images {printable(place)}: no image in it. Expected files such as .jpg and .png")
    return photos


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
