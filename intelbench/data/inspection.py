"""What `intelbench data check` says about a data set."""

from collections import Counter
from pathlib import Path

from msgspec import Struct

from intelbench.data.dataset import Contents, divide, read
from intelbench.data.folder import by_suffix
from intelbench.errors import UserError, printable
from intelbench.records.types import Conditions


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


def describe(found: Inspection) -> list[str]:
    """The findings in lines; names are escaped."""
    names = [*map(printable, found.class_names), "all"]
    width = max(map(len, [*names, "class"]))
    lines = [*found.remarks, f"{'class':{width}}  " + "  ".join(f"{split:>10}" for split in found.counts)]
    for name, *counts in zip(names, *((*counts, sum(counts)) for counts in found.counts.values()), strict=True):
        lines.append(f"{name:{width}}  " + "  ".join(f"{count:10}" for count in counts))
    lines += [
        "folders: " + ", ".join(_place(split, folder) for split, folder in found.folders.items()),
        *_balance(found),
        f"byte-identical copies within a split: {found.copies}",
    ]
    groups = {
        "byte-identical copies in train and test": [" = ".join(pair) for pair in found.train_test_copies],
        "byte-identical copies in more than one class": [" = ".join(files) for files in found.contradictions],
        "other files in class folders, not used": found.ignored,
        "cannot be read": [f"{file}: {reason}" for file, reason in found.unreadable.items()],
    }
    for title, each in groups.items():
        kinds = f" ({by_suffix(each)})" if each and each is found.ignored else ""
        lines.append(f"{title}: {len(each)}{kinds}")
        lines += [f"  {printable(line)}" for line in each]
    return lines


def _place(split: str, folder: str) -> str:
    return f"{split} is " + ("the folder itself" if folder == "." else f"{printable(folder)}/")


def _balance(found: Inspection) -> list[str]:
    """Which classes have the most and the fewest training images, and what always answering one class would reach."""
    train, tested = found.counts["train"], found.counts.get("test", found.counts["train"])
    most, fewest = train.index(max(train)), train.index(min(train))
    if train[most] == train[fewest]:
        balance = f"balance: each class has {train[most]:,} training images"
    else:
        ratio = f"{train[most] / train[fewest]:.3g} times as many as" if train[fewest] else "and there is none of"
        balance = (
            f"imbalance: {found.class_names[most]!r} has {_share(train, most)} of the training images, {ratio} "
            f"{found.class_names[fewest]!r}"
        )
    always = tested.index(max(tested))
    return [
        balance,
        f"majority baseline: always answering {found.class_names[always]!r} is right for {_share(tested, always)} of "
        "the " + ("test images" if "test" in found.counts else "images, of which a part is set aside for testing"),
    ]


def _share(counts: tuple[int, ...], label: int) -> str:
    share = counts[label] / max(1, sum(counts))
    return f"{100 * share if share == 1 else min(100 * share, 99.9):.1f} %"


def _refusal(contents: Contents, conditions: Conditions) -> str | None:
    try:
        divide(contents, conditions)
    except UserError as error:
        return str(error)
    return None
