"""What names say in a data folder: this is an image, this is a split, this was left there by a system."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm", ".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl",
})  # fmt: skip
"""Files with these suffixes are meant as images. The content decides whether one can be read: AVIF, HEIC, JPEG 2000 and
JPEG XL cannot, and the message says so."""

_SYSTEM_FOLDERS = frozenset({
    "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "__macosx", "__pycache__",
})  # fmt: skip
"""Bins, snapshots and thumbnails of disks, and what unpacking an archive leaves; in lower case."""
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

_SPLITS = {
    "train": "train(?:ing|val)?",
    "validation": "val(?:id(?:ation)?)?|dev|eval(?:uation)?",
    "test": "test(?:ing)?",
}
_SPLIT_WORD = re.compile(
    "(?:" + "|".join(f"(?P<{split}>{words})" for split, words in _SPLITS.items()) + ")(?:sets?|data|images?|imgs?)?"
)
_CONTAINER_WORDS = frozenset({
    "seg", "data", "dataset", "datasets", "set", "sets", "split", "splits", "folder", "files", "image", "images", "img",
    "imgs", "jpg", "jpeg", "png", "photo", "photos", "picture", "pictures",
})  # fmt: skip
"""Words that say that something holds images, and not which."""
_UNLABELLED_WORDS = frozenset({
    "pred", "predict", "prediction", "predictions", "unlabelled", "unlabeled", "unlabel", "submission", "extra",
})  # fmt: skip
_ANNOTATION_WORDS = frozenset({
    "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "bbox", "bboxes",
})  # fmt: skip


class SplitName(NamedTuple):
    """What the name of a folder says of a split."""

    split: str
    """`train`, `validation` or `test`."""
    rest: tuple[str, ...]
    """The other words of the name that say something: none of `Train Data`, `asl` of `asl_train`."""


def split_of(name: str) -> SplitName | None:
    """The split that a folder of this name holds; `None` where it has no word for one, or more than one."""
    words = _words(name)
    matches = [(word, match) for word in words if (match := _SPLIT_WORD.fullmatch(word))]
    if len(matches) != 1:
        return None
    ((split_word, match),) = matches
    rest = tuple(word for word in words if word != split_word and word not in _CONTAINER_WORDS)
    return SplitName(match.lastgroup or "", rest)


def is_container(name: str) -> bool:
    """Whether the name says that the folder holds images, and nothing about which: `images`, `data set`."""
    words = _words(name)
    return bool(words) and _CONTAINER_WORDS.issuperset(words)


def is_unlabelled(name: str) -> bool:
    """Whether the name says that the images in the folder belong to no class: `seg_pred`, `images to predict`."""
    return not _UNLABELLED_WORDS.isdisjoint(_words(name))


def are_annotations(names: Iterable[str]) -> bool:
    """Whether folders of these names are the parts of a set for detection or segmentation: `images` and `masks`."""
    parts = [_words(name) for name in names]
    marks = [bool(words) and not _ANNOTATION_WORDS.isdisjoint(words) for words in parts]
    known = _ANNOTATION_WORDS | _CONTAINER_WORDS
    return any(marks) and not all(marks) and all(words and known.issuperset(words) for words in parts)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is left out without a word: its name begins with a dot, or a system writes it."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def is_system_folder(name: str) -> bool:
    """Whether a disk or a system makes folders of this name, for copies of images among other things."""
    return name.lower() in _SYSTEM_FOLDERS


def is_image(name: str) -> bool:
    """Whether a file of this name is meant as an image."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def class_name(folder_name: str) -> str:
    """The class that a folder of this name stands for: systems write the same accented letter in two ways."""
    return unicodedata.normalize("NFC", folder_name)


def likeness(name: str) -> str:
    """Equal for names that differ only in case, spaces or the way a letter is written."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _words(name: str) -> list[str]:
    """`TrainData_v2` is `train`, `data`, `v`."""
    return re.findall(r"[^\W\d_]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())
