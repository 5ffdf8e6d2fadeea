"""Find the images of a classification data set on the disk: layouts, classes, files. Nothing is decoded here.

A link to a file is that file, wherever it lies. A split or a class may be a link to a folder, unless that holds the
link; below a class a linked folder is not followed, so that no link leads in a circle.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from intelbench.data.files import UnusableFileError, digest_of
from intelbench.errors import UserError, printable
from intelbench.records.types import MOST_CLASSES

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

_SPLIT_FOLDERS = {
    "train": ("seg_train", "train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("seg_test", "test", "testing"),
}
_NOT_CLASSES = frozenset({"seg_pred"})

LAYOUTS = "seg_train/ and seg_test/, or train/ and test/ (or val/), or one folder a class"


@dataclass(frozen=True)
class ImageFile:
    """One image on the disk."""

    id: str
    """Path below the data folder, with forward slashes: unique, and the name it has in the records."""
    path: Path
    label: int


@dataclass(frozen=True)
class Layout:
    """Where the images of a data folder lie. What is below a class has not been looked at, however much it is."""

    root: Path
    class_names: tuple[str, ...]
    folders: Mapping[str, Path]
    """Of each split, which hold one folder a class: `train` always; `test` and `validation` where there are any."""


@dataclass(frozen=True)
class Listing:
    """What a data folder holds."""

    root: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, tuple[ImageFile, ...]]
    """`train` always; `test` and `validation` where the folder brings them."""
    ignored: tuple[str, ...]
    """What else lies in class folders: files that are no images by their name, special files and linked folders."""

    def files(self) -> Iterator[ImageFile]:
        """Every image, split by split."""
        for files in self.splits.values():
            yield from files


def find_layout(root: Path) -> Layout:
    """Find the splits and classes below `root`.

    Raises:
        UserError: not a folder, not readable, no layout that is known, or class sets that differ between the splits.
    """
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise _refusal(root, "no such folder" if missing else getattr(error, "strerror", str(error))) from error
    if not is_folder:
        raise _refusal(root, f"is a file; give the folder that holds {LAYOUTS}")
    folders = _split_folders(root)
    class_names = _class_names(folders["train"])
    for folder in folders.values():
        _require_same_classes(folder, class_names, folders["train"])
    return Layout(root, class_names, folders)


def list_images(root: Path) -> Listing:
    """Find the splits, classes and images below `root`.

    Raises:
        UserError: as `find_layout`; or an empty class.
    """
    layout = find_layout(root)
    splits: dict[str, tuple[ImageFile, ...]] = {}
    ignored: list[str] = []
    for split, folder in layout.folders.items():
        found: list[ImageFile] = []
        for label, name in enumerate(layout.class_names):
            images, others = _images(root, folder / name, label)
            if not images:
                raise _refusal(folder / name, "the class folder holds no image; add images or remove the folder")
            found += images
            ignored += others
        splits[split] = tuple(found)
    return Listing(root, layout.class_names, splits, tuple(ignored))


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


def _split_folders(root: Path) -> dict[str, Path]:
    """Where each split lies. A lone `val/` beside `train/` is what the run is tested on, as many folders mean it."""
    present = {folder.name.lower(): folder for folder in _subfolders(root)}
    found = {
        split: _unnest(present[name])
        for split, names in _SPLIT_FOLDERS.items()
        for name in reversed(names)
        if name in present
    }
    if "train" not in found:
        if found:
            there = ", ".join(sorted(printable(folder.name) for folder in found.values()))
            raise _refusal(root, f"has {there} but no training folder; accepted: {LAYOUTS}")
        return {"train": root}
    if "test" not in found and "validation" in found:
        found["test"] = found.pop("validation")
    return found


def _unnest(folder: Path) -> Path:
    """The published archive holds each split in a folder of the same name: seg_train/seg_train/."""
    inner = folder / folder.name
    return inner if _subfolders(folder) == [inner] else folder


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(each.name for each in _subfolders(folder) if each.name not in _NOT_CLASSES))
    if len(names) < 2:
        raise _refusal(
            folder,
            f"has {len(names)} class folder{'s' * (len(names) != 1)}, at least 2 are needed; accepted: {LAYOUTS}",
        )
    if len(names) > MOST_CLASSES:
        raise _refusal(folder, f"has {len(names):,} class folders; at most {MOST_CLASSES:,} are compared")
    for name in names:
        _require_utf8(folder / name)
    return names


def _require_same_classes(folder: Path, class_names: tuple[str, ...], train: Path) -> None:
    names = {each.name for each in _subfolders(folder) if each.name not in _NOT_CLASSES}
    if missing := sorted(set(class_names) - names):
        raise _refusal(
            folder, f"class {missing[0]!r} of {printable(train)} is missing; every split needs the same classes"
        )
    if extra := sorted(names - set(class_names)):
        raise _refusal(folder, f"class {extra[0]!r} is not in {printable(train)}; every split needs the same classes")


def _subfolders(folder: Path) -> list[Path]:
    """The folders in a folder; a link to one counts, unless it leads in a circle."""
    found = []
    for entry in _entries(folder):
        if entry.is_symlink():
            try:
                is_folder = stat.S_ISDIR(entry.stat().st_mode)
            except OSError as error:
                raise _refusal(entry.path, f"a link that leads nowhere ({error.strerror}); remove it") from error
            if is_folder and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(entry.path)):
                raise _refusal(entry.path, "a link to a folder that holds it; remove it")
        else:
            is_folder = entry.is_dir()
        if is_folder:
            found.append(Path(entry.path))
    return found


def _images(root: Path, folder: Path, label: int) -> tuple[list[ImageFile], list[str]]:
    """The images below a class folder, each folder's before those of its subfolders, and what else lies there."""
    images: list[ImageFile] = []
    others: list[str] = []
    pending = [folder]
    while pending:
        subfolders = []
        for entry in sorted(_entries(pending.pop()), key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(path)
            elif path.suffix.lower() in IMAGE_SUFFIXES and _may_be_file(entry):
                _require_utf8(path)
                images.append(ImageFile(path.relative_to(root).as_posix(), path, label))
            else:
                others.append(os.fsencode(path.relative_to(root)).decode(errors="replace"))
        pending += reversed(subfolders)
    return images, others


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder, but for what is hidden."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise _refusal(folder, f"cannot be listed ({error.strerror}); make it readable or remove it") from error


def _may_be_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link that leads to one or nowhere: that one is for whoever reads it to report."""
    if not entry.is_symlink():
        return entry.is_file()
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True


def _require_utf8(path: Path) -> None:
    """Records are UTF-8, so a name that is not cannot be written down."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"data {os.fsencode(path)!r}: the name is not valid UTF-8; rename it") from error


def _refusal(path: Path | str, why: str) -> UserError:
    return UserError(f"data {printable(path)}: {why}")
