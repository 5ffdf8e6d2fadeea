"""Make thumbnails of a data set's images for a report.

The images are found by the ids in the records, which are not trusted: records may come from anyone.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from intelbench.data.decoding import UnreadableImageError, decode
from intelbench.data.files import UnusableFileError, read_file
from intelbench.data.layout import find_layout
from intelbench.data.names import is_image_path
from intelbench.data.sources import location_of
from intelbench.errors import UserError, printable

SIDE = 80
"""Longer side of a thumbnail in pixels."""
_QUALITY = 60


@dataclass(frozen=True)
class Pictures:
    """The images of one data folder. The folder is not listed, because it may have changed and have any size."""

    root: Path
    """Absolute path without symbolic links."""
    classes: tuple[str, ...]
    """Folder of each class in each split, below `root` and with a slash at its end: the first part of an id."""

    def thumbnail(self, image_id: str) -> bytes | None:
        """Return a small WebP of the image; `None` if it does not decode or is not an image of a class.

        Ids with `..` or hidden names, and links that lead out of the folder, are refused.
        """
        if not image_id.startswith(self.classes) or not is_image_path(image_id):
            return None
        try:
            path = Path(os.path.realpath(self.root / image_id))
            if not path.is_relative_to(self.root):
                return None
            picture = Image.fromarray(decode(read_file(path), SIDE))
        except (OSError, ValueError, UnusableFileError, UnreadableImageError, UserError):
            return None
        picture.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=_QUALITY, method=4)
        return file.getvalue()


def find_pictures(source: str, class_names: Sequence[str], cache_folder: Path) -> Pictures:
    """Find the images of a recorded data set on this machine.

    Raises:
        UserError: the folder is missing, has no known layout, or has other classes than the records. The message goes
            into a report, so it names the folder without the path to it.
    """
    root = location_of(source, cache_folder).root
    try:
        layout = find_layout(root)
        if layout.class_names != tuple(class_names):
            raise UserError(f"data {root}: its classes are not those of the records")
    except UserError as error:
        raise UserError(str(error).replace(printable(root), printable(Path(source).name or source))) from error
    folders = [folder for split in layout.class_folders.values() for folder in split]
    return Pictures(root.resolve(), tuple(f"{folder.relative_to(root).as_posix()}/" for folder in folders))
