"""`intelbench work`: execute the runs of a study that have no record yet."""

from dataclasses import dataclass

from intelbench.config.pool import Pool
from intelbench.errors import HostError, UserError, plural
from intelbench.orchestration.engines import NamedEngine
from intelbench.orchestration.host import require_files, require_machine
from intelbench.orchestration.job import Progress
from intelbench.orchestration.listeners import Listeners
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
    track: tuple[str, ...]
    """Names of the trackers to which runs are sent."""


def work(request: Work, starter: Starter) -> int:
    """Execute every run that has no record and that no other worker executes; return how many runs have failed.

    A run of another worker is waited for, and executed if that worker ends without a record.

    Raises:
        UserError: the study has no such run, a tracker is not accepted, or a record cannot be written.
        HostError: this host is not of the kind for which the study was prepared, or does not see its files.
        KeyboardInterrupt: on Ctrl-C, after the processes of runs have ended.
    """
    study = request.study
    jobs = study.jobs(request.run)
    trackers = {name: make_tracker(name, Place(results=study.results)) for name in request.track}
    written = ProgressWriter(study.folder, [job.run_id for job in jobs])
    try:
        require_machine(study.study.environment, study.study.execution)
        require_files(jobs)
        tracking = {name: Tracking(name, tracker, jobs, say) for name, tracker in trackers.items()}
        session = Session(
            study=study,
            engine=_engine(study.study.execution, is_only_run=request.run is not None),
            starter=starter,
            profiles=Profiles(starter, study.folder),
            listener=Listeners(say, {"progress of the study": written, **tracking}),
        )
        planned = [PlannedRun(job, job.record()) for job in jobs]
        pending = sum(run.pending for run in planned)
        say(f"study {study.path.stem}: {pending} of {plural(len(planned), 'run')} have no record")
        return execute_runs(planned, session)
    except KeyboardInterrupt:
        written.end(Progress(phase="stopped"))
        raise
    except UserError as error:
        written.end(Progress(phase="refused", note=str(error)))
        raise


def _engine(execution: Execution, *, is_only_run: bool) -> NamedEngine:
    """Return the engine of as many runs at once on this host as the study says.

    Raises:
        HostError: this host has fewer GPUs or processors.
    """
    if execution.slots == 1 or is_only_run:
        return NamedEngine(Pool(engine="local"))
    try:
        return NamedEngine(Pool(engine="slots" if execution.device == "cpu" else "gpus", slots=execution.slots))
    except UserError as error:
        raise HostError.here(f"{error}; the study executes {execution.slots} runs at once on each host") from error
