"""Run, diff and profile from Python; the command line calls the same functions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import pandas as pd

from intelbench.api.execution import RunOptions, execute
from intelbench.api.frames import typed
from intelbench.api.results import Results, load
from intelbench.config.budget import Budget
from intelbench.results.diff import changes, compare


def run(
    architectures: Sequence[str] | None = None, *, out: str | Path = "results", **options: Unpack[RunOptions]
) -> Results:
    """Train and evaluate architectures under identical conditions, and load the results.

    Each run has its own process; this process is not forked, and no signal handler is installed, so `run` works in a
    notebook and in any thread. Runs that are recorded already are skipped. Failed runs are in `Results.failures`.

    Args:
        architectures: Names of architectures; `None` for those of the suite.
        out: Results folder; records are written to runs/ in it.
        options: See `RunOptions`.

    Raises:
        TypeError: an option is not known.
        UserError: an option, the data or an architecture is not accepted.
    """
    execute(architectures, out, **options)
    return load(out)


def diff(before: str | Path, after: str | Path) -> pd.DataFrame:
    """Return what changed between two results folders: one row for each architecture and metric, paired by seed.

    Args:
        before: A results folder.
        after: A results folder, of another version or machine for example.

    Raises:
        UserError: a folder has no readable record, or they have no architecture with a common seed.
    """
    return typed(changes(compare(Path(before), Path(after))), changes.types())


class ProfileOptions(TypedDict, total=False):
    """Options of `profile`; absent ones have the default of `intelbench profile`."""

    batch_sizes: Sequence[int]
    memories: Sequence[int]
    """Gigabytes of GPU memory for which to find the largest batch size."""
    num_classes: int
    image_size: int
    precision: Literal["fp32", "bf16"]
    optimizer: Literal["adam", "adamw", "sgd"]
    frozen: bool
    plugins: Sequence[str | Path]


def profile(architectures: Sequence[str], **options: Unpack[ProfileOptions]) -> pd.DataFrame:
    """Analyse architectures without training them: one row for each architecture and batch size.

    Args:
        architectures: Names of architectures.
        options: See `ProfileOptions`.

    Raises:
        UserError: an architecture or an option is not accepted.
    """
    from intelbench.config.conditions import Conditions
    from intelbench.config.recipe import Recipe
    from intelbench.orchestration import profile as profiling
    from intelbench.reporting.profile import as_frame

    unknown = options.keys() - ProfileOptions.__annotations__
    if unknown:
        raise TypeError(f"profile() got unexpected options: {', '.join(sorted(unknown))}")
    request = profiling.Request(
        architectures=tuple(architectures),
        batch_sizes=tuple(options.get("batch_sizes", (1, 8, 32, 128))),
        memories=tuple(options.get("memories", (8, 12, 16, 24, 40, 80, 141))),
        num_classes=options.get("num_classes", 6),
        conditions=Conditions(
            image_size=options.get("image_size", 224),
            precision=options.get("precision", "fp32"),
            budget=Budget(steps=1),
            recipe=Recipe(optimizer=options.get("optimizer", "adam")),
        ),
        frozen=options.get("frozen", False),
        plugins=tuple(map(Path, options.get("plugins", ()))),
    )
    return typed(as_frame(profiling.profile(request, lambda _: None)), as_frame.types())
