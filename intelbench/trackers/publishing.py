"""Runs in a tracker afterwards, from their records alone."""

from collections.abc import Mapping, Sequence

from intelbench.errors import UserError
from intelbench.paths import shown_path
from intelbench.plugins.guard import failed_with
from intelbench.results.cohorts import Cohort
from intelbench.trackers.contents import recorded
from intelbench.trackers.tracker import Outcome, TrackedRun, Tracker


def publish_runs(name: str, tracker: Tracker, cohorts: Sequence[Cohort], report: Mapping[str, bytes]) -> int:
    """Send every run, in place of what the tracker has of it, and the files of the report; return how many runs.

    Args:
        name: Name of the tracker, for messages.
        tracker: The tracker.
        cohorts: Cohorts, the largest first; the report is a run next to those of the largest one.
        report: Files of the report by relative path; a tracker that keeps no files gets none.

    Raises:
        UserError: the tracker fails, or a record cannot be read.
    """
    paths = [run.path for cohort in cohorts for run in cohort.runs]
    largest = cohorts[0]
    architectures = sorted({run.record.spec.architecture for cohort in cohorts for run in cohort.runs})
    report_run = TrackedRun(
        run_id=f"report-{largest.key}",
        suite=largest.spec.suite,
        architecture="all",
        parameters={"architectures": ", ".join(architectures), "data.digest": largest.spec.data.comparable_digest},
    )
    try:
        tracker.connect()
        for path in paths:
            content = recorded(path)
            log = tracker.start(content.run)
            log.add(content.points)
            log.end(content.outcome)
        if tracker.keeps_files:
            tracker.start(report_run).end(Outcome(status="finished", files=report))
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and isinstance(error.filename, str):
            raise UserError(
                f"tracker {name!r}: {shown_path(error.filename)}: cannot be written ({error.strerror}). Expected a "
                "writable folder. Try another one with --out, or `place` of `publish`"
            ) from error
        raise UserError(f"tracker {name!r}: {failed_with(error, '')}") from error
    return len(paths)
