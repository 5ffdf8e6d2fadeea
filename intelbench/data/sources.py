"""Find the data set that the user names: a folder of images, the built-in `scenes`, or the source of a plug-in.

The images of a plug-in's source are copied once into the cache folder, with a folder for each split and class, so that
everything else works on folders.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from intelbench.data.names import is_image_path
from intelbench.errors import UserError, printable
from intelbench.paths import is_file
from intelbench.plugins.guard import failed_with, plugin_errors_as_user_errors, require_methods, source_file
from intelbench.plugins.registry import Entry, Registry, takes_name
from intelbench.records.atomic import discard, identity, is_intact, write_copy
from intelbench.scenes import source as scenes

SplitOfSource = Literal["train", "validation", "test"]
COPIES = "sources"
"""Folder in the cache folder for the images of plug-ins' sources."""
_SPLITS = ("train", "validation", "test")
_FINGERPRINT = re.compile(r"[\w.-]{1,100}")


class Source(Protocol):
    """Labelled images that are not in folders."""

    def images(self) -> Iterable[tuple[str, str, SplitOfSource]]:
        """Yield the id, class and split of each image.

        An id is a relative path with an image's suffix, unique in its class and split.
        """
        ...

    def read(self, image_id: str) -> bytes:
        """Return the bytes of the image file with this id."""
        ...

    def fingerprint(self) -> str:
        """Return letters and digits that change whenever an image, a class or a split changes."""
        ...


@dataclass(frozen=True)
class Location:
    """The folder of a data set."""

    root: Path
    write: Callable[[Path], None] | None = None
    """Writes the images into the folder; `None` for a folder of the user."""


@dataclass(frozen=True)
class Kind:
    """A kind of source."""

    locate: Callable[[str, Path], Location]
    """Returns the location for the text after `NAME:` and the cache folder."""
    suffixes: tuple[str, ...] = ()
    """Suffixes of files that this kind reads without `NAME:`, such as `.csv`."""


_FOLDER = "folder"
SOURCES: Registry[Kind] = Registry(
    "source",
    {
        _FOLDER: Kind(lambda text, _: Location(Path(text))),
        "scenes": Kind(lambda _, cache_folder: Location(cache_folder / f"scenes-v{scenes.VERSION}", scenes.write)),
    },
)
Factory = TypeVar("Factory", bound=Callable[[str], Source])


@takes_name
def source(name: str, *, suffixes: tuple[str, ...] = ()) -> Callable[[Factory], Factory]:
    """Register the decorated class or function, which makes a source from a text, under `name`.

    `--data NAME:TEXT` calls it with the text, and `--data FILE` with the path of a file that ends in one of `suffixes`.
    """

    def decorate(make: Factory) -> Factory:
        SOURCES.add(Kind(partial(_copied, name, make), suffixes), name, function=make)
        return make

    return decorate


def location_of(text: str, cache_folder: Path) -> Location:
    """Return the location of the data set that the user names: NAME, NAME:TEXT, a file or a folder.

    Raises:
        UserError: the source of a plug-in fails.
    """
    entry, rest = _entry_of(text)
    return entry.value.locate(rest, cache_folder)


def source_provider(text: str) -> str:
    """Return the provider of the source that reads the data set that the user names."""
    return _entry_of(text)[0].provider


def locate(text: str, cache_folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of a data set, written if necessary, and a message for the user if it had been changed."""
    location = location_of(text, cache_folder)
    root = location.root
    notes: tuple[str, ...] = ()
    if location.write is None:
        return root, notes
    if (seen := identity(root)) is not None and not is_intact(root):
        discard(root, seen)
        notes = (f"cache {printable(root)}: was changed; made again",)
    if not root.exists():
        location.write(root)
    return root, notes


def _entry_of(text: str) -> tuple[Entry[Kind], str]:
    """Return the kind of source that reads the data set that the user names, and the text for it."""
    name, colon, rest = text.partition(":")
    entry = SOURCES.find(name)
    if entry and (colon or name != _FOLDER):
        return entry, rest
    if is_file(text):
        for each in SOURCES.entries.values():
            if text.lower().endswith(each.value.suffixes):
                return each, text
    return SOURCES.entries[_FOLDER], text


def _copied(name: str, make: Callable[[str], Source], text: str, cache_folder: Path) -> Location:
    """Return the location of the copied images of a plug-in's source."""
    title = f"data {printable(f'{name}:{text}')}"
    file = source_file(make)
    with plugin_errors_as_user_errors(title, file):
        made = make(text)
        require_methods(made, Source)
        fingerprint = made.fingerprint()
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        raise UserError(f"{title}: the fingerprint is {fingerprint!r:.100}. Expected 1 to 100 letters and digits")
    return Location(cache_folder / COPIES / f"{name}-{fingerprint}", partial(_copy, title, file, made))


def _copy(title: str, file: str, made: Source, root: Path) -> None:
    """Write the images of a plug-in's source to SPLIT/CLASS/ID below `root`."""
    with plugin_errors_as_user_errors(title, file):
        ids: dict[str, str] = {}
        for image_id, label, split in made.images():
            path = f"{split}/{label}/{image_id}"
            is_plain = is_image_path(path) and not set("\\:\0") & set(path)
            if split not in _SPLITS or "/" in label or not is_plain or path in ids:
                raise UserError(
                    f"{title}: {printable(path)} is not usable as SPLIT/CLASS/ID, or is given twice. Expected a split "
                    f"of {', '.join(_SPLITS)}, a class that can be the name of a folder, and the path of an image"
                )
            ids[path] = image_id

        def content(path: str) -> bytes:
            try:
                return made.read(ids[path])
            except Exception as error:
                raise UserError(
                    f"{title}: {printable(ids[path])} cannot be read: {failed_with(error, file)}"
                ) from error

        write_copy(root, ids, content)
