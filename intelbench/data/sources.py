"""Data sources: what the user may call a data set. A folder of images is one; `scenes` draws another.

A plug-in adds a source that lists its images and reads them. They are copied once into the cache folder, with a folder
for each split and class, so that everything else works on folders.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from intelbench.data.names import is_hidden, is_image, is_system_folder
from intelbench.errors import UserError, printable
from intelbench.plugins.guard import plugin_errors_as_user_errors
from intelbench.plugins.registry import Registry
from intelbench.records.atomic import discard
from intelbench.records.copies import is_intact, write_copy
from intelbench.scenes import source as scenes

SplitOfSource = Literal["train", "validation", "test"]
COPIES = "sources"
"""Folder of the copies of plug-ins' sources in the cache folder."""
_SPLITS = ("train", "validation", "test")
_FINGERPRINT = re.compile(r"[\w.-]{1,100}")


class Source(Protocol):
    """Labelled images that are not in folders. Made from what the user typed after the name and a colon."""

    def images(self) -> Iterable[tuple[str, str, SplitOfSource]]:
        """List the images: id, class and split of each.

        An id is a relative path with an image's suffix, unique in its class and split.
        """
        ...

    def read(self, image_id: str) -> bytes:
        """Return the bytes of the image file with that id."""
        ...

    def fingerprint(self) -> str:
        """Return letters and digits that change whenever an image, a class or a split does."""
        ...


@dataclass(frozen=True)
class Place:
    """The folder in which the images of a source are, or are to be."""

    root: Path
    write: Callable[[Path], None] | None = None
    """Puts them there; `None` if they are there."""


@dataclass(frozen=True)
class Kind:
    """A kind of source."""

    place: Callable[[str, Path], Place]
    """Takes what the user typed, without the name of the kind, and the cache folder."""
    suffixes: tuple[str, ...] = ()
    """Of files that need no name of the kind, such as `.csv`."""


FOLDER = "folder"
SOURCES: Registry[Kind] = Registry(
    "source",
    {
        FOLDER: Kind(lambda text, _: Place(Path(text))),
        "scenes": Kind(lambda _, cache_folder: Place(cache_folder / f"scenes-v{scenes.VERSION}", scenes.write)),
    },
)
Factory = TypeVar("Factory", bound=Callable[[str], Source])


def source(name: str, *, suffixes: tuple[str, ...] = ()) -> Callable[[Factory], Factory]:
    """Register the decorated class or function, which makes a source of a text, under `name`.

    `--data NAME:TEXT` calls it with the text, and `--data FILE` with the path of a file that ends in one of `suffixes`.
    """

    def decorate(make: Factory) -> Factory:
        SOURCES.add(Kind(partial(_copied, name, make), suffixes), name, function=make)
        return make

    return decorate


def place_of(text: str, cache_folder: Path) -> Place:
    """Return where the images are that the user calls so: NAME, NAME:TEXT, a file or a folder.

    Raises:
        UserError: a plug-in's source fails.
    """
    name, colon, rest = text.partition(":")
    if SOURCES.find(name) and (colon or name != FOLDER):
        return SOURCES.get(name).place(rest, cache_folder)
    if Path(text).is_file():
        for entry in SOURCES.entries.values():
            if text.lower().endswith(entry.value.suffixes):
                return entry.value.place(text, cache_folder)
    return SOURCES.get(FOLDER).place(text, cache_folder)


def locate(text: str, cache_folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder with the images, made if need be, and notes on what was damaged and made again."""
    place = place_of(text, cache_folder)
    root = place.root
    notes: tuple[str, ...] = ()
    if place.write is None:
        return root, notes
    if os.path.lexists(root) and not is_intact(root):
        discard(root)
        notes = (f"cache {printable(root)}: was changed; made again",)
    if not root.exists():
        place.write(root)
    return root, notes


def _copied(name: str, make: Callable[[str], Source], text: str, cache_folder: Path) -> Place:
    """Return the place of the copy of a plug-in's source."""
    called = f"data {printable(f'{name}:{text}')}"
    with plugin_errors_as_user_errors(called):
        made = make(text)
        fingerprint = made.fingerprint()
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        raise UserError(f"{called}: the fingerprint is {fingerprint!r:.100}. Expected 1 to 100 letters and digits")
    return Place(cache_folder / COPIES / f"{name}-{fingerprint}", partial(_copy, called, made))


def _copy(called: str, made: Source, root: Path) -> None:
    """Write the images of a plug-in's source to SPLIT/CLASS/ID below `root`."""
    with plugin_errors_as_user_errors(called):
        ids: dict[str, str] = {}
        for image_id, label, split in made.images():
            path = f"{split}/{label}/{image_id}"
            if split not in _SPLITS or "/" in label or not _is_plain(path) or path in ids:
                raise UserError(
                    f"{called}: {printable(path)} is not usable as SPLIT/CLASS/ID, or is given twice. Expected a split "
                    f"of {', '.join(_SPLITS)}, a class that can be the name of a folder, and the path of an image"
                )
            ids[path] = image_id

        def content(path: str) -> bytes:
            try:
                return made.read(ids[path])
            except Exception as error:
                problem = f"failed with {type(error).__name__}: {error}"
                raise UserError(f"{called}: {printable(ids[path])} cannot be read: {printable(problem)}") from error

        write_copy(root, ids, content)


def _is_plain(path: str) -> bool:
    """Return whether a path leads to an image below the folder that it is relative to, by names that are not hidden."""
    parts = path.split("/")
    return (
        is_image(path)
        and all(part and not is_hidden(part) and not is_system_folder(part) for part in parts)
        and not any(character in path for character in "\\:\0")
    )
