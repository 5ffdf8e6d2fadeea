"""`intelbench run` from request to summary."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console

from intelbench.architectures.reference import REFERENCE
from intelbench.architectures.registry import ambiguity
from intelbench.config.budget import Budget
from intelbench.config.conditions import Suite
from intelbench.config.suites import load_suite, override
from intelbench.data.dataset import prepare
from intelbench.errors import UserError, printable
from intelbench.orchestration.display import downloads
from intelbench.orchestration.listeners import Listeners
from intelbench.orchestration.plan import PlannedRun, PlanOptions, Rerun, architectures_of, plan, unresumable
from intelbench.orchestration.preflight import require_sizes
from intelbench.orchestration.process import Limits, Starter
from intelbench.orchestration.suite import run_planned
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.environment import choose_execution, read_environment
from intelbench.records.types import DataFacts, Environment, RunRecord
from intelbench.records.workspace import workspaces
from intelbench.training.checkpoint import CheckpointTime


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for; `None` leaves the suite's own value."""

    suite: str
    architectures: tuple[str, ...] | None
    data: str | None
    seeds: tuple[int, ...] | None
    budget: Budget | float | None
    """Of every run, or a share of what the suite gives each."""
    image_size: int | None
    precision: str | None
    images_per_class: tuple[int | Literal["all"], ...] | None
    device: str
    threads: int | None
    workers: int | None
    results: Path
    plugins: tuple[Path, ...]
    limits: Limits
    rerun: Rerun
    checkpoint: CheckpointTime | None
    cache: bool
    skip_unreadable: bool
    cache_folder: Path


def run_session(request: Request, starter: Starter) -> int:
    """Plan, run, and say on stderr what came of it; returns how many runs failed.

    `starter` starts the processes of runs.

    Raises:
        UserError: before anything has run: suite, data, architecture, plug-in or device.
        KeyboardInterrupt: on Ctrl-C, after the process of the current run has ended.
    """
    console = Console(stderr=True, highlight=False)
    suite = _suite(request)
    for plugin in request.plugins:
        load_plugin(plugin)
    if suite.architectures != REFERENCE and (note := ambiguity(suite.architectures)):
        _say(console, note)
    architectures_of(suite)  # a mistake in a name is reported before images are read or drawn
    execution = choose_execution(request.device, request.threads, request.workers, request.cache, suite.precision)
    environment = read_environment(execution)
    dataset = prepare(
        suite.data,
        suite.conditions,
        request.cache_folder,
        use_cache=request.cache,
        skip_unreadable=request.skip_unreadable,
    )
    for note in dataset.notes:
        _say(console, note)
    with downloads(console) as on_download:
        options = PlanOptions(rerun=request.rerun, checkpoint=request.checkpoint, on_download=on_download)
        planned = plan(suite, dataset, execution, environment, runs=request.results / "runs", options=options)
    require_sizes(planned, starter, request.limits)
    _clear(planned, environment, restart=request.rerun == "interrupted")
    facts = dataset.facts
    _say(
        console,
        f"{suite.name}: {len(planned)} runs of {_budgets(planned)} on {environment.device_name}; {facts.num_train} "
        f"training, {facts.num_validation} validation and {facts.num_test} test images of "
        f"{len(facts.class_names)} classes" + _other_files(facts) + _limits(suite),
    )
    listeners = Listeners(partial(_say, console))
    try:
        with listeners.session([run.job.spec for run in planned], [run.pending for run in planned]):
            records = run_planned(planned, environment, listeners, starter, request.limits)
    except KeyboardInterrupt:
        done = sum(run.workspace.target.exists() for run in planned)
        _say(
            console,
            f"interrupted: {done} of {len(planned)} runs are recorded in {request.results / 'runs'}; "
            "the same command again goes on with the rest, a run with a checkpoint from there",
        )
        raise
    return _summarise(console, planned, records, request.results)


def _suite(request: Request) -> Suite:
    """Load the suite, with what the user has asked for instead of its own values."""
    return override(
        load_suite(request.suite),
        architectures=request.architectures,
        seeds=request.seeds,
        data=request.data,
        budget=request.budget,
        image_size=request.image_size,
        precision=request.precision,
        images_per_class=request.images_per_class,
    )


def _other_files(facts: DataFacts) -> str:
    """How many files in class folders are not among the images."""
    if not facts.num_other_files:
        return ""
    files = "1 other file" if facts.num_other_files == 1 else f"{facts.num_other_files:,} other files"
    return f"; {files} in class folders not used (`intelbench data check` lists them)"


def _limits(suite: Suite) -> str:
    """On how many of the training images the runs are trained, where not all are on all of them."""
    numbers = [f"{number:,}" for number in suite.images_per_class if number != "all"]
    others = ["all"] if "all" in suite.images_per_class else []
    return f"; trained on {', '.join(numbers + others)} of each class" if numbers else ""


def _budgets(planned: Sequence[PlannedRun]) -> str:
    """`60 s`; where architectures have budgets of their own, each amount once: `40 epochs or 30 epochs`."""
    return " or ".join(dict.fromkeys(str(run.job.spec.conditions.budget) for run in planned))


def _clear(planned: Sequence[PlannedRun], environment: Environment, *, restart: bool) -> None:
    """Remove what killed processes have left, and checkpoints that are not wanted.

    Raises:
        UserError: a run was interrupted under other conditions, and is not to begin anew.
    """
    runs = planned[0].workspace.runs
    changed = unresumable(planned, environment)
    if changed and not restart:
        raise UserError(
            "these runs were interrupted, and cannot be resumed as they would be carried out now:\n"
            + "".join(f"  {what}\n" for what in changed.values())
            + "carry them out as before, or restart them with --rerun interrupted, which drops their checkpoints"
        )
    unwanted = {*changed, *(run.workspace for run in planned if run.pending)} if restart else set()
    for workspace in workspaces(runs):
        with workspace.lock() as lock:  # which clears up by itself
            if lock is not None and workspace in unwanted:
                workspace.discard_checkpoint()


def _summarise(console: Console, planned: Sequence[PlannedRun], records: Sequence[RunRecord], results: Path) -> int:
    failed = [record for record in records if record.failure is not None]
    _say(console, f"{len(records) - len(failed)} of {len(planned)} runs succeeded; records in {results / 'runs'}")
    if failed:
        causes = Counter(record.failure.cause for record in failed if record.failure)
        _say(console, f"failed: {', '.join(f'{count} {cause}' for cause, count in causes.items())}")
        for record in failed:
            assert record.failure is not None
            _say(console, f"  {record.run_id}: {record.failure.cause}: {record.failure.message}")
        _say(console, "their records say why; --rerun failed resumes them")
    command = f"intelbench report {results} > {results / 'REPORT.md'}"
    _say(console, f"now: {command}")
    return len(failed)


def _say(console: Console, text: str) -> None:
    console.print(printable(text), markup=False, soft_wrap=True)
