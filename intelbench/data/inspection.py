"""Inspect a data set for `intelbench data check`."""

from collections import Counter
from pathlib import Path

from msgspec import Struct

from intelbench.config.conditions import Suite
from intelbench.data.dataset import divide, read, require_a_batch, require_images
from intelbench.errors import UserError


class Inspection(Struct, frozen=True, kw_only=True):
    """What a data set holds, and whether `intelbench run` accepts it."""

    class_names: tuple[str, ...]
    folders: dict[str, str]
    """Folder of each split, below the data folder."""
    counts: dict[str, tuple[int, ...]]
    """Readable images of each class, by split on the disk."""
    unreadable: dict[str, str]
    """Why a file cannot be read, by file."""
    ignored: tuple[str, ...]
    """Files in class folders that are not used."""
    copies: int
    """Number of files whose bytes an earlier file of the same split has too."""
    train_test_copies: tuple[tuple[str, str], ...]
    """Pairs of a training file and a test file with equal bytes."""
    contradictions: tuple[tuple[str, ...], ...]
    """Groups of files with equal bytes in more than one class."""
    remarks: tuple[str, ...]
    """How the data folder was understood."""
    notes: tuple[str, ...]
    """Which damaged caches were built again."""
    refusal: str | None
    """The error with which `intelbench run` would stop, apart from images that cannot be read."""


def inspect(source: str, suite: Suite, cache_folder: Path) -> Inspection:
    """Read and decode every image of a data set, and divide the data set as the runs of a suite would.

    Raises:
        UserError: the folder has no known layout, or a file could not be read for a reason that may be temporary.
    """
    contents = read(source, shorter_side=32, cache_folder=cache_folder, use_cache=False)
    listing = contents.listing
    train_id = {image.digest: image.id for image in contents.splits["train"]}
    refusal = None
    try:
        train, _, _ = divide(contents, suite.conditions)
        for number in suite.images_per_class:
            if number != "all":
                digests = [(image.label, image.digest) for image in train]
                require_images(source, listing.class_names, digests, number)
                require_a_batch(number, len(listing.class_names), suite.recipe.batch_size)
    except UserError as error:
        refusal = str(error)
    return Inspection(
        class_names=listing.class_names,
        folders={split: folder.relative_to(listing.root).as_posix() for split, folder in listing.folders.items()},
        counts={
            split: tuple(Counter(image.label for image in images)[label] for label in range(len(listing.class_names)))
            for split, images in contents.splits.items()
        },
        unreadable=contents.unreadable,
        ignored=listing.ignored,
        copies=sum(len(images) - len({image.digest for image in images}) for images in contents.splits.values()),
        train_test_copies=tuple(
            (train_id[image.digest], image.id) for image in contents.splits.get("test", []) if image.digest in train_id
        ),
        contradictions=tuple(map(tuple, contents.contradictions())),
        remarks=listing.remarks,
        notes=contents.notes,
        refusal=refusal,
    )
