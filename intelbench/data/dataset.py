"""Prepare a data set for training: find its images, check them, split them and decode them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path

import msgspec
from msgspec import Struct

from intelbench.config.conditions import Conditions
from intelbench.data.decoding import find_unreadable
from intelbench.data.files import Content
from intelbench.data.folder import Listing, content_digests, list_images
from intelbench.data.pixels import DecodedOnTheFly, PixelCache, PixelSource, cache_key, discard_damaged, open_cache
from intelbench.data.seeds import stream_key
from intelbench.data.sources import COPIES, locate, source_provider
from intelbench.data.split import Image, carve, draw_of_each_class
from intelbench.errors import UserError, plural, printable
from intelbench.records.atomic import clear_drafts
from intelbench.records.identity import digest
from intelbench.records.types import DataFacts, RunSpec

_PIXELS = "pixels"
"""Folder of the pixel caches in the cache folder."""
_MAX_LISTED = 20
"""Files that an error lists; the rest is only counted."""


class Split(Struct, frozen=True):
    """The images of one split, in the order of their ids."""

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    rows: tuple[int, ...]
    """Row of each image in the pixel source; files of equal content share a row."""

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, positions: list[int]) -> "Split":
        """Return the images at these positions."""
        return Split(
            tuple(self.ids[i] for i in positions),
            tuple(self.labels[i] for i in positions),
            tuple(self.rows[i] for i in positions),
        )


class Dataset(Struct, frozen=True, kw_only=True):
    """A checked data set. It is sent to the process of each run, which opens the pixels itself."""

    facts: DataFacts
    train: Split
    validation: Split
    test: Split
    shorter_side: int
    """Upper bound of the shorter side of the decoded images, in pixels."""
    paths: tuple[str, ...]
    """File of each row."""
    digests: tuple[str, ...]
    """Digest of the file of each row."""
    cache: str | None
    """Folder of the decoded pixels; `None` decodes each image whenever it is read."""
    validation_fraction: float | None
    """Share of the training images used for validation; `None` if the folder has a validation split."""
    split_folders: tuple[str, ...] = ()
    """Folders with a folder for each class, absolute and without links."""
    notes: tuple[str, ...] = ()
    """Messages for the user: how the data folder was understood, and which damaged caches were built again."""

    def of_run(self, spec: RunSpec) -> "Dataset":
        """Return the data set with the training and validation images of a run.

        Raises:
            UserError: as `split_by` and `drawn`.
        """
        split = self.split_by(spec.seed) if spec.vary == "split" else self
        return split.drawn(spec.images_per_class, spec.seed_of("labels"))

    def of_runs(self, specs: Sequence[RunSpec]) -> list["Dataset"]:
        """Return the data set of each run, as `of_run` does; runs with equal images share one."""
        choices = [(spec.seed, spec.vary, spec.images_per_class) for spec in specs]
        drawn = {choice: self.of_run(spec) for choice, spec in dict(zip(choices, specs, strict=True)).items()}
        return [drawn[choice] for choice in choices]

    def split_by(self, seed: int) -> "Dataset":
        """Return the data set with as many validation images as now, drawn by the seed from all but the test images.

        Raises:
            UserError: the folder has a validation split, or a class has no image left for a split.
        """
        name = f"data {printable(self.facts.source)}"
        if self.validation_fraction is None:
            raise UserError(f"{name}: has a validation split, so `vary` cannot be `split`; leave `split` out of it")
        images = [*self._images(self.train), *self._images(self.validation)]
        train, validation = carve(images, self.validation_fraction, f"validation/{stream_key(seed, 'split').hex()}")
        for split, members in (("train", train), ("validation", validation)):
            for label in set(range(len(self.facts.class_names))) - {image.label for image in members}:
                raise UserError(
                    f"{name}: class {self.facts.class_names[label]!r} has no image left for the {split} split of seed "
                    f"{seed}, because copies of its images are in other classes; remove the copies"
                )
        facts = msgspec.structs.replace(
            self.facts,
            digest=_digest(self.facts.class_names, (train, validation, self._images(self.test))),
            default_digest=self.facts.digest,
            num_train=len(train),
            num_validation=len(validation),
        )
        return msgspec.structs.replace(self, facts=facts, train=_as_split(train), validation=_as_split(validation))

    def _images(self, split: Split) -> list[Image]:
        return [
            Image(image_id, label, self.digests[row], row)
            for image_id, label, row in zip(split.ids, split.labels, split.rows, strict=True)
        ]

    def drawn(self, images_per_class: int | None, seed: int) -> "Dataset":
        """Return the data set with `images_per_class` training images of each class, drawn by the seed.

        `None` keeps all training images.

        Raises:
            UserError: a class has fewer images.
        """
        if images_per_class is None:
            return self
        digests = [self.digests[row] for row in self.train.rows]
        contents = zip(self.train.labels, digests, strict=True)
        require_images(self.facts.source, self.facts.class_names, contents, images_per_class)
        train = self.train.subset(draw_of_each_class(self.train.labels, digests, images_per_class, seed))
        return msgspec.structs.replace(self, train=train)

    def pixels(self) -> PixelSource:
        """Open the pixels.

        Raises:
            UserError: the pixel cache is missing or damaged.
        """
        if self.cache is None:
            files = [Content(Path(path), content) for path, content in zip(self.paths, self.digests, strict=True)]
            return DecodedOnTheFly(files, self.shorter_side)
        return PixelCache(Path(self.cache))


class Contents(Struct, frozen=True):
    """A listing whose files have been read."""

    source: str
    """The data set as the user named it."""
    listing: Listing
    splits: dict[str, list[Image]]
    """The images of each split on the disk, in the order of the listing; not those that are known not to decode."""
    unreadable: dict[str, str]
    """Why a file cannot be used, by id."""
    files: tuple[Content, ...]
    """File of each row."""
    cache: Path | None
    notes: tuple[str, ...]
    """Messages for the user about damaged caches that were built again."""

    def contradictions(self) -> list[list[str]]:
        """Return the ids of files with equal bytes in different classes, one list for each content."""
        copies: dict[str, list[Image]] = defaultdict(list)
        for images in self.splits.values():
            for image in images:
                copies[image.digest].append(image)
        groups = [images for images in copies.values() if len({image.label for image in images}) > 1]
        return [[image.id for image in images] for images in groups]

    def without(self, undecodable: Mapping[int, str]) -> "Contents":
        """Return the contents without the images in some rows, given why each of these cannot be decoded."""
        images = [image for images in self.splits.values() for image in images if image.row in undecodable]
        unreadable = self.unreadable | {image.id: undecodable[image.row] for image in images}
        splits = {
            split: [image for image in images if image.row not in undecodable] for split, images in self.splits.items()
        }
        return msgspec.structs.replace(self, splits=splits, unreadable=dict(sorted(unreadable.items())))


def stored_side(image_size: int) -> int:
    """Return the shorter side of the stored pixels: what evaluation at `image_size` resizes to, 256 for 224."""
    return round(image_size * 256 / 224)


def prepare(
    source: str, conditions: Conditions, cache_folder: Path, *, use_cache: bool = True, skip_unreadable: bool = False
) -> Dataset:
    """Find, check, split and decode a data set.

    Raises:
        UserError: the folder has no known layout, a file does not decode and `skip_unreadable` is off, or a class has
            too few images.
    """
    side = stored_side(conditions.image_size)
    for folder in (cache_folder, cache_folder / _PIXELS, cache_folder / COPIES):
        clear_drafts(folder)
    contents = read(source, side, cache_folder, use_cache=use_cache)
    if contents.unreadable and not skip_unreadable:
        raise UserError(_unreadable_message(source, contents.unreadable))
    splits = train, validation, test = divide(contents, conditions)
    outside_test = {image.digest for image in (*train, *validation)}
    class_names = contents.listing.class_names
    facts = DataFacts(
        source=source,
        provider=source_provider(source),
        digest=_digest(class_names, splits),
        class_names=class_names,
        num_train=len(train),
        num_validation=len(validation),
        num_test=len(test),
        test_origin="given" if "test" in contents.splits else "carved",
        num_unreadable=len(contents.unreadable),
        num_train_test_duplicates=sum(image.digest in outside_test for image in test),
        num_other_files=len(contents.listing.ignored),
    )
    notes = [*contents.notes, *contents.listing.remarks]
    if num := len(contents.contradictions()):
        images, name = "1 image is" if num == 1 else f"{num:,} images are", printable(source)
        notes.append(
            f"data {name}: {images} in more than one class, byte for byte; `intelbench data check {name}` lists them"
        )
    return Dataset(
        facts=facts,
        train=_as_split(train),
        validation=_as_split(validation),
        test=_as_split(test),
        shorter_side=side,
        paths=tuple(str(file.path.absolute()) for file in contents.files),
        digests=tuple(file.digest for file in contents.files),
        cache=None if contents.cache is None else str(contents.cache.absolute()),
        validation_fraction=None if "validation" in contents.splits else conditions.validation_fraction,
        split_folders=tuple(str(folder.resolve()) for folder in contents.listing.folders.values()),
        notes=tuple(notes),
    )


def read(source: str, shorter_side: int, cache_folder: Path, *, use_cache: bool) -> Contents:
    """Find a data set, hash every file and decode every distinct content once.

    With `use_cache` the pixels are stored in the cache folder, with a shorter side of at most `shorter_side` pixels.

    Raises:
        UserError: the folder has no known layout, or a file or the cache cannot be read.
    """
    contents = list_contents(source, cache_folder)
    if not use_cache:
        return contents.without(find_unreadable(contents.files, shorter_side))
    notes = contents.notes
    cache = cache_folder / _PIXELS / cache_key([file.digest for file in contents.files], shorter_side)
    if damage := discard_damaged(cache):
        notes += (f"cache {printable(cache)}: {damage}; built again",)
    undecodable = open_cache(cache, contents.files, shorter_side).unreadable
    return msgspec.structs.replace(contents, cache=cache, notes=notes).without(undecodable)


def list_contents(source: str, cache_folder: Path) -> Contents:
    """Find a data set and hash every file. No image is decoded.

    Raises:
        UserError: the folder has no known layout, or a file could not be read for a reason that may be temporary.
    """
    root, notes = locate(source, cache_folder)
    listing = list_images(root)
    digests, unreadable = content_digests(list(listing.files()))
    path_of = {digests[file.id]: file.path for file in listing.files() if file.id in digests}
    files = tuple(Content(path_of[file_digest], file_digest) for file_digest in sorted(path_of))
    row_of = {file.digest: row for row, file in enumerate(files)}
    splits = {
        split: [
            Image(file.id, file.label, digests[file.id], row_of[digests[file.id]])
            for file in listed
            if file.id in digests
        ]
        for split, listed in listing.splits.items()
    }
    return Contents(source, listing, splits, unreadable, files, None, notes)


def divide(contents: Contents, conditions: Conditions) -> tuple[list[Image], list[Image], list[Image]]:
    """Return training, validation and test images; splits that are not on the disk are carved from train.

    Raises:
        UserError: a split has no image of a class, or there are fewer training images than a batch has.
    """
    train, test, validation = (contents.splits.get(split, []) for split in ("train", "test", "validation"))
    if "test" not in contents.splits:
        train, test = carve(train, conditions.test_fraction, "test")
    if "validation" not in contents.splits:
        train, validation = carve(train, conditions.validation_fraction, "validation")
    for split, images in (("train", train), ("validation", validation), ("test", test)):
        present = {image.label for image in images}
        for label in range(len(contents.listing.class_names)):
            if label not in present:
                raise _class_missing(contents, split, label)
    if len(train) < conditions.recipe.batch_size:
        raise UserError(
            f"data {printable(contents.source)}: {plural(len(train), 'training image')} "
            f"{'is' if len(train) == 1 else 'are'} less than one batch, after those for validation and testing were "
            f"set aside; `recipe.batch_size` is {conditions.recipe.batch_size}; add "
            "images, or give a suite with a smaller one"
        )
    return train, validation, test


def require_images(
    source: str, class_names: Sequence[str], contents: Iterable[tuple[int, str]], images_per_class: int
) -> None:
    """Check that each class has enough different training images.

    `contents` are class and digest of each training image.

    Raises:
        UserError: a class has fewer.
    """
    counts = Counter(label for label, _ in set(contents))
    fewest, name = min((counts[label], name) for label, name in enumerate(class_names))
    if fewest < images_per_class:
        raise UserError(
            f"data {printable(source)}: class {name!r} has {plural(fewest, 'different training image')}; "
            f"`images_per_class` is {images_per_class}; give {fewest} at most, or `all`, or add images"
        )


def require_a_batch(images_per_class: int, num_classes: int, batch_size: int) -> None:
    """Check that some images of each class are a batch.

    Raises:
        UserError: they are less than one batch.
    """
    if (num_images := images_per_class * num_classes) < batch_size:
        raise UserError(
            f"`images_per_class` {images_per_class} is {num_images} training images of {num_classes} classes, less "
            f"than one batch; `recipe.batch_size` is {batch_size}; give at least "
            f"{plural(ceil(batch_size / num_classes), 'image')} a class, or a batch size of {num_images} at most"
        )


def _class_missing(contents: Contents, split: str, label: int) -> UserError:
    """Return the error for a class without an image in a split, with the cause and a remedy."""
    name = f"data {printable(contents.source)}: class {contents.listing.class_names[label]!r}"
    digests = {image.digest for image in contents.splits["train"] if image.label == label}
    if not digests or (split != "train" and split in contents.splits):
        return UserError(f"{name} has no readable image left for the {split} split; add images")
    carved = [split for split in ("validation", "test") if split not in contents.splits]
    num, num_needed = len(digests), 1 + len(carved)
    if num < num_needed:
        return UserError(
            f"{name} has {plural(num, 'different training image')} and needs {num_needed}, because the "
            f"{' and '.join(carved)} split{'s are' if len(carved) > 1 else ' is'} carved from them; add images or "
            "remove the class"
        )
    return UserError(
        f"{name} has no image left for the {split} split, because copies of its images are in other classes; remove "
        "the copies"
    )


def _digest(class_names: tuple[str, ...], splits: Sequence[Sequence[Image]]) -> str:
    """Return the digest of classes, splits, and paths and contents of images."""
    return digest((class_names, [[(image.id, image.digest) for image in images] for images in splits]))


def _as_split(images: list[Image]) -> Split:
    ids, labels, _, rows = zip(*sorted(images), strict=True)
    return Split(ids, labels, rows)


def _unreadable_message(source: str, unreadable: dict[str, str]) -> str:
    listed = [f"  {printable(file)}: {printable(reason)}" for file, reason in list(unreadable.items())[:_MAX_LISTED]]
    if len(unreadable) > _MAX_LISTED:
        num_more = len(unreadable) - _MAX_LISTED
        listed.append(f"  and {num_more} more; `intelbench data check {printable(source)}` lists all")
    return "\n".join(
        [
            f"data {printable(source)}: {plural(len(unreadable), 'image')} cannot be read:",
            *listed,
            "repair or remove them, or run with --skip-unreadable, which leaves them out and records how many",
        ]
    )
