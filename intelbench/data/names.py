"""Classify the names in a data folder: images, splits, unlabelled images, and files that systems create."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm", ".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl",
})  # fmt: skip
"""Suffixes of image files, including those of AVIF, HEIC, JPEG 2000 and JPEG XL, which are reported as unreadable."""

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
"""Words for images in general, which name neither a split nor a class."""
_UNLABELLED_WORDS = frozenset({
    "pred", "predict", "prediction", "predictions", "unlabelled", "unlabeled", "unlabel", "submission", "extra",
})  # fmt: skip
_ANNOTATION_WORDS = frozenset({
    "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentations", "bbox", "bboxes",
})  # fmt: skip


class SplitName(NamedTuple):
    """The split in the name of a folder."""

    split: str
    """`train`, `validation` or `test`."""
    rest: tuple[str, ...]
    """The other distinctive words of the name: none in `Train Data`, `asl` in `asl_train`."""


def split_of(name: str) -> SplitName | None:
    """Return the split in a folder name; `None` if the name has no word for a split, or several."""
    words = _words(name)
    matches = [(word, match) for word in words if (match := _SPLIT_WORD.fullmatch(word))]
    if len(matches) != 1:
        return None
    ((split_word, match),) = matches
    rest = tuple(word for word in words if word != split_word and word not in _CONTAINER_WORDS)
    return SplitName(match.lastgroup or "", rest)


def is_container(name: str) -> bool:
    """Return whether a folder name has only words for images in general: `images`, `data set`."""
    words = _words(name)
    return bool(words) and _CONTAINER_WORDS.issuperset(words)


def is_unlabelled(name: str) -> bool:
    """Return whether a folder name stands for images without labels: `seg_pred`, `images to predict`."""
    return not _UNLABELLED_WORDS.isdisjoint(_words(name))


def are_annotations(names: Iterable[str]) -> bool:
    """Return whether folder names are those of a data set for detection or segmentation: `images` and `masks`."""
    words_of_names = [_words(name) for name in names]
    are_marked = [bool(words) and not _ANNOTATION_WORDS.isdisjoint(words) for words in words_of_names]
    known = _ANNOTATION_WORDS | _CONTAINER_WORDS
    has_only_known = all(words and known.issuperset(words) for words in words_of_names)
    return any(are_marked) and not all(are_marked) and has_only_known


def is_hidden(name: str) -> bool:
    """Return whether the name is that of a hidden file, or of a file that systems create."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def is_system_folder(name: str) -> bool:
    """Return whether systems create folders of this name, which may hold copies of images."""
    return name.lower() in _SYSTEM_FOLDERS


def is_image(name: str) -> bool:
    """Return whether the name has the suffix of an image."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def is_image_path(path: str) -> bool:
    """Return whether a relative path leads down to an image, without hidden names and folders of systems."""
    names = path.split("/")
    return is_image(path) and not any(not name or is_hidden(name) or is_system_folder(name) for name in names)


def class_name(folder_name: str) -> str:
    """Return the class of a folder in Unicode's composed form (NFC), because systems encode letters differently."""
    return unicodedata.normalize("NFC", folder_name)


def probability_column(class_name: str) -> str:
    """Return the name of the column that tables of predictions have for the probability of a class."""
    return f"probability_{class_name}"


def likeness(name: str) -> str:
    """Return a key that is equal for names that differ only in case, spaces or Unicode form."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _words(name: str) -> list[str]:
    """Split a name into lower-case words: `TrainData_v2` is `train`, `data`, `v`."""
    return re.findall(r"[^\W\d_]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())
