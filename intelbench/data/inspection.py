"""What `intelbench data check` says about a data set."""

from collections import Counter
from pathlib import Path

from msgspec import Struct

from intelbench.config.conditions import Conditions
from intelbench.data.dataset import Contents, divide, read
from intelbench.errors import UserError


class Inspection(Struct, frozen=True, kw_only=True):
    """What a data set holds, and whether `intelbench run` would take it."""

    class_names: tuple[str, ...]
    folders: dict[str, str]
    """Folder of each split, below the data folder."""
    counts: dict[str, tuple[int, ...]]
    """Readable images of each class, by split as it is on the disk."""
    unreadable: dict[str, str]
    """Why, by file."""
    ignored: tuple[str, ...]
    """Files in class folders that are not used."""
    copies: int
    """Files whose bytes another file of the same split has too, beyond the first."""
    train_test_copies: tuple[tuple[str, str], ...]
    """A training file and a test file with equal bytes."""
    contradictions: tuple[tuple[str, ...], ...]
    """Files with equal bytes in more than one class."""
    remarks: tuple[str, ...]
    """How the folder was understood."""
    notes: tuple[str, ...]
    """What was damaged in the cache folder and has been made again."""
    refusal: str | None
    """What `intelbench run` would say instead of running, apart from images that cannot be read."""


def inspect(source: str, conditions: Conditions, cache_folder: Path) -> Inspection:
    """Read and decode every image of a data set, divide it as a run under these conditions would, and say what was
    found.

    Raises:
        UserError: as `list_images`.
    """
    contents = read(source, shorter_side=32, cache_folder=cache_folder, use_cache=False)
    listing = contents.listing
    splits = {split: contents.readable(split) for split in listing.splits}
    by_digest = {contents.digests[file.id]: file.id for file in splits["train"]}
    return Inspection(
        class_names=listing.class_names,
        folders={split: folder.relative_to(listing.root).as_posix() for split, folder in listing.folders.items()},
        counts={
            split: tuple(Counter(file.label for file in files)[label] for label in range(len(listing.class_names)))
            for split, files in splits.items()
        },
        unreadable=contents.unreadable,
        ignored=listing.ignored,
        copies=sum(len(files) - len(set(contents.digests_of(files))) for files in splits.values()),
        train_test_copies=tuple(
            (by_digest[contents.digests[file.id]], file.id)
            for file in splits.get("test", [])
            if contents.digests[file.id] in by_digest
        ),
        contradictions=tuple(map(tuple, contents.contradictions())),
        remarks=listing.remarks,
        notes=contents.notes,
        refusal=_refusal(contents, conditions),
    )


def _refusal(contents: Contents, conditions: Conditions) -> str | None:
    try:
        divide(contents, conditions)
    except UserError as error:
        return str(error)
    return None
