"""From what the user calls a data set to what a run trains on: found, checked, split, digested and decoded."""

import os
from collections import Counter
from pathlib import Path

from msgspec import Struct

from intelbench.data import scenes
from intelbench.data.decoding import find_unreadable
from intelbench.data.drafts import clear_drafts, discard
from intelbench.data.files import Content
from intelbench.data.folder import ImageFile, Listing, content_digests, list_images
from intelbench.data.pixels import DecodedOnTheFly, PixelCache, PixelSource, cache_key, discard_damaged, open_cache
from intelbench.data.split import carve
from intelbench.errors import UserError, printable
from intelbench.records.identity import digest
from intelbench.records.types import Conditions, DataFacts

SCENES = "scenes"
_PIXELS = "pixels"
"""Folder of the caches in the cache folder."""
_SHOWN = 20
"""Files named in an error before the rest is only counted."""


class Split(Struct, frozen=True):
    """The images of one split, in the order of their ids."""

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    rows: tuple[int, ...]
    """Row of each image in the pixel source; equal contents share a row."""

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, positions: list[int]) -> "Split":
        """The images at these positions."""
        return Split(
            tuple(self.ids[i] for i in positions),
            tuple(self.labels[i] for i in positions),
            tuple(self.rows[i] for i in positions),
        )


class Dataset(Struct, frozen=True, kw_only=True):
    """A checked data set. It travels to the process of each run, which opens the pixels for itself."""

    facts: DataFacts
    train: Split
    validation: Split
    test: Split
    shorter_side: int
    """Stored images are at most this large at their shorter side, in pixels."""
    paths: tuple[str, ...]
    """File of each row."""
    digests: tuple[str, ...]
    """Digest of each row's file."""
    cache: str | None
    """Folder of the decoded pixels; `None` decodes at each read."""
    notes: tuple[str, ...] = ()
    """What was damaged in the cache folder and has been made again."""

    def pixels(self) -> PixelSource:
        """Open the pixels.

        Raises:
            UserError: the cache is gone or damaged.
        """
        if self.cache is None:
            contents = [Content(Path(path), each) for path, each in zip(self.paths, self.digests, strict=True)]
            return DecodedOnTheFly(contents, self.shorter_side)
        return PixelCache(Path(self.cache))


class Inspection(Struct, frozen=True, kw_only=True):
    """What `intelbench data check` says about a folder."""

    class_names: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    """Readable images of each class, by split as it lies on the disk."""
    unreadable: dict[str, str]
    """Why, by file."""
    ignored: tuple[str, ...]
    duplicates: int
    """Files whose bytes another file of the same split has too, beyond the first."""
    train_test_duplicates: tuple[tuple[str, str], ...]
    """Pairs of equal files on the two sides."""
    notes: tuple[str, ...]
    """As those of a data set."""


class _Contents(Struct, frozen=True):
    """A listing whose files have been read and decoded."""

    listing: Listing
    digests: dict[str, str]
    unreadable: dict[str, str]
    rows: dict[str, int]
    contents: tuple[Content, ...]
    """File of each row."""
    cache: Path | None
    notes: tuple[str, ...]

    def readable(self, split: str) -> list[ImageFile]:
        return [file for file in self.listing.splits.get(split, ()) if file.id not in self.unreadable]

    def digests_of(self, files: list[ImageFile]) -> list[str]:
        return [self.digests[file.id] for file in files]


def stored_side(image_size: int) -> int:
    """Shorter side of the stored pixels: what evaluation at `image_size` resizes to, 256 for 224."""
    return round(image_size * 256 / 224)


def locate(source: str, cache_folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder behind a source, and what had to be made again; `scenes` is drawn into the cache folder if need be."""
    if source != SCENES:
        return Path(source), ()
    root = cache_folder / f"scenes-v{scenes.VERSION}"
    notes: tuple[str, ...] = ()
    if os.path.lexists(root) and not scenes.is_intact(root):
        discard(root)
        notes = (f"cache {printable(root)}: was changed; drawn again",)
    if not root.exists():
        scenes.write(root)
    return root, notes


def inspect(source: str, cache_folder: Path) -> Inspection:
    """Read and decode every image of a data set and say what was found.

    Raises:
        UserError: as `list_images`.
    """
    contents = _read(source, shorter_side=32, cache_folder=cache_folder, use_cache=False)
    splits = {split: contents.readable(split) for split in contents.listing.splits}
    num_classes = len(contents.listing.class_names)
    by_digest = {contents.digests[file.id]: file.id for file in splits["train"]}
    return Inspection(
        class_names=contents.listing.class_names,
        counts={
            split: tuple(Counter(file.label for file in files)[label] for label in range(num_classes))
            for split, files in splits.items()
        },
        unreadable=contents.unreadable,
        ignored=contents.listing.ignored,
        duplicates=sum(len(files) - len(set(contents.digests_of(files))) for files in splits.values()),
        train_test_duplicates=tuple(
            (by_digest[contents.digests[file.id]], file.id)
            for file in splits.get("test", [])
            if contents.digests[file.id] in by_digest
        ),
        notes=contents.notes,
    )


def prepare(
    source: str, conditions: Conditions, cache_folder: Path, *, use_cache: bool = True, skip_unreadable: bool = False
) -> Dataset:
    """Find, check, split and decode a data set.

    Raises:
        UserError: as `list_images`; or files that do not decode, unless they are to be skipped; or too few images.
    """
    side = stored_side(conditions.image_size)
    for each in (cache_folder, cache_folder / _PIXELS):
        clear_drafts(each)
    contents = _read(source, side, cache_folder, use_cache=use_cache)
    if contents.unreadable and not skip_unreadable:
        raise UserError(_unreadable_message(source, contents.unreadable))
    train, validation, test = _split(contents, conditions)
    for name, files in (("training", train), ("validation", validation), ("test", test)):
        _require_every_class(source, name, files, contents.listing.class_names)
    if len(train) < conditions.recipe.batch_size:
        raise UserError(
            f"data {printable(source)}: {len(train)} training images are less than one batch; "
            f"`recipe.batch_size` is {conditions.recipe.batch_size}"
        )
    outside_test = set(contents.digests_of([*train, *validation]))
    facts = DataFacts(
        source=source,
        digest=digest(
            (
                contents.listing.class_names,
                [[(file.id, contents.digests[file.id]) for file in files] for files in (train, validation, test)],
            )
        ),
        class_names=contents.listing.class_names,
        num_train=len(train),
        num_validation=len(validation),
        num_test=len(test),
        test_origin="given" if "test" in contents.listing.splits else "carved",
        num_unreadable=len(contents.unreadable),
        num_train_test_duplicates=sum(each in outside_test for each in contents.digests_of(test)),
    )
    return Dataset(
        facts=facts,
        train=_as_split(train, contents.rows),
        validation=_as_split(validation, contents.rows),
        test=_as_split(test, contents.rows),
        shorter_side=side,
        paths=tuple(str(each.path.absolute()) for each in contents.contents),
        digests=tuple(each.digest for each in contents.contents),
        cache=None if contents.cache is None else str(contents.cache.absolute()),
        notes=contents.notes,
    )


def _read(source: str, shorter_side: int, cache_folder: Path, *, use_cache: bool) -> _Contents:
    """Hash every file and decode every content once, into the cache if it is used."""
    root, notes = locate(source, cache_folder)
    listing = list_images(root)
    files = list(listing.files())
    digests, problems = content_digests(files)
    by_digest = {each: file.path for file, each in zip(files, digests, strict=True) if each}
    contents = tuple(Content(by_digest[each], each) for each in sorted(by_digest))
    row_of = {each.digest: row for row, each in enumerate(contents)}
    cache = None
    if use_cache:
        cache = cache_folder / _PIXELS / cache_key([each.digest for each in contents], shorter_side)
        if damage := discard_damaged(cache):
            notes += (f"cache {printable(cache)}: {damage}; built again",)
        damaged = open_cache(cache, contents, shorter_side).unreadable
    else:
        damaged = find_unreadable(contents, shorter_side)
    rows = {file.id: row_of[each] for file, each in zip(files, digests, strict=True) if each}
    return _Contents(
        listing=listing,
        digests=dict(zip((file.id for file in files), digests, strict=True)),
        unreadable=dict(
            sorted((problems | {id_: damaged[row] for id_, row in rows.items() if row in damaged}).items())
        ),
        rows=rows,
        contents=contents,
        cache=cache,
        notes=notes,
    )


def _split(contents: _Contents, conditions: Conditions) -> tuple[list[ImageFile], list[ImageFile], list[ImageFile]]:
    """Training, validation and test files; what the folder does not bring is carved from train."""
    train = contents.readable("train")
    test = contents.readable("test")
    validation = contents.readable("validation")
    if "test" not in contents.listing.splits:
        train, test = _carve(contents, train, conditions.test_fraction, "test")
    if "validation" not in contents.listing.splits:
        train, validation = _carve(contents, train, conditions.validation_fraction, "validation")
    return train, validation, test


def _carve(
    contents: _Contents, files: list[ImageFile], fraction: float, purpose: str
) -> tuple[list[ImageFile], list[ImageFile]]:
    kept, taken = carve(files, contents.digests_of(files), fraction, purpose)
    return [files[i] for i in kept], [files[i] for i in taken]


def _as_split(files: list[ImageFile], rows: dict[str, int]) -> Split:
    ordered = sorted(files, key=lambda file: file.id)
    return Split(
        tuple(file.id for file in ordered),
        tuple(file.label for file in ordered),
        tuple(rows[file.id] for file in ordered),
    )


def _require_every_class(source: str, split: str, files: list[ImageFile], class_names: tuple[str, ...]) -> None:
    present = {file.label for file in files}
    for label, name in enumerate(class_names):
        if label not in present:
            raise UserError(
                f"data {printable(source)}: class {name!r} has no readable image left for the {split} split; add images"
            )


def _unreadable_message(source: str, unreadable: dict[str, str]) -> str:
    shown = [f"  {printable(file)}: {printable(reason)}" for file, reason in list(unreadable.items())[:_SHOWN]]
    if len(unreadable) > _SHOWN:
        shown.append(f"  and {len(unreadable) - _SHOWN} more; `intelbench data check {printable(source)}` lists all")
    return "\n".join(
        [
            f"data {printable(source)}: {len(unreadable)} image{'s' * (len(unreadable) != 1)} cannot be read:",
            *shown,
            "mend or remove them, or run with --skip-unreadable, which leaves them out and records how many",
        ]
    )
