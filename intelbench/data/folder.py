"""Find the images of a classification data set on the disk: layouts, classes, files. Nothing is decoded here."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from intelbench.errors import UserError

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
class Listing:
    """What a data folder holds."""

    root: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, tuple[ImageFile, ...]]
    """`train` always; `test` and `validation` where the folder brings them."""
    ignored: tuple[str, ...]
    """Files in class folders that are no images by their name, and special files."""

    def files(self) -> Iterator[ImageFile]:
        """Every image, split by split."""
        for files in self.splits.values():
            yield from files


def list_images(root: Path) -> Listing:
    """Find the splits, classes and images below `root`.

    Raises:
        UserError: not a folder, not readable, no layout that is known, an empty class, or class sets that differ
            between the splits.
    """
    try:
        root.stat()
    except OSError as error:
        reason = "no such folder" if isinstance(error, FileNotFoundError) else error.strerror
        raise UserError(f"data {root}: {reason}") from error
    if not root.is_dir():
        raise UserError(f"data {root}: is a file; give the folder that holds {LAYOUTS}")
    folders = _split_folders(root)
    class_names = _class_names(folders["train"])
    splits: dict[str, tuple[ImageFile, ...]] = {}
    ignored: list[str] = []
    for split, folder in folders.items():
        _require_same_classes(folder, class_names, folders["train"])
        found: list[ImageFile] = []
        for label, name in enumerate(class_names):
            images, others = _images(root, folder / name, label)
            if not images:
                raise UserError(
                    f"data {folder / name}: the class folder holds no image; add images or remove the folder"
                )
            found += images
            ignored += others
        splits[split] = tuple(found)
    return Listing(root, class_names, splits, tuple(ignored))


def content_digests(files: list[ImageFile]) -> tuple[list[str], dict[str, str]]:
    """Digest of each file's bytes (128 bits, hexadecimal; empty where unreadable), and why some could not be read."""
    problems: dict[str, str] = {}

    def read(file: ImageFile) -> str:
        try:
            with file.path.open("rb") as stream:
                return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        except OSError as error:
            problems[file.id] = error.strerror or str(error)
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
            there = ", ".join(sorted(folder.name for folder in found.values()))
            raise UserError(f"data {root}: has {there} but no training folder; accepted: {LAYOUTS}")
        return {"train": root}
    if "test" not in found and "validation" in found:
        found["test"] = found.pop("validation")
    return found


def _unnest(folder: Path) -> Path:
    """The published archive holds each split in a folder of the same name: seg_train/seg_train/."""
    inner = folder / folder.name
    return inner if inner.is_dir() and len(_subfolders(folder)) == 1 else folder


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(each.name for each in _subfolders(folder) if each.name not in _NOT_CLASSES))
    if len(names) < 2:
        raise UserError(
            f"data {folder}: has {len(names)} class folder{'s' * (len(names) != 1)}, at least 2 are needed; "
            f"accepted: {LAYOUTS}"
        )
    for name in names:
        _require_utf8(folder / name)
    return names


def _require_same_classes(folder: Path, class_names: tuple[str, ...], train: Path) -> None:
    names = {each.name for each in _subfolders(folder) if each.name not in _NOT_CLASSES}
    if missing := sorted(set(class_names) - names):
        raise UserError(
            f"data {folder}: class {missing[0]!r} of {train} is missing; every split needs the same classes"
        )
    if extra := sorted(names - set(class_names)):
        raise UserError(f"data {folder}: class {extra[0]!r} is not in {train}; every split needs the same classes")


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"data {folder}: cannot be listed ({error.strerror}); make it readable") from error


def _images(root: Path, folder: Path, label: int) -> tuple[list[ImageFile], list[str]]:
    """The images below a class folder in the order of their names, and what else lies there."""

    def refuse(error: OSError) -> None:
        raise UserError(f"data {error.filename}: cannot be listed ({error.strerror}); make it readable") from error

    images: list[ImageFile] = []
    others: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(parent, name)
            if path.suffix.lower() not in IMAGE_SUFFIXES or (path.exists() and not path.is_file()):
                others.append(os.fsencode(path.relative_to(root)).decode(errors="replace"))
                continue
            _require_utf8(path)
            images.append(ImageFile(path.relative_to(root).as_posix(), path, label))
    return images, others


def _require_utf8(path: Path) -> None:
    """Records are UTF-8, so a name that is not cannot be written down."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"data {os.fsencode(path)!r}: the name is not valid UTF-8; rename it") from error
