"""List the images of a classification data set and what else is in its class folders. Nothing is decoded here.

A link to a file is that file, wherever it lies. A split or a class may be a link to a folder, unless that holds the
link; below a class a linked folder is not followed, so that no link leads in a circle.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from intelbench.data.files import UnusableFileError, digest_of
from intelbench.data.layout import entries, find_layout, may_be_file, refusal, require_utf8
from intelbench.data.names import is_image, is_system_folder
from intelbench.errors import UserError, printable


@dataclass(frozen=True)
class ImageFile:
    """One image on the disk."""

    id: str
    """Path below the data folder, with forward slashes: unique, and the name it has in the records."""
    path: Path
    label: int


@dataclass(frozen=True)
class Listing:
    """What a data folder holds."""

    root: Path
    class_names: tuple[str, ...]
    folders: Mapping[str, Path]
    """Folder of each split."""
    splits: Mapping[str, tuple[ImageFile, ...]]
    """`train` always; `test` and `validation` where the folder brings them."""
    ignored: tuple[str, ...]
    """What else is in class folders: files that are no images by their name, special files and linked folders. And
    images next to the class folders of a split."""
    remarks: tuple[str, ...]
    """What the user should know of how the folder was understood, and which folders were left out of it."""

    def files(self) -> Iterator[ImageFile]:
        """Every image, split by split."""
        for files in self.splits.values():
            yield from files


def list_images(root: Path) -> Listing:
    """Find the splits, classes and images below `root`.

    Raises:
        UserError: as `find_layout`; or an empty class.
    """
    layout = find_layout(root)
    splits: dict[str, tuple[ImageFile, ...]] = {}
    ignored: list[str] = []
    systems = [each for folder in dict.fromkeys([root, *layout.folders.values()]) for each in _system_folders(folder)]
    for split, class_folders in layout.class_folders.items():
        found: list[ImageFile] = []
        ignored += _images_without_class(root, layout.folders[split])
        for label, folder in enumerate(class_folders):
            walk = _Walk(root, label)
            walk.go_through(folder)
            if not walk.images:
                raise _no_image(folder, walk.others)
            found += walk.images
            ignored += walk.others
            systems += walk.system_folders
        splits[split] = tuple(found)
    return Listing(
        root,
        layout.class_names,
        layout.folders,
        splits,
        tuple(ignored),
        (*layout.remarks, *([f"data {printable(root)}: {_left_out(systems)}"] if systems else [])),
    )


def by_suffix(names: Sequence[str]) -> str:
    """How many of each kind, most first, as in `9 .txt, 1 without a suffix`."""
    counts = Counter(PurePath(name).suffix.lower() or "without a suffix" for name in names)
    return ", ".join(f"{number:,} {printable(suffix)}" for suffix, number in counts.most_common())


def content_digests(files: Sequence[ImageFile]) -> tuple[list[str], dict[str, str]]:
    """Digest of each file's bytes (128 bits, hexadecimal; empty where unreadable), and why some could not be read.

    Raises:
        UserError: a file could not be read for a reason that may pass, as a failing disk.
    """
    problems: dict[str, str] = {}

    def read(file: ImageFile) -> str:
        try:
            return digest_of(file.path)
        except UnusableFileError as error:
            problems[file.id] = str(error)
            return ""

    with ThreadPoolExecutor() as pool:
        return list(pool.map(read, files)), problems


class _Walk:
    """What is below a class folder: the files of each folder come before those of its subfolders."""

    def __init__(self, root: Path, label: int) -> None:
        self.images: list[ImageFile] = []
        self.others: list[str] = []
        self.system_folders: list[str] = []
        self._root = root
        self._label = label

    def go_through(self, folder: Path) -> None:
        pending = [folder]
        while pending:
            subfolders = []
            for entry in sorted(entries(pending.pop()), key=lambda entry: entry.name):
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    if is_system_folder(entry.name):
                        self.system_folders.append(entry.name)
                    else:
                        subfolders.append(path)
                elif is_image(entry.name) and may_be_file(entry):
                    require_utf8(path)
                    self.images.append(ImageFile(path.relative_to(self._root).as_posix(), path, self._label))
                else:
                    self.others.append(_as_text(self._root, path))
            pending += reversed(subfolders)


def _no_image(folder: Path, others: Sequence[str]) -> UserError:
    what = "the class folder holds no image"
    if others:
        what += f" but {len(others):,} other files ({by_suffix(others)}); images are called .jpg, .png and the like"
    return refusal(folder, f"{what}; add images or remove the folder")


def _images_without_class(root: Path, folder: Path) -> list[str]:
    """Images next to the class folders: of which class they are cannot be known."""
    loose = [Path(entry.path) for entry in entries(folder) if is_image(entry.name) and may_be_file(entry)]
    return [_as_text(root, path) for path in sorted(loose)]


def _system_folders(folder: Path) -> list[str]:
    return [entry.name for entry in entries(folder) if is_system_folder(entry.name) and entry.is_dir()]


def _left_out(system_folders: Sequence[str]) -> str:
    counts = sorted(Counter(system_folders).items())
    names = ", ".join(f"{printable(name)} ({number:,})" for name, number in counts)
    return f"folders of a disk or an operating system are left out: {names}"


def _as_text(root: Path, path: Path) -> str:
    return os.fsencode(path.relative_to(root)).decode(errors="replace")
