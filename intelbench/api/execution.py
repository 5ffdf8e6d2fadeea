"""Execution of a session of runs, for the Python API and the command line."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from intelbench.api.locations import cache_folder
from intelbench.errors import UserError

if TYPE_CHECKING:
    from intelbench.config.budget import Budget
    from intelbench.config.fields import KeepWeights, Vary
    from intelbench.config.sequential import Spending, Until
    from intelbench.orchestration.job import Rerun
    from intelbench.orchestration.process import Starter
    from intelbench.orchestration.session import Request
    from intelbench.training.checkpoint import CheckpointTime


class RunOptions(TypedDict, total=False):
    """Options of `run`; absent ones, and `None`, have the value of the suite or the default of `intelbench run`."""

    suite: str | None
    """Name of a built-in suite, or a TOML file; `quick` by default."""
    data: str | Path | None
    """Folder of images, or `scenes`."""
    budget: "str | float | Budget | None"
    """Training budget of every run, such as `60 s`, or a share of the suite's budgets, such as `10 %` or 0.1."""
    seeds: Sequence[int] | None
    until: Literal["decided"] | None
    """`decided` adds the seeds in planned looks, until one architecture is the best or those that are left are
    equivalent; `None` runs all seeds."""
    margin: float | None
    """Largest difference that counts as equivalent, as a fraction such as 0.01, at least 0.001."""
    metric: str | None
    """Metric of the test images by which the report ranks, such as `balanced_accuracy`."""
    spending: "Spending | None"
    """Spending of the significance level over the looks; `obrien-fleming` by default."""
    at_most: str | float | None
    """Time that no look may exceed, such as `4 h`, or seconds."""
    image_size: int | None
    """Height and width of the network's input in pixels."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None
    images_per_class: Sequence[int | Literal["all"]] | None
    vary: "Vary | Sequence[Vary] | None"
    """What differs between the seeds, such as `init`; or a list."""
    keep_weights: "KeepWeights | None"
    """Trained networks that are kept: `best` by the suite's metric on the validation images, `all` or `none`."""
    device: str | None
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    gpus: int | None
    """GPUs that compute each run together; `recipe.shards` of the suite is a multiple of it."""
    threads: int | None
    workers: int | None
    timeout_seconds: float | None
    memory_limit_bytes: int | None
    checkpoint: "CheckpointTime | None"
    """Seconds between checkpoints, `evaluations` or `never`."""
    rerun: "Rerun | None"
    plugins: Sequence[str | Path] | None
    """Plug-in files."""
    on: str | Path | None
    """Where runs are executed: `local`, `slots`, `gpus`, `slurm`, `ray`, an engine of a plug-in, or a TOML file."""
    shared_clock: bool | None
    """Whether runs that share a machine may have a budget in seconds."""
    track: Sequence[str] | None
    """Trackers to which runs are sent: `mlflow`, `tensorboard`, `wandb`, or those of plug-ins."""
    use_cache: bool | None
    skip_unreadable: bool | None
    cache_folder: str | Path | None


def execute(architectures: Sequence[str] | None, out: str | Path, **options: Unpack[RunOptions]) -> int:
    """Train and evaluate architectures, leave their records in runs/ of `out`, and return how many runs failed.

    Raises:
        TypeError: an option is not known.
        UserError: an option, the data or an architecture is not accepted.
        KeyboardInterrupt: on Ctrl-C, after the processes of runs have ended.
    """
    with _prepared(architectures, out, options) as (request, processes):
        from intelbench.orchestration.session import run_session

        return run_session(request, processes)


def prepare(architectures: Sequence[str] | None, out: str | Path, **options: Unpack[RunOptions]) -> Path:
    """Plan runs as `execute` does, and return the file of their study in studies/ of `out`, for `work`.

    Raises:
        TypeError: an option is not known.
        UserError: an option, the data or an architecture is not accepted, or an option is one of workers.
    """
    if options.get("track"):
        raise UserError("prepare: trackers are not written in a study. Try intelbench work --track")
    if options.get("until"):
        raise UserError("prepare: all runs of a study are executed. Expected no `until`. Try a fixed number of seeds")
    with _prepared(architectures, out, options) as (request, processes):
        from intelbench.orchestration.session import write_study

        return write_study(request, processes)


def work(study: str | Path, *, run: str | None = None, on: str | Path | None = None, track: Sequence[str] = ()) -> int:
    """Execute the runs of a study that have no record, or one of them, and return how many runs failed.

    Args:
        study: The file that `prepare` has returned.
        run: Name of a run, or its position from 0; `None` for all.
        on: Engine that starts a worker for each run, or its TOML file; `None` to execute runs here.
        track: Names of trackers.

    Raises:
        UserError: the file is not a study, or it has no such run.
        HostError: this host is not of the kind for which the study was prepared.
        KeyboardInterrupt: on Ctrl-C, after the processes of runs have ended.
    """
    from intelbench.orchestration.forkserver import starter
    from intelbench.orchestration.process import require_start
    from intelbench.orchestration.study import StudyFile
    from intelbench.profiling.variables import process_variables

    require_start("work")
    stored = StudyFile.read(Path(study))
    with starter(process_variables(stored.study.execution.threads)) as processes:
        from intelbench.orchestration.work import Work
        from intelbench.orchestration.work import work as execute_study

        return execute_study(
            Work(study=stored, run=run, on=None if on is None else str(on), track=tuple(dict.fromkeys(track))),
            processes,
        )


@contextmanager
def _prepared(
    architectures: Sequence[str] | None, out: str | Path, options: RunOptions
) -> Iterator["tuple[Request, Starter]"]:
    """Yield the request, and what starts the processes of runs."""
    from intelbench.orchestration.forkserver import starter
    from intelbench.orchestration.process import Limits, require_start
    from intelbench.profiling.variables import process_variables

    if unknown := options.keys() - RunOptions.__annotations__:
        raise TypeError(f"run() got unexpected options: {', '.join(sorted(unknown))}")
    if isinstance(architectures, str):
        raise UserError(f"architectures: a text. Expected a list of names. Try [{architectures!r:.100}]")
    for name in ("seeds", "images_per_class"):
        if isinstance(given := options.get(name), int | str):
            raise UserError(f"{name} {given!r:.100}: not a list. Try {name}=[{given!r:.100}]")
    if isinstance(track := options.get("track"), str):
        raise UserError(f"track {track!r:.100}: a text. Expected a list of names. Try track=[{track!r:.100}]")
    budget, until, margin = _budget(options.get("budget")), _until(options), _points(options.get("margin"))
    require_start("run")
    with starter(process_variables(options.get("threads"))) as processes:  # imports PyTorch while this process does
        from intelbench.orchestration.session import Request

        data, seeds, numbers = options.get("data"), options.get("seeds"), options.get("images_per_class")
        vary = options.get("vary")
        yield (
            Request(
                suite=options.get("suite") or "quick",
                architectures=None if architectures is None else tuple(architectures),
                data=None if data is None else str(data),
                seeds=None if seeds is None else tuple(seeds),
                until=until,
                budget=budget,
                image_size=options.get("image_size"),
                precision=options.get("precision"),
                images_per_class=None if numbers is None else tuple(numbers),
                vary=vary if vary is None or isinstance(vary, str) else tuple(vary),
                margin=margin,
                keep_weights=options.get("keep_weights"),
                metric=options.get("metric"),
                device=options.get("device") or "auto",
                gpus=options.get("gpus") or 1,
                threads=options.get("threads"),
                workers=options.get("workers"),
                results=Path(out),
                plugins=tuple(map(Path, options.get("plugins") or ())),
                on=str(options.get("on") or "local"),
                shared_clock=bool(options.get("shared_clock")),
                track=tuple(dict.fromkeys(options.get("track") or ())),
                limits=Limits(options.get("timeout_seconds"), options.get("memory_limit_bytes")),
                rerun=options.get("rerun") or "none",
                checkpoint=options.get("checkpoint"),
                cache=options.get("use_cache") is not False,
                skip_unreadable=bool(options.get("skip_unreadable")),
                cache_folder=cache_folder(options.get("cache_folder")),
            ),
            processes,
        )


def _until(options: RunOptions) -> "Until | None":
    from intelbench.config.sequential import Until

    until, spending = options.get("until"), options.get("spending")
    if until is None:
        for name in ("spending", "at_most"):
            if (value := options.get(name)) is not None:
                raise UserError(
                    f"{name} {value!r:.100}: given without `until`. Expected both, or none. Try until decided"
                )
        return None
    if until != "decided":
        raise UserError(f"until {until!r:.100}: not known. Expected decided")
    if spending not in (None, "obrien-fleming", "pocock"):
        raise UserError(f"spending {spending!r:.100}: not known. Expected obrien-fleming or pocock")
    return Until(spending=spending or "obrien-fleming", at_most_seconds=_seconds(options.get("at_most")))


def _points(margin: float | None) -> float | None:
    """Return a margin, which is a fraction, in percentage points, as suites have it; they have bounds of their own."""
    if margin is None:
        return None
    if not isinstance(margin, int | float) or not 0 < margin < 1:
        raise UserError(f"margin {margin!r:.100}: not accepted. Expected a fraction above 0 and below 1. Try 0.01")
    return round(100 * margin, 10)


def _seconds(time: str | float | None) -> float | None:
    """Return a time in seconds."""
    from intelbench.config.budget import Budget

    seconds = None if isinstance(time, str) else time
    if isinstance(time, str):
        with suppress(ValueError):
            seconds = Budget.parse(time).seconds
    if time is not None and not (seconds and 0 < seconds < inf):
        raise UserError(f"at_most {time!r:.100}: not a time. Expected seconds, or a number with a unit. Try '4 h'")
    return seconds


def _budget(budget: "str | float | Budget | None") -> "Budget | float | None":
    if isinstance(budget, int):
        raise UserError(
            f"budget {budget}: has no unit. Expected a text, or a share of the suite's. Try '{budget} steps'"
        )
    if not isinstance(budget, str):
        return budget
    from intelbench.config.budget import parse_budget

    try:
        return parse_budget(budget)
    except ValueError as error:
        raise UserError(f"budget {budget!r}: {error}") from error
