"""From what the user calls a data set to what a run trains on: found, checked, split, digested and decoded."""

from collections import Counter, defaultdict
from pathlib import Path

import msgspec
from msgspec import Struct

from intelbench.config.conditions import Conditions
from intelbench.data.decoding import find_unreadable
from intelbench.data.files import Content
from intelbench.data.folder import ImageFile, Listing, content_digests, list_images
from intelbench.data.pixels import DecodedOnTheFly, PixelCache, PixelSource, cache_key, discard_damaged, open_cache
from intelbench.data.sources import COPIES, locate
from intelbench.data.split import carve, draw_of_each_class
from intelbench.errors import UserError, printable
from intelbench.records.atomic import clear_drafts
from intelbench.records.identity import digest
from intelbench.records.types import DataFacts

_PIXELS = "pixels"
"""Folder of the caches in the cache folder."""
_MAX_LISTED_FILES = 20
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
    """What the user should know: how the folder was understood, and what was made again in the cache folder."""

    def drawn(self, images_per_class: int | None, seed: int) -> "Dataset":
        """With so many training images of each class, the seed's choice; `None` leaves all of them.

        Raises:
            UserError: a class has fewer.
        """
        if images_per_class is None:
            return self
        digests = [self.digests[row] for row in self.train.rows]
        train = self.train.subset(draw_of_each_class(self.train.labels, digests, images_per_class, seed))
        there = Counter(train.labels)
        fewest, name = min((there[label], name) for label, name in enumerate(self.facts.class_names))
        if fewest < images_per_class:
            raise UserError(
                f"data {printable(self.facts.source)}: class {name!r} has {fewest} different training images; "
                f"`images_per_class` is {images_per_class}; give {fewest} at most, or `all`, or add images"
            )
        return msgspec.structs.replace(self, train=train)

    def pixels(self) -> PixelSource:
        """Open the pixels.

        Raises:
            UserError: the cache is gone or damaged.
        """
        if self.cache is None:
            contents = [Content(Path(path), each) for path, each in zip(self.paths, self.digests, strict=True)]
            return DecodedOnTheFly(contents, self.shorter_side)
        return PixelCache(Path(self.cache))


class Contents(Struct, frozen=True):
    """A listing whose files have been read and decoded."""

    source: str
    """As the user gave it."""
    listing: Listing
    digests: dict[str, str]
    """Of each file's bytes, by id; empty where they could not be read."""
    unreadable: dict[str, str]
    """Why, by id."""
    rows: dict[str, int]
    contents: tuple[Content, ...]
    """File of each row."""
    cache: Path | None
    notes: tuple[str, ...]
    """What was damaged in the cache folder and has been made again."""

    def readable(self, split: str) -> list[ImageFile]:
        """The files of a split that decode."""
        return [file for file in self.listing.splits.get(split, ()) if file.id not in self.unreadable]

    def digests_of(self, files: list[ImageFile]) -> list[str]:
        """The digest of each file."""
        return [self.digests[file.id] for file in files]

    def contradictions(self) -> list[list[str]]:
        """Ids of files that have the same bytes and are not all of one class, a list for each content."""
        labels: dict[str, set[int]] = defaultdict(set)
        ids: dict[str, list[str]] = defaultdict(list)
        for file in self.listing.files():
            if file.id not in self.unreadable:
                labels[self.digests[file.id]].add(file.label)
                ids[self.digests[file.id]].append(file.id)
        return [ids[each] for each in ids if len(labels[each]) > 1]


def stored_side(image_size: int) -> int:
    """Shorter side of the stored pixels: what evaluation at `image_size` resizes to, 256 for 224."""
    return round(image_size * 256 / 224)


def prepare(
    source: str, conditions: Conditions, cache_folder: Path, *, use_cache: bool = True, skip_unreadable: bool = False
) -> Dataset:
    """Find, check, split and decode a data set.

    Raises:
        UserError: as `list_images`; or files that do not decode, unless they are to be skipped; or too few images.
    """
    side = stored_side(conditions.image_size)
    for each in (cache_folder, cache_folder / _PIXELS, cache_folder / COPIES):
        clear_drafts(each)
    contents = read(source, side, cache_folder, use_cache=use_cache)
    if contents.unreadable and not skip_unreadable:
        raise UserError(_unreadable_message(source, contents.unreadable))
    train, validation, test = divide(contents, conditions)
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
        num_other_files=len(contents.listing.ignored),
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
        notes=(*contents.notes, *contents.listing.remarks, *_contradiction_note(contents)),
    )


def read(source: str, shorter_side: int, cache_folder: Path, *, use_cache: bool) -> Contents:
    """Find a data set, hash every file and decode every content once, into the cache if it is used.

    Raises:
        UserError: as `list_images`.
    """
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
    return Contents(
        source=source,
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


def divide(contents: Contents, conditions: Conditions) -> tuple[list[ImageFile], list[ImageFile], list[ImageFile]]:
    """Training, validation and test files; what the folder does not bring is carved from train.

    Raises:
        UserError: a class has too few images for that, or the training images are less than a batch.
    """
    given = contents.listing.splits
    train, test, validation = (contents.readable(split) for split in ("train", "test", "validation"))
    if "test" not in given:
        train, test = _carve(contents, train, conditions.test_fraction, "test")
    if "validation" not in given:
        train, validation = _carve(contents, train, conditions.validation_fraction, "validation")
    for split, files in (("train", train), ("validation", validation), ("test", test)):
        present = {file.label for file in files}
        for label in range(len(contents.listing.class_names)):
            if label not in present:
                raise _class_missing(contents, split, label)
    if len(train) < conditions.recipe.batch_size:
        raise UserError(
            f"data {printable(contents.source)}: {len(train)} training images are less than one batch, after those "
            f"for validation and testing were set aside; `recipe.batch_size` is {conditions.recipe.batch_size}; add "
            "images, or give a suite with a smaller one"
        )
    return train, validation, test


def _class_missing(contents: Contents, split: str, label: int) -> UserError:
    """Why a class has no image in a split, and what to do."""
    name = f"data {printable(contents.source)}: class {contents.listing.class_names[label]!r}"
    of_class = [file for file in contents.readable("train") if file.label == label]
    if not of_class or (split != "train" and split in contents.listing.splits):
        return UserError(f"{name} has no readable image left for the {split} split; add images")
    carved = [each for each in ("validation", "test") if each not in contents.listing.splits]
    number, needed = len(set(contents.digests_of(of_class))), 1 + len(carved)
    if number < needed:
        return UserError(
            f"{name} has {number} different training image{'s' * (number != 1)} and needs {needed}, because the "
            f"{' and '.join(carved)} split{'s are' if len(carved) > 1 else ' is'} carved from them; add images or "
            "remove the class"
        )
    return UserError(
        f"{name} has no image left for the {split} split, because copies of its images are in other classes; remove "
        "the copies"
    )


def _contradiction_note(contents: Contents) -> list[str]:
    number, source = len(contents.contradictions()), printable(contents.source)
    images = "1 image is" if number == 1 else f"{number:,} images are"
    return [
        f"data {source}: {images} in more than one class, byte for byte; `intelbench data check {source}` lists them"
    ] * (number > 0)


def _carve(
    contents: Contents, files: list[ImageFile], fraction: float, purpose: str
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


def _unreadable_message(source: str, unreadable: dict[str, str]) -> str:
    shown = [
        f"  {printable(file)}: {printable(reason)}" for file, reason in list(unreadable.items())[:_MAX_LISTED_FILES]
    ]
    if len(unreadable) > _MAX_LISTED_FILES:
        shown.append(
            f"  and {len(unreadable) - _MAX_LISTED_FILES} more; `intelbench data check {printable(source)}` lists all"
        )
    return "\n".join(
        [
            f"data {printable(source)}: {len(unreadable)} image{'s' * (len(unreadable) != 1)} cannot be read:",
            *shown,
            "repair or remove them, or run with --skip-unreadable, which leaves them out and records how many",
        ]
    )
