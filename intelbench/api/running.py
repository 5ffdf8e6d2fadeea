"""Run, diff and profile from Python; the command line calls the same functions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import pandas as pd

from intelbench.api.execution import RunOptions, execute, require_known
from intelbench.api.frames import frame_of
from intelbench.api.results import Results, load
from intelbench.config.requests import path_argument
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
    folders = [path_argument(*named) for named in (("before", before), ("after", after))]
    return frame_of(changes(compare(folders[0], folders[1])), changes.types())


class ProfileOptions(TypedDict, total=False):
    """Options of `profile`; absent ones have the default of `intelbench profile`."""

    batch_sizes: Sequence[int]
    memories: Sequence[int]
    """Gigabytes of GPU memory for which to find the largest batch size."""
    num_classes: int
    image_size: int
    precision: Literal["fp32", "bf16"]
    optimizer: str
    """Class of `torch.optim` in lower case, or an optimizer of a plug-in."""
    frozen: bool
    plugins: Sequence[str | Path]


def profile(architectures: Sequence[str], **options: Unpack[ProfileOptions]) -> pd.DataFrame:
    """Analyse architectures without training them: one row for each architecture and batch size.

    Args:
        architectures: Names of architectures.
        options: See `ProfileOptions`.

    Raises:
        TypeError: an option is not known.
        UserError: an architecture or an option is not accepted.
    """
    from intelbench.config.requests import ProfileRequest, accepted
    from intelbench.orchestration import profile as profiling
    from intelbench.reporting.profile import profile_table

    require_known("profile", options, ProfileOptions)
    request = accepted(ProfileRequest, {"architectures": architectures, **options})
    return frame_of(profile_table(profiling.profile(request, lambda _: None)), profile_table.types())
