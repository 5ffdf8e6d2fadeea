"""`intelbench run` from request to summary."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from intelbench.architectures.reference import REFERENCE
from intelbench.architectures.registry import resolutions
from intelbench.config.conditions import Suite
from intelbench.config.requests import RunRequest
from intelbench.config.suites import budgets, load_suite, override
from intelbench.data.dataset import Dataset, prepare
from intelbench.errors import UserError, plural, printable
from intelbench.orchestration.display import downloads, stderr_console
from intelbench.orchestration.engines import NamedEngine
from intelbench.orchestration.listeners import Listeners
from intelbench.orchestration.plan import PlannedRun, PlanOptions, architectures_of, plan, unresumable
from intelbench.orchestration.preflight import require_fit, without_dropout
from intelbench.orchestration.process import Limits, Starter
from intelbench.orchestration.race import designed
from intelbench.orchestration.running import execute_runs, report_command, say
from intelbench.orchestration.shared import Profiles
from intelbench.orchestration.study import Study, StudyFile
from intelbench.orchestration.suite import Session
from intelbench.orchestration.tracking import Tracking
from intelbench.paths import shown_path
from intelbench.plugins.loading import load_plugins
from intelbench.profiling.environment import Processes, choose_execution, read_environment
from intelbench.records.kept import settle
from intelbench.records.types import DataFacts, Environment, Execution
from intelbench.records.workspace import workspaces
from intelbench.results.metrics import ranking_metric, require_classes
from intelbench.trackers.registry import make_tracker
from intelbench.trackers.tracker import Place

_KEYS_OF_SUITE = (
    "architectures", "seeds", "data", "budget", "image_size", "precision", "images_per_class", "vary",
    "keep_weights", "metric",
)  # fmt: skip
"""Options of a request that replace keys of the suite."""


def run_session(request: RunRequest, starter: Starter) -> int:
    """Plan and execute runs, summarise them on stderr, and return how many failed; `starter` starts their processes.

    Raises:
        UserError: the suite, the data, an architecture, a plug-in, the engine, a tracker or the device is not
            accepted; or the engine fails.
        KeyboardInterrupt: on Ctrl-C, after the processes of runs have ended.
    """
    return execute_runs(*_prepared(request, starter), request.design)


def write_study(request: RunRequest, starter: Starter) -> Path:
    """Plan runs as `run_session` does, and write them as a study instead of executing them; return its file.

    Raises:
        UserError: as `run_session`.
    """
    planned, session = _prepared(request, starter)
    pending = sum(run.pending for run in planned)
    say(f"{plural(pending, 'run')} to execute; start as many workers as you like, on every host that sees the folders:")
    return session.study.path


def _prepared(request: RunRequest, starter: Starter) -> tuple[list[PlannedRun], Session]:
    """Return the planned runs, after all checks, and what they share."""
    suite, results = _suite_of(request), Path(request.out)
    limits = Limits(request.timeout_seconds, request.memory_limit_bytes)
    engine = NamedEngine.of(request.on, request.gpus)
    trackers = {name: make_tracker(name, Place(results=results)) for name in request.track}
    execution = choose_execution(
        engine.device(request.device), request.threads, request.workers, request.use_cache, suite.precision,
        Processes(engine.slots_per_host, request.gpus),
    )  # fmt: skip
    _require_own_clock(suite, execution, is_accepted=request.shared_clock)
    environment = read_environment(execution)
    dataset = prepare(
        suite.data,
        suite.conditions,
        Path(request.cache_folder),
        use_cache=request.use_cache,
        skip_unreadable=request.skip_unreadable,
    )
    _require_outside_classes(results, dataset)
    require_classes(ranking_metric(suite.metric), len(dataset.facts.class_names))
    for note in dataset.notes:
        say(note)
    with downloads(stderr_console()) as on_download:
        options = PlanOptions(
            rerun=request.rerun,
            checkpoint=request.checkpoint,
            limits=limits,
            on_download=on_download,
            origin=printable(request.suite),
        )
        planned = plan(suite, dataset, execution, environment, runs=results / "runs", options=options)
    for note in _not_recorded(planned, results):
        say(note)
    if request.design:
        planned = designed(planned, request.design)
    require_fit(planned, starter, limits)
    if names := without_dropout(planned, starter, limits):
        say(f"vary 'dropout': {', '.join(names)}: no dropout, so their seeds give equal runs")
    _clear(planned, environment, restart=request.rerun == "interrupted")
    facts, bound = dataset.facts, "at most " if request.until else ""
    machine = execution.machine(environment.device_name)
    durations = dict.fromkeys(str(run.job.spec.conditions.budget) for run in planned)
    say(
        f"{suite.name}: {bound}{plural(len(planned), 'run')} of {' or '.join(durations)} on {machine}; "
        f"{facts.num_train} training, {facts.num_validation} validation and {facts.num_test} test images of "
        f"{len(facts.class_names)} classes" + _other_files(facts) + _limits(suite) + _sources(suite),
    )
    jobs = [run.job for run in planned]
    return planned, Session(
        study=StudyFile(Study.of(jobs, dataset), results),
        engine=engine,
        starter=starter,
        profiles=Profiles(starter, folder=None),
        listener=Listeners(say, {name: Tracking(name, tracker, jobs, say) for name, tracker in trackers.items()}),
    )


def _suite_of(request: RunRequest) -> Suite:
    """Return the suite with the options of a request, after loading its plug-ins.

    A mistake in the name of an architecture or of the metric is reported here, before images are read or drawn.
    """
    suite = override(
        load_suite(request.suite),
        origin=printable(request.suite),
        margin=None if request.margin is None else round(100 * request.margin, 10),
        **{name: getattr(request, name) for name in _KEYS_OF_SUITE},
    )
    _require_seeds(suite)
    load_plugins(request.plugins)
    with _key_of_suite(request, "architectures"):
        if suite.architectures != REFERENCE and (note := resolutions(suite.architectures)):
            say(note)
    architectures_of(suite, printable(request.suite))
    with _key_of_suite(request, "metric"):
        return msgspec.structs.replace(suite, metric=ranking_metric(suite.metric).short_name)


@contextmanager
def _key_of_suite(request: RunRequest, key: str) -> Iterator[None]:
    """Begin the message of an error in the block with the suite, unless an option has replaced the key."""
    try:
        yield
    except UserError as error:
        if getattr(request, key):
            raise
        raise UserError(f"suite {printable(request.suite)}: key `{key}`: {error}") from error


def _require_outside_classes(results: Path, dataset: Dataset) -> None:
    """Raise a `UserError` if the results folder is among the class folders, or in one: it would become a class."""
    for folder in dataset.split_folders:
        if results.resolve().is_relative_to(folder):
            raise UserError(
                f"out {shown_path(results)}: in {shown_path(folder)}, where every folder is a class of the images. "
                "Expected a folder elsewhere. Try --out with one next to the data, or `out` in Python"
            )


def _other_files(facts: DataFacts) -> str:
    """Say how many files in class folders are not used."""
    if not facts.num_other_files:
        return ""
    number = plural(facts.num_other_files, "other file")
    return f"; {number} in class folders not used (`intelbench data check` lists them)"


def _require_seeds(suite: Suite) -> None:
    """Raise a `UserError` if one source of variance varies between the seeds, but there is one seed."""
    if suite.sources != ("all",) and len(suite.seeds) < 2:
        raise UserError(
            f"vary {','.join(suite.sources)}: one seed, {suite.seeds[0]}, so nothing varies. Expected at least 2 "
            f"seeds. Try --seeds {suite.seeds[0]}-{suite.seeds[0] + 9}"
        )


def _require_own_clock(suite: Suite, execution: Execution, *, is_accepted: bool) -> None:
    """Raise a `UserError` if runs that share a host are to be trained for a time, and the user has not accepted it."""
    timed = [str(budget) for budget in budgets(suite) if budget.seconds is not None]
    if execution.slots > 1 and timed and not is_accepted:
        raise UserError(
            f"budget {timed[0]}: {execution.slots} runs at once share this host, so how far each gets depends on the "
            "others. Expected a budget in steps, epochs, images or FLOPs. Try --budget '300 steps', or accept it with "
            "--shared-clock"
        )


def _not_recorded(planned: Sequence[PlannedRun], results: Path) -> list[str]:
    """Say that the margin or the metric is in no record, because all runs were recorded before, with other ones."""
    if any(run.pending for run in planned):
        return []
    spec, recorded = planned[0].job.spec, [run.earlier.spec for run in planned if run.earlier]
    options = (
        ("margin", f"{100 * spec.margin:g}", [f"{100 * earlier.margin:g}" for earlier in recorded]),
        ("metric", spec.metric, [earlier.metric for earlier in recorded]),
    )
    return [
        f"{name} {value}: not recorded, because all runs were recorded before, with {name} "
        f"{' or '.join(sorted({*before}))}. Try {report_command(results, f'--{name}', value)}"
        for name, value, before in options
        if value not in before
    ]


def _limits(suite: Suite) -> str:
    """Say on how many images of each class the runs are trained, if not all are trained on all images."""
    numbers = [f"{number:,}" for number in suite.images_per_class if number != "all"]
    others = ["all"] if "all" in suite.images_per_class else []
    return f"; trained on {', '.join(numbers + others)} of each class" if numbers else ""


def _sources(suite: Suite) -> str:
    """Say what differs between the seeds, if it is not only every random stream."""
    return "" if suite.sources == ("all",) else f"; seeds vary {', '.join(suite.sources)}, one at a time"


def _clear(planned: Sequence[PlannedRun], environment: Environment, *, restart: bool) -> None:
    """Remove what killed processes have left; with `restart` also the checkpoints of pending runs.

    Raises:
        UserError: a run was interrupted under other conditions, and `restart` is false.
    """
    runs = planned[0].job.workspace.runs
    changed = unresumable(planned, environment)
    if changed and not restart:
        raise UserError(
            "these runs were interrupted, and cannot be resumed under the conditions of this command:\n"
            + "".join(f"  {difference}\n" for difference in changed.values())
            + "restore the earlier conditions, or restart the runs with --rerun interrupted, without their checkpoints"
        )
    unwanted = {*changed, *(run.job.workspace for run in planned if run.pending)} if restart else set()
    for workspace in workspaces(runs):
        with workspace.lock() as lock:  # which removes partial files
            if lock is not None and workspace in unwanted:
                workspace.discard_checkpoint()
    settle(runs)
