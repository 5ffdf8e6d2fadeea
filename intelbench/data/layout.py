"""Find the splits and the classes of a data folder, from the names of its folders and from which of them hold images.

A folder is a split by its name: a word for the split, and perhaps words such as `data`, `set` and `images`. Both splits
may be one level down. Where nothing is named like a split, each folder is a class, unless the folders look like splits
or versions of one data set: then it is refused, for a network would learn to recognise the training folder.
"""

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intelbench.config.fields import MAX_CLASSES
from intelbench.data.names import (
    SplitName,
    are_annotations,
    class_name,
    is_container,
    is_hidden,
    is_image,
    is_system_folder,
    is_unlabelled,
    likeness,
    split_of,
)
from intelbench.errors import UserError, printable

LAYOUTS = "train/ and test/ (or val/) with a folder for each class, or one folder for each class"
NOT_CLASSES = frozenset({"seg_pred"})
"""Folders of unlabelled images in published data sets of one folder a class."""
_SPLITS = ("train", "validation", "test")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_MAX_LISTED_NAMES = 5
"""Names listed in a message before the rest is only counted."""


@dataclass(frozen=True)
class Layout:
    """The splits and classes of a data folder. What is in the class folders has not been looked at."""

    root: Path
    class_names: tuple[str, ...]
    """In Unicode's composed form (NFC), sorted."""
    folders: Mapping[str, Path]
    """Folder of each split: `train` always; `test` and `validation` where there are any."""
    class_folders: Mapping[str, tuple[Path, ...]]
    """By split, the folder of each class, in the order of `class_names`."""
    remarks: tuple[str, ...]
    """What the user should know of how the folder was understood."""


@dataclass(frozen=True)
class _Splits:
    folders: dict[str, Path]
    unused: Sequence[Path] = ()
    remarks: tuple[str, ...] = ()


def find_layout(root: Path) -> Layout:
    """Find the splits and classes below `root`.

    Raises:
        UserError: not a folder, not readable, no layout that is known, or class sets that differ between the splits.
    """
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise refusal(root, "no such folder" if missing else getattr(error, "strerror", str(error))) from error
    if not is_folder:
        raise refusal(root, f"is a file; give the folder that holds {LAYOUTS}")
    found = _find_splits(root)
    train = found.folders["train"]
    by_split = {split: _class_folders(folder) for split, folder in found.folders.items()}
    names = tuple(sorted(by_split["train"]))
    _require_classes(train, names, by_split["train"])
    for split, folder in found.folders.items():
        if split != "train":
            _require_same_classes(folder, by_split[split], names, train)
    remarks = [*found.remarks, *_look_alikes(names)]
    if found.unused:
        remarks.append(f"not used: {_listed([each.relative_to(root).as_posix() for each in found.unused])}")
    return Layout(
        root,
        names,
        found.folders,
        {split: tuple(classes[name] for name in names) for split, classes in by_split.items()},
        tuple(f"data {printable(root)}: {remark}" for remark in remarks),
    )


def _find_splits(root: Path) -> _Splits:
    below = subfolders(root)
    named = _named_like_splits(root, below)
    others = [folder for folder in below if not any(folder in folders for folders in named.values())]
    if named and not _is_a_class(named, others):
        return _splits_of(root, named, others)
    if holders := [folder for folder in below if _holds_splits(folder)]:
        return _splits_one_level_down(root, holders, [folder for folder in below if folder not in holders])
    classes = [folder for folder in below if folder.name not in NOT_CLASSES]
    if split_of(root.absolute().name) != SplitName("train", ()):  # what is in a training folder are classes
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
            f"{_listed([each.name for each in holders])} each hold folders that are named like splits; give one of "
            "them, or sort the images by split first and by class then, as in train/cats/",
        )
    (holder,) = holders
    if images := [each.name for each in others if _may_be_class(each)]:
        raise refusal(
            root,
            f"{printable(holder.name)} holds folders that are named like splits, and {_listed(images)} hold images; "
            f"give {printable(holder)}, or move it away",
        )
    inner = _find_splits(holder)
    return _Splits(inner.folders, [*inner.unused, *others], inner.remarks)


def _named_like_splits(root: Path, below: Sequence[Path]) -> dict[str, list[Path]]:
    """Folders that are named like splits, by split: `train` and `test`, or else `asl_train` and `asl_test`."""
    by_rest: dict[tuple[str, ...], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for folder in below:
        if name := split_of(folder.name):
            by_rest[name.rest][name.split].append(folder)
    plain = by_rest.pop((), {})
    if "train" in plain:
        return plain
    sets = [folders for folders in by_rest.values() if "train" in folders and len(folders) > 1]
    if len(sets) > 1:
        names = [folder.name for folders in sets for several in folders.values() for folder in several]
        raise refusal(root, f"has the splits of {len(sets)} data sets: {_listed(names)}; accepted: {LAYOUTS}")
    return sets[0] if sets else plain


def _is_a_class(named: Mapping[str, list[Path]], others: Sequence[Path]) -> bool:
    """Whether the only folder that is named like a split is a class: the folders next to it show it.

    A folder train/ that holds images itself is one where other folders do too, and one that holds folders where two or
    more others hold images. A folder test/ or valid/ with images could hold some without labels, so it is a class only
    where there would be no second one without it.
    """
    if len(named) > 1 or any(len(folders) > 1 for folders in named.values()):
        return False
    ((split, (folder,)),) = named.items()
    num_classes = sum(_may_be_class(each) for each in others)
    if split != "train":
        return len(others) == num_classes == 1 and holds_images(folder)
    if holds_images(folder):
        return num_classes > 0
    return num_classes > 1 and {each.name for each in subfolders(folder)}.isdisjoint(each.name for each in others)


def _may_be_class(folder: Path) -> bool:
    return not is_container(folder.name) and not is_unlabelled(folder.name) and holds_images(folder)


def _splits_of(root: Path, named: Mapping[str, list[Path]], others: Sequence[Path]) -> _Splits:
    """The folder of each split. A lone `val/` is what the run is tested on, as many folders mean it."""
    for split, folders in named.items():
        if len(folders) > 1:
            names = _listed([folder.name for folder in folders])
            raise refusal(root, f"has {len(folders)} folders for the {split} split: {names}; keep one of them there")
    found = {split: _unnested(named[split][0]) for split in _SPLITS if split in named}
    if "train" not in found:
        there = _listed([folder.name for (folder,) in named.values()])
        hint = "; if that is a class, move it and the other classes into a folder train/" if len(named) == 1 else ""
        raise refusal(root, f"has {there} but no training folder{hint}; accepted: {LAYOUTS}")
    remarks: tuple[str, ...] = ()
    if "test" not in found and "validation" in found:
        found["test"] = found.pop("validation")
        name = found["test"].relative_to(root).as_posix()
        remarks = (f"{printable(name)}/ is the test split, because there is no other",)
    return _Splits(found, others, remarks)


def _unnested(folder: Path) -> Path:
    """The folder with the classes: archives hold a split in a folder of the same name, seg_train/seg_train/."""
    split = split_of(folder.name)
    while len(below := subfolders(folder)) == 1 and not holds_images(folder):
        (inner,) = below
        if not is_container(inner.name) and split_of(inner.name) != split:
            break
        folder = inner
    return folder


def _holds_splits(folder: Path) -> bool:
    """Whether there is a training folder with class folders, and no image, in a folder."""
    if holds_images(folder):
        return False
    below = subfolders(folder)
    named = _named_like_splits(folder, below)
    if "train" not in named:
        return False
    others = [each for each in below if each not in named["train"]]
    return len(named) > 1 or not (holds_images(named["train"][0]) or _is_a_class(named, others))


def _require_different_contents(root: Path, folders: Sequence[Path]) -> None:
    """Refuse folders that hold no images, but folders of the same names: versions, folds or splits of one data set."""
    inside = {
        folder: {each.name for each in subfolders(folder) if not is_container(each.name)}
        for folder in folders
        if not holds_images(folder)
    }
    times = Counter(name for names in inside.values() for name in names)
    alike = {folder: sorted(name for name in names if times[name] > 1) for folder, names in inside.items()}
    shared = sorted(folder for folder, names in alike.items() if len(names) > 1)
    if len(shared) > 1:
        raise refusal(
            root,
            f"{_listed([each.name for each in shared])} hold no images, but folders of the same names "
            f"({_listed(alike[shared[0]])}). If those are the classes, give one of the folders, as in "
            f"{printable(shared[0])}, or call them train/ and test/; if {printable(shared[0].name)}/ is a class, move "
            "it and the others into a folder train/",
        )


def _class_folders(folder: Path) -> dict[str, Path]:
    """The folder of each class in a split, by the class's name."""
    found: dict[str, Path] = {}
    for each in subfolders(folder):
        if each.name in NOT_CLASSES:
            continue
        require_utf8(each)
        name = class_name(each.name)
        if name in found:
            both = f"{found[name].name!a} and {each.name!a}"
            raise refusal(
                folder, f"{both} differ only in how Unicode writes a letter, so they are one class; merge them"
            )
        found[name] = each
    return found


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
    what = f"has {len(names)} class folder{'s' * (len(names) != 1)}, at least 2 are needed"
    inner = subfolders(folders[names[0]]) if names else []
    if holds_images(train) or (names and is_container(names[0]) and not inner):
        what += "; its images are in no class folder, and labels in file names or tables are not read"
    elif names:
        what += f"; there is only {names[0]!r}"
        if len(inner) > 1:
            what += f", and if the folders in it are the classes, give {printable(folders[names[0]])}"
    elif archives := [entry.name for entry in entries(train) if entry.name.lower().endswith(_ARCHIVES)]:
        what += f"; unpack {_listed(archives)}"
    raise refusal(train, f"{what}; accepted: {LAYOUTS}")


def _require_same_classes(folder: Path, classes: Mapping[str, Path], names: Sequence[str], train: Path) -> None:
    way_out = f"or give {printable(train)}, from which a test split is then set aside"
    if names and not classes.keys() & set(names) and holds_images(folder):
        raise refusal(
            folder,
            f"its images are in no class folder, so they have no labels; sort them into {_listed(names)}, {way_out}",
        )
    for missing in sorted(set(names) - classes.keys()):
        alike = [name for name in classes if likeness(name) == likeness(missing)]
        hint = f" (there is {alike[0]!r}; give both the same name)" if alike else ""
        raise refusal(
            folder,
            f"class {missing!r} of {printable(train)} is missing{hint}; every split needs the same classes: "
            f"add it, {way_out}",
        )
    if extra := sorted(classes.keys() - set(names)):
        raise refusal(
            folder,
            f"class {extra[0]!r} is not in {printable(train)}; every split needs the same classes: "
            f"add it there or remove it here, {way_out}",
        )


def _look_alikes(names: Sequence[str]) -> list[str]:
    """A remark for classes whose names a reader could not tell apart."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[likeness(name)].append(name)
    return [
        f"classes {' and '.join(map(repr, alike))} differ only in case, spaces or the form of a letter; merge "
        "their folders if they are the same class"
        for alike in groups.values()
        if len(alike) > 1
    ]


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that people made; a link to one counts, unless it leads in a circle."""
    found = []
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
            found.append(Path(entry.path))
    return found


def holds_images(folder: Path) -> bool:
    """Whether images are in the folder itself."""
    return any(is_image(entry.name) and may_be_file(entry) for entry in entries(folder))


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The files and folders in a folder, except those that are left out without a word."""
    try:
        with os.scandir(folder) as everything:
            yield from (entry for entry in everything if not is_hidden(entry.name))
    except OSError as error:
        raise refusal(folder, f"cannot be listed ({error.strerror}); make it readable or remove it") from error


def may_be_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link that leads to one or nowhere: reading that one says why it cannot be read."""
    if not entry.is_symlink():
        return entry.is_file()
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True


def refusal(path: Path | str, why: str) -> UserError:
    """An error that names the folder."""
    return UserError(f"data {printable(path)}: {why}")


def require_utf8(path: Path) -> None:
    """Records are UTF-8, so a name that is not cannot be written down."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"data {os.fsencode(path)!r}: the name is not valid UTF-8; rename it") from error


def _listed(names: Sequence[str]) -> str:
    """The first few names, quoted as they are written, and how many more there are."""
    shown = [printable(name) for name in sorted(names)[:_MAX_LISTED_NAMES]]
    more = [f"{len(names) - _MAX_LISTED_NAMES} more"] if len(names) > _MAX_LISTED_NAMES else []
    *first, last = [*shown, *more]
    return f"{', '.join(first)} and {last}" if first else last
