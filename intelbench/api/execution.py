"""Execution of a session of runs, for the Python API and the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from intelbench.api.locations import cache_folder
from intelbench.errors import UserError

if TYPE_CHECKING:
    from intelbench.config.budget import Budget
    from intelbench.config.fields import Vary
    from intelbench.orchestration.plan import Rerun
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
    image_size: int | None
    """Height and width of the network's input in pixels."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] | None
    images_per_class: Sequence[int | Literal["all"]] | None
    vary: "Vary | Sequence[Vary] | None"
    """What differs between the seeds, such as `init`; or a list."""
    device: str | None
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    threads: int | None
    workers: int | None
    timeout_seconds: float | None
    memory_limit_bytes: int | None
    checkpoint: "CheckpointTime | None"
    """Seconds between checkpoints, `evaluations` or `never`."""
    rerun: "Rerun | None"
    plugins: Sequence[str | Path] | None
    """Plug-in files."""
    engine: str | None
    """What executes runs: `local`, or an engine of a plug-in."""
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
    budget = _budget(options.get("budget"))
    require_start("run")
    with starter(process_variables(options.get("threads"))) as processes:  # imports PyTorch while this process does
        from intelbench.orchestration.session import Request, run_session

        data, seeds, numbers = options.get("data"), options.get("seeds"), options.get("images_per_class")
        vary = options.get("vary")
        request = Request(
            suite=options.get("suite") or "quick",
            architectures=None if architectures is None else tuple(architectures),
            data=None if data is None else str(data),
            seeds=None if seeds is None else tuple(seeds),
            budget=budget,
            image_size=options.get("image_size"),
            precision=options.get("precision"),
            images_per_class=None if numbers is None else tuple(numbers),
            vary=vary if vary is None or isinstance(vary, str) else tuple(vary),
            device=options.get("device") or "auto",
            threads=options.get("threads"),
            workers=options.get("workers"),
            results=Path(out),
            plugins=tuple(map(Path, options.get("plugins") or ())),
            engine=options.get("engine") or "local",
            limits=Limits(options.get("timeout_seconds"), options.get("memory_limit_bytes")),
            rerun=options.get("rerun") or "none",
            checkpoint=options.get("checkpoint"),
            cache=options.get("use_cache") is not False,
            skip_unreadable=bool(options.get("skip_unreadable")),
            cache_folder=cache_folder(options.get("cache_folder")),
        )
        return run_session(request, processes)


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
