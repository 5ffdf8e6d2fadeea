"""List the images in a data folder and the other files in its class folders. No image is decoded here.

A link to a file counts as that file, wherever the link leads. A split or a class may be a link to a folder, unless that
folder contains the link. Linked folders within a class are not followed, so no link leads in a circle.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from intelbench.data.files import UnusableFileError, digest_of
from intelbench.data.layout import find_layout, no_image
from intelbench.data.listing import entries, is_image_file, require_utf8
from intelbench.data.names import is_system_folder
from intelbench.errors import printable


@dataclass(frozen=True)
class ImageFile:
    """An image file, which may not decode."""

    id: str
    """Path below the data folder, with forward slashes: the unique name of the image in records."""
    path: Path
    label: int


@dataclass(frozen=True)
class Listing:
    """The images and other files in a data folder."""

    root: Path
    class_names: tuple[str, ...]
    folders: Mapping[str, Path]
    """Folder of each split."""
    splits: Mapping[str, tuple[ImageFile, ...]]
    """Images of each split: `train` always; `test` and `validation` if the data folder has them."""
    ignored: tuple[str, ...]
    """Files in class folders without an image's suffix, special files and linked folders there, and images next to the
    class folders of a split."""
    remarks: tuple[str, ...]
    """Messages for the user: how the data folder was understood, and which folders were left out."""

    def files(self) -> Iterator[ImageFile]:
        """Yield every image, split by split."""
        for files in self.splits.values():
            yield from files


def list_images(root: Path) -> Listing:
    """List the splits, classes and images below `root`.

    Raises:
        UserError: the folder has no known layout, or a class has no image.
    """
    layout = find_layout(root)
    splits: dict[str, tuple[ImageFile, ...]] = {}
    ignored: list[Path] = []
    left_out = [
        entry.name
        for folder in dict.fromkeys([root, *layout.folders.values()])
        for entry in entries(folder)
        if is_system_folder(entry.name) and entry.is_dir()
    ]
    for split, class_folders in layout.class_folders.items():
        ignored += sorted(Path(entry.path) for entry in entries(layout.folders[split]) if is_image_file(entry))
        files: list[ImageFile] = []
        for label, folder in enumerate(class_folders):
            images, others, system_folders = _walk(folder)
            if not images:
                kinds = by_suffix(map(str, others))
                but = f" but {len(others):,} other files ({kinds}); images are called .jpg, .png and the like"
                raise no_image(folder, but if others else "")
            files += [ImageFile(path.relative_to(root).as_posix(), path, label) for path in images]
            ignored += others
            left_out += system_folders
        splits[split] = tuple(files)
    remarks = layout.remarks
    if left_out:
        names = ", ".join(f"{printable(name)} ({count:,})" for name, count in sorted(Counter(left_out).items()))
        remarks += (f"data {printable(root)}: folders of a disk or an operating system are left out: {names}",)
    return Listing(
        root,
        layout.class_names,
        layout.folders,
        splits,
        tuple(os.fsencode(path.relative_to(root)).decode(errors="replace") for path in ignored),
        remarks,
    )


def by_suffix(names: Iterable[str]) -> str:
    """Return how many names have each suffix, the most frequent first, as in `9 .txt, 1 without a suffix`."""
    counts = Counter(PurePath(name).suffix.lower() or "without a suffix" for name in names)
    return ", ".join(f"{count:,} {printable(suffix)}" for suffix, count in counts.most_common())


def content_digests(files: Sequence[ImageFile]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the 128-bit digest of each file's bytes (hexadecimal), and why other files could not be read, by id.

    Raises:
        UserError: a file could not be read for a reason that may be temporary, such as a failing disk.
    """
    digests: dict[str, str] = {}
    problems: dict[str, str] = {}

    def read(file: ImageFile) -> None:
        try:
            digests[file.id] = digest_of(file.path)
        except UnusableFileError as error:
            problems[file.id] = str(error)

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(read, files):
            pass
    return digests, problems


def images_below(root: Path) -> list[Path]:
    """Return every image in a folder and its subfolders, whatever their names, sorted by path.

    Linked folders within the folder are not followed.

    Raises:
        UserError: a folder cannot be listed.
    """
    return sorted(_walk(root)[0], key=lambda path: path.relative_to(root).as_posix())


def _walk(class_folder: Path) -> tuple[list[Path], list[Path], list[str]]:
    """Return the images, the other files and the names of system folders below a class folder.

    The files of a folder come before those of its subfolders.
    """
    images: list[Path] = []
    others: list[Path] = []
    system_folders: list[str] = []
    pending = [class_folder]
    while pending:
        subfolders = []
        for entry in sorted(entries(pending.pop()), key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                if is_system_folder(entry.name):
                    system_folders.append(entry.name)
                else:
                    subfolders.append(path)
            elif is_image_file(entry):
                require_utf8(path)
                images.append(path)
            else:
                others.append(path)
        pending += reversed(subfolders)
    return images, others, system_folders
