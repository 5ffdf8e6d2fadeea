"""Names in a data folder: of images, of splits, and of files that systems create."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm", ".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl",
})  # fmt: skip
"""Suffixes of image files. Their content decides whether they can be read: AVIF, HEIC, JPEG 2000 and JPEG XL cannot,
and the message says so."""

_SYSTEM_FOLDERS = frozenset({
    "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "__macosx", "__pycache__",
})  # fmt: skip
"""Recycle bins, snapshots, thumbnails, and folders from archives; in lower case."""
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
"""Words for images that do not say which."""
_UNLABELLED_WORDS = frozenset({
    "pred", "predict", "prediction", "predictions", "unlabelled", "unlabeled", "unlabel", "submission", "extra",
})  # fmt: skip
_ANNOTATION_WORDS = frozenset({
    "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "bbox", "bboxes",
})  # fmt: skip


class SplitName(NamedTuple):
    """The split that the name of a folder means."""

    split: str
    """`train`, `validation` or `test`."""
    rest: tuple[str, ...]
    """The other distinctive words of the name: none in `Train Data`, `asl` in `asl_train`."""


def split_of(name: str) -> SplitName | None:
    """Return the split that a folder name means; `None` if it has no word for a split, or several."""
    words = _words(name)
    matches = [(word, match) for word in words if (match := _SPLIT_WORD.fullmatch(word))]
    if len(matches) != 1:
        return None
    ((split_word, match),) = matches
    rest = tuple(word for word in words if word != split_word and word not in _CONTAINER_WORDS)
    return SplitName(match.lastgroup or "", rest)


def is_container(name: str) -> bool:
    """Return whether the name means images without saying which: `images`, `data set`."""
    words = _words(name)
    return bool(words) and _CONTAINER_WORDS.issuperset(words)


def is_unlabelled(name: str) -> bool:
    """Return whether the name means images without labels: `seg_pred`, `images to predict`."""
    return not _UNLABELLED_WORDS.isdisjoint(_words(name))


def are_annotations(names: Iterable[str]) -> bool:
    """Return whether the names are those of a data set for detection or segmentation: `images` and `masks`."""
    parts = [_words(name) for name in names]
    marks = [bool(words) and not _ANNOTATION_WORDS.isdisjoint(words) for words in parts]
    known = _ANNOTATION_WORDS | _CONTAINER_WORDS
    return any(marks) and not all(marks) and all(words and known.issuperset(words) for words in parts)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is left out silently: hidden, or created by a system."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def is_system_folder(name: str) -> bool:
    """Return whether systems create folders of this name, which may have copies of images."""
    return name.lower() in _SYSTEM_FOLDERS


def is_image(name: str) -> bool:
    """Return whether a file of this name is an image by its suffix."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def class_name(folder_name: str) -> str:
    """Return the class of a folder name in Unicode NFC, since systems encode the same letter differently."""
    return unicodedata.normalize("NFC", folder_name)


def likeness(name: str) -> str:
    """Return a key that is equal for names that differ only in case, spaces or Unicode form."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _words(name: str) -> list[str]:
    """Split a name into lower-case words: `TrainData_v2` is `train`, `data`, `v`."""
    return re.findall(r"[^\W\d_]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())
