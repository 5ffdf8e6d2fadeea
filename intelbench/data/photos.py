"""Images without labels: an image, or those in a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from intelbench.data.decoding import UnreadableImageError
from intelbench.data.files import UnusableFileError, read_file
from intelbench.data.folder import images_below
from intelbench.errors import UserError, printable
from intelbench.paths import is_file, is_folder, shown_path


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
    if is_file(place):
        return [Photo(place.name, place)]
    if not is_folder(place):
        raise UserError(f"images {shown_path(place)}: no such file or folder. Expected a folder of images, or an image")
    photos = [Photo(path.relative_to(place).as_posix(), path) for path in images_below(place)]
    if not photos:
        raise UserError(f"images {printable(place)}: no image in it. Expected files such as .jpg and .png")
    return photos
