"""The result of `intelbench data check` in words."""

from intelbench.data.folder import by_suffix
from intelbench.data.inspection import Inspection
from intelbench.errors import printable


def as_text(inspection: Inspection) -> str:
    """List classes, splits, copies and unreadable files, one finding a line; names are escaped."""
    names = [*map(printable, inspection.class_names), "all"]
    width = max(map(len, [*names, "class"]))
    lines = [*inspection.remarks, f"{'class':{width}}  " + "  ".join(f"{split:>10}" for split in inspection.counts)]
    for name, *counts in zip(names, *((*counts, sum(counts)) for counts in inspection.counts.values()), strict=True):
        lines.append(f"{name:{width}}  " + "  ".join(f"{count:10}" for count in counts))
    places = {
        split: "the folder itself" if folder == "." else f"{printable(folder)}/"
        for split, folder in inspection.folders.items()
    }
    lines += [
        f"folders: {', '.join(f'{split} is {places[split]}' for split in inspection.folders)}",
        *_balance(inspection),
        f"byte-identical copies within a split: {inspection.copies}",
    ]
    groups = {
        "byte-identical copies in train and test": [" = ".join(pair) for pair in inspection.train_test_copies],
        "byte-identical copies in more than one class": [" = ".join(files) for files in inspection.contradictions],
        "other files in class folders, not used": inspection.ignored,
        "cannot be read": [f"{file}: {reason}" for file, reason in inspection.unreadable.items()],
    }
    for title, each in groups.items():
        kinds = f" ({by_suffix(each)})" if each and each is inspection.ignored else ""
        lines.append(f"{title}: {len(each)}{kinds}")
        lines += [f"  {printable(line)}" for line in each]
    return "".join(f"{line}\n" for line in lines)


def _balance(inspection: Inspection) -> list[str]:
    """Say which classes have the most and the fewest training images, and what the majority baseline is."""
    train, tested = inspection.counts["train"], inspection.counts.get("test", inspection.counts["train"])
    most, fewest = train.index(max(train)), train.index(min(train))
    if train[most] == train[fewest]:
        balance = f"balance: each class has {train[most]:,} training images"
    else:
        ratio = f"{train[most] / train[fewest]:.3g} times as many as" if train[fewest] else "and there is none of"
        balance = (
            f"imbalance: {inspection.class_names[most]!r} has {_share(train, most)} of the training images, {ratio} "
            f"{inspection.class_names[fewest]!r}"
        )
    always = tested.index(max(tested))
    return [
        balance,
        f"majority baseline: always answering {inspection.class_names[always]!r} is right for "
        f"{_share(tested, always)} of the "
        + ("test images" if "test" in inspection.counts else "images, of which a part is set aside for testing"),
    ]


def _share(counts: tuple[int, ...], label: int) -> str:
    share = counts[label] / max(1, sum(counts))
    return f"{100 * share if share == 1 else min(100 * share, 99.9):.1f} %"
