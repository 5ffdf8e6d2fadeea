"""Find the splits and the classes of a data folder by the names of its folders and by which of them hold images.

A folder is a split if its name has a word for the split, and perhaps words such as `data`, `set` and `images`. The
splits may be one level down. If no folder is named like a split, each folder is a class. Folders that look like splits
or versions of one data set are refused, because a network would learn to recognise the folder and not the class.
"""

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intelbench.config.fields import MAX_CLASSES
from intelbench.data.listing import entries, is_image_file, refusal, require_utf8
from intelbench.data.names import (
    SplitName,
    are_annotations,
    class_name,
    is_container,
    is_system_folder,
    is_unlabelled,
    likeness,
    split_of,
)
from intelbench.errors import UserError, plural, printable

LAYOUTS = "train/ and test/ (or val/) with a folder for each class, or one folder for each class"
_NOT_CLASSES = frozenset({"seg_pred"})
"""Folders of unlabelled images in published data sets that have no splits."""
_SPLITS = ("train", "validation", "test")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_MAX_LISTED = 5
"""Names that a message lists; the rest is only counted."""


@dataclass(frozen=True)
class Layout:
    """The splits and classes of a data folder. The class folders have not been opened."""

    class_names: tuple[str, ...]
    """Sorted, in Unicode's composed form (NFC)."""
    folders: Mapping[str, Path]
    """Folder of each split: `train` always; `test` and `validation` if the data folder has them."""
    class_folders: Mapping[str, tuple[Path, ...]]
    """Folder of each class by split, in the order of `class_names`."""
    remarks: tuple[str, ...]
    """Messages for the user: how the data folder was understood."""


@dataclass(frozen=True)
class _Splits:
    folders: dict[str, Path]
    unused: Sequence[Path] = ()
    remarks: tuple[str, ...] = ()


def find_layout(root: Path) -> Layout:
    """Find the splits and classes below `root`.

    Raises:
        UserError: `root` is not a readable folder, has no known layout, or its splits have different classes.
    """
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except FileNotFoundError as error:
        raise refusal(root, "no such folder. Expected the folder of the images") from error
    except (OSError, ValueError) as error:
        raise refusal(root, getattr(error, "strerror", str(error))) from error
    if not is_folder:
        raise refusal(root, f"is a file; give the folder that holds {LAYOUTS}")
    splits = _find_splits(root)
    train = splits.folders["train"]
    by_split = {split: _class_folders(folder) for split, folder in splits.folders.items()}
    names = tuple(sorted(by_split["train"]))
    _require_classes(train, names, by_split["train"])
    for split, folder in splits.folders.items():
        if split != "train":
            _require_same_classes(folder, by_split[split], train, by_split["train"])
    remarks = [*splits.remarks, *_look_alikes(names)]
    if splits.unused:
        remarks.append(f"not used: {_listed([folder.relative_to(root).as_posix() for folder in splits.unused])}")
    return Layout(
        names,
        splits.folders,
        {split: tuple(classes[name] for name in names) for split, classes in by_split.items()},
        tuple(f"data {printable(root)}: {remark}" for remark in remarks),
    )


def _find_splits(root: Path) -> _Splits:
    below = _subfolders(root)
    named = _named_like_splits(root, below)
    others = [folder for folder in below if not any(folder in folders for folders in named.values())]
    if named and not _is_a_class(named, others):
        return _splits_of(root, named, others)
    if holders := [folder for folder in below if _holds_splits(folder)]:
        return _splits_one_level_down(root, holders, [folder for folder in below if folder not in holders])
    classes = [folder for folder in below if folder.name not in _NOT_CLASSES]
    if split_of(root.absolute().name) != SplitName("train", ()):  # the folders in a training folder are classes
        _require_different_contents(root, classes)
    remarks = [
        f"{printable(folder.name)}/ is a class here, because folders next to it hold images themselves"
        for folders in named.values()
        for folder in folders
    ]
    remarks += [
        f"{printable(folder.name)}/ is a class here; move it away if its images have no labels"
        for folder in classes
        if is_unlabelled(folder.name) or is_container(folder.name)
    ]
    return _Splits({"train": root}, [folder for folder in below if folder not in classes], tuple(remarks))


def _splits_one_level_down(root: Path, holders: Sequence[Path], others: Sequence[Path]) -> _Splits:
    if len(holders) > 1:
        raise refusal(
            root,
            f"{_listed([folder.name for folder in holders])} each hold folders that are named like splits; give one "
            "of them, or sort the images by split first and by class then, as in train/cats/",
        )
    (holder,) = holders
    if images := [folder.name for folder in others if _may_be_class(folder)]:
        raise refusal(
            root,
            f"{printable(holder.name)} holds folders that are named like splits, and {_listed(images)} hold images; "
            f"give {printable(holder)}, or move it away",
        )
    inner = _find_splits(holder)
    return _Splits(inner.folders, [*inner.unused, *others], inner.remarks)


def _named_like_splits(root: Path, below: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the folders named like splits, by split: `train` and `test`, or else `asl_train` and `asl_test`."""
    by_rest: dict[tuple[str, ...], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for folder in below:
        if name := split_of(folder.name):
            by_rest[name.rest][name.split].append(folder)
    plain = by_rest.pop((), {})
    if "train" in plain:
        return plain
    sets = [by_split for by_split in by_rest.values() if "train" in by_split and len(by_split) > 1]
    if len(sets) > 1:
        names = [folder.name for by_split in sets for folders in by_split.values() for folder in folders]
        raise refusal(root, f"has the splits of {len(sets)} data sets: {_listed(names)}; accepted: {LAYOUTS}")
    return sets[0] if sets else plain


def _is_a_class(named: Mapping[str, list[Path]], others: Sequence[Path]) -> bool:
    """Return whether the only folder that is named like a split is a class, as the other folders show.

    A folder train/ with images in it is a class if another folder has images too. A folder train/ with folders in it is
    a class if two or more other folders have images. The images in a folder test/ or valid/ may be unlabelled, so it is
    a class only if there is exactly one other class.
    """
    if len(named) > 1 or any(len(folders) > 1 for folders in named.values()):
        return False
    ((split, (folder,)),) = named.items()
    num_classes = sum(map(_may_be_class, others))
    if split != "train":
        return len(others) == num_classes == 1 and _holds_images(folder)
    if _holds_images(folder):
        return num_classes > 0
    inner = {subfolder.name for subfolder in _subfolders(folder)}
    return num_classes > 1 and inner.isdisjoint(other.name for other in others)


def _may_be_class(folder: Path) -> bool:
    return not is_container(folder.name) and not is_unlabelled(folder.name) and _holds_images(folder)


def _splits_of(root: Path, named: Mapping[str, list[Path]], others: Sequence[Path]) -> _Splits:
    """Return the folder of each split. A validation folder without a test folder is the test split."""
    for split, folders in named.items():
        if len(folders) > 1:
            names = _listed([folder.name for folder in folders])
            raise refusal(root, f"has {len(folders)} folders for the {split} split: {names}; keep one of them there")
    splits = {split: _unnested(named[split][0]) for split in _SPLITS if split in named}
    if "train" not in splits:
        present = _listed([folder.name for (folder,) in named.values()])
        hint = "; if that is a class, move it and the other classes into a folder train/" if len(named) == 1 else ""
        raise refusal(root, f"has {present} but no training folder{hint}; accepted: {LAYOUTS}")
    remarks: tuple[str, ...] = ()
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
        name = splits["test"].relative_to(root).as_posix()
        remarks = (f"{printable(name)}/ is the test split, because there is no other",)
    return _Splits(splits, others, remarks)


def _unnested(folder: Path) -> Path:
    """Return the folder with the classes: archives hold a split in a folder of the same name, seg_train/seg_train/."""
    split = split_of(folder.name)
    while len(below := _subfolders(folder)) == 1 and not _holds_images(folder):
        (inner,) = below
        if not is_container(inner.name) and split_of(inner.name) != split:
            break
        folder = inner
    return folder


def _holds_splits(folder: Path) -> bool:
    """Return whether a folder has a training folder with class folders in it, and no image."""
    if _holds_images(folder):
        return False
    below = _subfolders(folder)
    named = _named_like_splits(folder, below)
    if "train" not in named:
        return False
    others = [subfolder for subfolder in below if subfolder not in named["train"]]
    return len(named) > 1 or not (_holds_images(named["train"][0]) or _is_a_class(named, others))


def _require_different_contents(root: Path, folders: Sequence[Path]) -> None:
    """Refuse folders that hold no images, but folders of the same names: versions, folds or splits of one data set."""
    inner_names = {
        folder: {subfolder.name for subfolder in _subfolders(folder) if not is_container(subfolder.name)}
        for folder in folders
        if not _holds_images(folder)
    }
    counts = Counter(name for names in inner_names.values() for name in names)
    shared = {folder: sorted(name for name in names if counts[name] > 1) for folder, names in inner_names.items()}
    alike = sorted(folder for folder, names in shared.items() if len(names) > 1)
    if len(alike) > 1:
        first = alike[0]
        raise refusal(
            root,
            f"{_listed([folder.name for folder in alike])} hold no images, but folders of the same names "
            f"({_listed(shared[first])}). If those are the classes, give one of the folders, as in {printable(first)}, "
            f"or call them train/ and test/; if {printable(first.name)}/ is a class, move it and the others into a "
            "folder train/",
        )


def _class_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each class in a split, by class name."""
    by_name: dict[str, Path] = {}
    for subfolder in _subfolders(folder):
        if subfolder.name in _NOT_CLASSES:
            continue
        require_utf8(subfolder)
        name = class_name(subfolder.name)
        if name in by_name:
            both = f"{by_name[name].name!a} and {subfolder.name!a}"
            raise refusal(
                folder, f"{both} differ only in how Unicode writes a letter, so they are one class; merge them"
            )
        by_name[name] = subfolder
    return by_name


def _require_classes(train: Path, names: Sequence[str], folders: Mapping[str, Path]) -> None:
    if len(names) > MAX_CLASSES:
        raise refusal(train, f"has {len(names):,} class folders; at most {MAX_CLASSES:,} are compared")
    if are_annotations(names):
        raise refusal(
            train,
            f"{_listed(names)} are parts of a set for detection or segmentation, not classes; accepted: {LAYOUTS}",
        )
    if len(names) > 1:
        return
    what = f"has {plural(len(names), 'class folder')}, at least 2 are needed"
    inner = _subfolders(folders[names[0]]) if names else []
    if _holds_images(train) or (names and is_container(names[0]) and not inner):
        what += "; its images are in no class folder, and labels in file names or tables are not read"
    elif names:
        what += f"; there is only {names[0]!r}"
        if len(inner) > 1:
            what += f", and if the folders in it are the classes, give {printable(folders[names[0]])}"
    elif archives := [entry.name for entry in entries(train) if entry.name.lower().endswith(_ARCHIVES)]:
        what += f"; unpack {_listed(archives)}"
    raise refusal(train, f"{what}; accepted: {LAYOUTS}")


def no_image(folder: Path, but: str = "") -> UserError:
    """Return the refusal of a class folder that holds no image."""
    if next(folder.glob("runs/*/record.json"), None):
        return refusal(folder, "a results folder in place of a class; move it out of the data, and name it with --out")
    return refusal(folder, f"the class folder holds no image{but}; add images or remove the folder")


def _require_same_classes(folder: Path, classes: Mapping[str, Path], train: Path, names: Mapping[str, Path]) -> None:
    for unshared in sorted(names.keys() ^ classes.keys()):
        class_folder = names.get(unshared) or classes[unshared]
        if not _holds_images(class_folder) and not _subfolders(class_folder):
            raise no_image(class_folder)
    alternative = f"or give {printable(train)}, from which a test split is then set aside"
    if not classes.keys() & names.keys() and _holds_images(folder):
        raise refusal(
            folder,
            "its images are in no class folder, so they have no labels; sort them into "
            f"{_listed([*names])}, {alternative}",
        )
    for missing in sorted(names.keys() - classes.keys()):
        alike = [name for name in classes if likeness(name) == likeness(missing)]
        hint = f" (there is {alike[0]!r}; give both the same name)" if alike else ""
        raise refusal(
            folder,
            f"class {missing!r} of {printable(train)} is missing{hint}; every split needs the same classes: "
            f"add it, {alternative}",
        )
    if extra := sorted(classes.keys() - names.keys()):
        raise refusal(
            folder,
            f"class {extra[0]!r} is not in {printable(train)}; every split needs the same classes: "
            f"add it there or remove it here, {alternative}",
        )


def _look_alikes(names: Sequence[str]) -> list[str]:
    """Return a remark on each group of classes whose names look alike."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[likeness(name)].append(name)
    return [
        f"classes {' and '.join(map(repr, alike))} differ only in case, spaces or the form of a letter; merge "
        "their folders if they are the same class"
        for alike in groups.values()
        if len(alike) > 1
    ]


def _subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, and links to folders, without those that systems create.

    Raises:
        UserError: a link leads nowhere, or to a folder that contains the link.
    """
    folders = []
    for entry in entries(folder):
        if entry.is_symlink():
            try:
                is_folder = stat.S_ISDIR(entry.stat().st_mode)
            except OSError as error:
                raise refusal(entry.path, f"a link that leads nowhere ({error.strerror}); remove it") from error
            if is_folder and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(entry.path)):
                raise refusal(entry.path, "a link to a folder that holds it; remove it")
        else:
            is_folder = entry.is_dir()
        if is_folder and not is_system_folder(entry.name):
            folders.append(Path(entry.path))
    return folders


def _holds_images(folder: Path) -> bool:
    """Return whether images are in the folder itself."""
    return any(map(is_image_file, entries(folder)))


def _listed(names: Sequence[str]) -> str:
    """Join the first names for a message, with the number of the others."""
    shown = [printable(name) for name in sorted(names)[:_MAX_LISTED]]
    more = [f"{len(names) - _MAX_LISTED} more"] if len(names) > _MAX_LISTED else []
    *first, last = [*shown, *more]
    return f"{', '.join(first)} and {last}" if first else last
