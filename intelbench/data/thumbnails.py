"""Small copies of a data set's images, for a report: found by the ids in the records, which may come from anyone."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from intelbench.data import scenes
from intelbench.data.dataset import SCENES
from intelbench.data.decoding import UnreadableImageError, decode
from intelbench.data.files import UnusableFileError, read_file
from intelbench.data.folder import list_images
from intelbench.errors import UserError, printable

SIDE = 80
"""Longer side of a thumbnail in pixels."""
_QUALITY = 60


@dataclass(frozen=True)
class Pictures:
    """The images of one data folder."""

    root: Path
    """Absolute, without symbolic links."""
    paths: Mapping[str, Path]
    """By id."""

    def thumbnail(self, image_id: str) -> bytes | None:
        """A small WebP of the image; `None` where it is not in the folder or does not decode.

        An id is looked up among those that the folder was found to hold, so none leads out of it; nor does a link.
        """
        path = self.paths.get(image_id)
        try:
            if path is None or not Path(os.path.realpath(path)).is_relative_to(self.root):
                return None
            picture = Image.fromarray(decode(read_file(path), SIDE))
        except (OSError, UnusableFileError, UnreadableImageError, UserError):
            return None
        picture.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=_QUALITY, method=4)
        return file.getvalue()


def find_pictures(source: str, class_names: Sequence[str], cache_folder: Path) -> Pictures:
    """List the images of a recorded data set where it lies now; `scenes` is read where a run has drawn it.

    Raises:
        UserError: as `list_images`; or the folder has other classes, so it is not the one that the records mean. The
            message goes into a report, so it names the folder without the path to it.
    """
    root = cache_folder / f"scenes-v{scenes.VERSION}" if source == SCENES else Path(source)
    try:
        listing = list_images(root)
        if listing.class_names != tuple(class_names):
            raise UserError(f"data {root}: its classes are not those of the records")
    except UserError as error:
        raise UserError(str(error).replace(printable(root), printable(Path(source).name or source))) from error
    return Pictures(root.resolve(), {file.id: file.path for file in listing.files()})
