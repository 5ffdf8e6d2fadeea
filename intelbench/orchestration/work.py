"""`intelbench work`: execute the runs of a study that have no record yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intelbench.config.pool import Pool, is_pool_file, load_pool
from intelbench.errors import HostError, UserError, plural, printable
from intelbench.orchestration.engines import ON_THIS_MACHINE, NamedEngine
from intelbench.orchestration.host import require_files, require_machine
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.listeners import Listeners, RunListener
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.process import Starter
from intelbench.orchestration.running import execute_runs, say
from intelbench.orchestration.shared import Profiles, ProgressWriter
from intelbench.orchestration.study import StudyFile
from intelbench.orchestration.suite import Session
from intelbench.orchestration.tracking import Tracking
from intelbench.records.types import Execution
from intelbench.trackers.registry import make_tracker
from intelbench.trackers.tracker import Place


@dataclass(frozen=True, kw_only=True)
class Work:
    """Options of a worker."""

    study: StudyFile
    run: str | None
    """Name, or position from 0, of the only run to execute; `None` for all."""
    on: str | None
    """Engine that starts a worker for each run, or the file that configures it; `None` to execute runs here."""
    track: tuple[str, ...]
    """Names of the trackers to which runs are sent."""


def work(request: Work, starter: Starter) -> int:
    """Execute every run that has no record and that no other worker executes; return how many runs have failed.

    A run of another worker is waited for, and executed if that worker ends without a record. With `on`, an engine
    starts the workers, and this host need not be of the kind for which the study was prepared.

    Raises:
        UserError: the study has no such run, a tracker is not accepted, or a record cannot be written.
        HostError: this host is not of the kind for which the study was prepared, or does not see its files.
        KeyboardInterrupt: on Ctrl-C, after the processes of runs have ended.
    """
    jobs = request.study.jobs(request.run)
    if request.on is not None:
        return _execute(request, jobs, _elsewhere(request.on, request.study.study.execution.gpus), starter, {})
    written = ProgressWriter(request.study.folder, [job.run_id for job in jobs])
    try:
        execution = request.study.study.execution
        require_machine(request.study.study.environment, execution)
        require_files(jobs)
        engine = _engine(execution, is_only_run=request.run is not None)
        return _execute(request, jobs, engine, starter, {"progress of the study": written})
    except KeyboardInterrupt:
        written.end(Progress(phase="stopped"))
        raise
    except UserError as error:
        written.end(Progress(phase="refused", note=str(error)))
        raise


def _execute(
    request: Work, jobs: Sequence[Job], engine: NamedEngine, starter: Starter, listeners: Mapping[str, RunListener]
) -> int:
    study = request.study
    trackers = {name: make_tracker(name, Place(results=study.results)) for name in request.track}
    tracking = {name: Tracking(name, tracker, jobs, say) for name, tracker in trackers.items()}
    session = Session(
        study=study,
        engine=engine,
        starter=starter,
        profiles=Profiles(starter, study.folder),
        listener=Listeners(say, {**listeners, **tracking}),
    )
    planned = [PlannedRun(job, job.record()) for job in jobs]
    pending = sum(run.pending for run in planned)
    verb = "has" if pending == 1 or len(planned) == 1 else "have"
    say(f"study {study.path.stem}: {pending} of {plural(len(planned), 'run')} {verb} no record")
    return execute_runs(planned, session)


def _elsewhere(on: str, gpus: int) -> NamedEngine:
    """Return the engine of `--on`, which starts a worker for each run on that number of GPUs.

    Raises:
        UserError: it executes runs on this machine, which is not of the kind of the study, perhaps.
    """
    engine = load_pool(on).engine
    if engine in ON_THIS_MACHINE:
        named = f"--on {printable(on)}: engine {engine!r}" if is_pool_file(on) else f"--on {engine}"
        raise UserError(
            f"{named}: how many runs a host executes at once is a part of the study. Expected slurm, ray or "
            "an engine of an installed plug-in. Try it without --on, or prepare the study with it"
        )
    return NamedEngine.of(on, gpus)


def _engine(execution: Execution, *, is_only_run: bool) -> NamedEngine:
    """Return the engine of as many runs at once as the study says; this host needs GPUs or processors for them."""
    if execution.slots == 1 or is_only_run:
        return NamedEngine(Pool(engine="local"))
    try:
        name = "slots" if execution.device == "cpu" else "gpus"
        return NamedEngine(Pool(engine=name, slots=execution.slots), execution.gpus)
    except UserError as error:
        raise HostError.here(f"{error}; the study executes {execution.slots} runs at once on each host") from error
