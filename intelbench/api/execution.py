"""Execution of a session of runs, for the Python API and the command line."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from msgspec.structs import replace

from intelbench.api.locations import cache_folder
from intelbench.errors import UserError, one_of

if TYPE_CHECKING:
    from intelbench.config.budget import Budget
    from intelbench.config.fields import CheckpointTime, KeepWeights, Rerun, Vary
    from intelbench.config.requests import RunRequest
    from intelbench.config.sequential import Spending
    from intelbench.orchestration.process import Starter


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

    Messages name the options of the command line, which alone has this.

    Raises:
        TypeError: an option is not known.
        UserError: an option, the data or an architecture is not accepted, or an option is one of workers.
    """
    if options.get("track"):
        raise UserError(
            "--prepare: trackers are not written in a study. Expected no --track. Try intelbench work --track"
        )
    if options.get("until"):
        raise UserError("--prepare: all runs of a study are executed. Expected no --until. Try --seeds 0-4")
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
    from intelbench.config.fields import Name
    from intelbench.config.requests import accepted_value, optional_text, text
    from intelbench.orchestration.forkserver import starter
    from intelbench.orchestration.process import require_start
    from intelbench.orchestration.study import StudyFile
    from intelbench.profiling.variables import process_variables

    file, on = text("study", study), optional_text("on", on)
    run = None if run is None else accepted_value("run", run, str)
    trackers = accepted_value("track", track, tuple[Name, ...])
    require_start("work")
    stored = StudyFile.read(Path(file))
    with starter(process_variables(stored.study.execution.threads)) as processes:
        from intelbench.orchestration.work import Work
        from intelbench.orchestration.work import work as execute_study

        return execute_study(Work(study=stored, run=run, on=on, track=tuple(dict.fromkeys(trackers))), processes)


@contextmanager
def _prepared(
    architectures: Sequence[str] | None, out: str | Path, options: RunOptions
) -> Iterator["tuple[RunRequest, Starter]"]:
    """Yield the request, and what starts the processes of runs."""
    from intelbench.config.requests import RunRequest, accepted
    from intelbench.orchestration.forkserver import starter
    from intelbench.orchestration.process import require_start
    from intelbench.profiling.variables import process_variables

    require_known("run", options, RunOptions)
    places = {"out": out, "cache_folder": cache_folder(options.get("cache_folder"))}
    request = accepted(RunRequest, {"architectures": architectures, **options, **places})
    request = replace(request, track=tuple(dict.fromkeys(request.track)))
    require_start("run")
    with starter(process_variables(request.threads)) as processes:  # imports PyTorch while this process does
        yield request, processes


def require_known(function: str, options: Mapping[str, object], kind: type) -> None:
    """Raise a `TypeError`, as Python does, if an option is no key of a `TypedDict`."""
    for name in options.keys() - kind.__annotations__:
        raise TypeError(f"{function}() got an unexpected option {name!r}. {one_of(name, kind.__annotations__)}")
