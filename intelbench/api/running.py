"""Run, diff and profile from Python; the command line calls the same functions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import pandas as pd

from intelbench.api.frames import typed
from intelbench.api.results import Results, load
from intelbench.config.budget import Budget, parse_budget
from intelbench.errors import UserError
from intelbench.results.diff import compare

if TYPE_CHECKING:
    from intelbench.orchestration.plan import Rerun
    from intelbench.training.checkpoint import CheckpointTime


class RunOptions(TypedDict, total=False):
    """Options of `run`; absent ones have the value of the suite, or the default of `intelbench run`."""

    suite: str
    """Name of a built-in suite, or a TOML file; `quick` by default."""
    data: str | Path
    """Folder of images, or `scenes`."""
    budget: str | Budget
    """Training budget of every run, such as `60 s`, or a share of the suite's budgets, such as `10 %`."""
    seeds: Sequence[int]
    image_size: int
    """Height and width of the network's input in pixels."""
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    images_per_class: Sequence[int | Literal["all"]]
    device: str
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    threads: int
    workers: int
    timeout_seconds: float
    memory_limit_bytes: int
    checkpoint: "CheckpointTime"
    """Seconds between checkpoints, `evaluations` or `never`."""
    rerun: "Rerun"
    plugins: Sequence[str | Path]
    """Plug-in files."""
    use_cache: bool
    skip_unreadable: bool
    cache_folder: str | Path


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
        UserError: an option, the data or an architecture is not accepted.
    """
    from platformdirs import user_cache_path

    from intelbench.orchestration.forkserver import starter
    from intelbench.orchestration.process import Limits, require_start
    from intelbench.orchestration.session import Request, run_session
    from intelbench.profiling.variables import process_variables

    unknown = options.keys() - RunOptions.__annotations__
    if unknown:
        raise TypeError(f"run() got unexpected options: {', '.join(sorted(unknown))}")
    require_start("run")
    cache_folder = options.get("cache_folder")
    request = Request(
        suite=options.get("suite", "quick"),
        architectures=None if architectures is None else tuple(architectures),
        data=str(options["data"]) if "data" in options else None,
        seeds=tuple(options["seeds"]) if "seeds" in options else None,
        budget=_budget(options.get("budget")),
        image_size=options.get("image_size"),
        precision=options.get("precision"),
        images_per_class=tuple(options["images_per_class"]) if "images_per_class" in options else None,
        device=options.get("device", "auto"),
        threads=options.get("threads"),
        workers=options.get("workers"),
        results=Path(out),
        plugins=tuple(map(Path, options.get("plugins", ()))),
        limits=Limits(options.get("timeout_seconds"), options.get("memory_limit_bytes")),
        rerun=options.get("rerun", "none"),
        checkpoint=options.get("checkpoint"),
        cache=options.get("use_cache", True),
        skip_unreadable=options.get("skip_unreadable", False),
        cache_folder=Path(cache_folder) if cache_folder else user_cache_path("intelbench", appauthor=False),
    )
    with starter(process_variables(request.threads)) as processes:
        run_session(request, processes)
    return load(out)


def _budget(budget: str | Budget | None) -> Budget | float | None:
    if not isinstance(budget, str):
        return budget
    try:
        return parse_budget(budget)
    except ValueError as error:
        raise UserError(f"budget {budget!r}: {error}") from error


def diff(before: str | Path, after: str | Path) -> pd.DataFrame:
    """Return what changed between two results folders: one row for each architecture and metric, paired by seed.

    Args:
        before: A results folder.
        after: A results folder, of another version or machine for example.

    Raises:
        UserError: a folder has no readable record, or they have no architecture with a common seed.
    """
    changes = compare(Path(before), Path(after)).changes
    rows = [
        {
            "architecture": change.architecture,
            "metric": change.metric,
            "num_seeds": change.before.n,
            "before": change.before.mean,
            "after": change.after.mean,
            "change": change.inferred.estimate.mean,
            "change_low": change.inferred.estimate.low,
            "change_high": change.inferred.estimate.high,
            "p_value": change.inferred.p_value,
        }
        for change in changes
    ]
    return typed(pd.DataFrame(rows, dtype=object))


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
    return typed(as_frame(profiling.profile(request, lambda _: None)))
