"""All records of a folder, read once and reduced."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from intelbench.errors import UserError, printable
from intelbench.records.store import StoredRun, read_with_traces, record_folders
from intelbench.reporting.evidence import cohorts, observations, summaries
from intelbench.reporting.evidence.observations import RunSummary
from intelbench.reporting.evidence.summaries import CohortSummary


@dataclass(frozen=True)
class Study:
    """Everything that the records of a folder say."""

    cohorts: tuple[CohortSummary, ...]
    """Largest first."""
    problems: tuple[str, ...]
    """Records that could not be used, with paths below the folder."""


def read(folder: Path) -> Study:
    """Read the records below `folder`, each once, and reduce them.

    Raises:
        UserError: there is no readable record.
    """
    readable: list[StoredRun] = []
    observed: dict[str, RunSummary] = {}
    problems: list[str] = []
    known: dict[tuple[str, bytes], NDArray[Any]] = {}
    for path in record_folders(folder):
        try:
            run, traces = read_with_traces(path)
            if run.record.measurements is not None:
                observed[run.record.run_id] = _sharing(observations.observe(run, traces), known)
            readable.append(run)
        except UserError as error:
            problems.append(printable(str(error)))
    readable, contradicting = cohorts.agreeing(readable)
    problems += contradicting
    if not readable:
        found = f"none of the {len(problems)} there can be read: {problems[0]}" if problems else "there is none"
        raise UserError(f"{printable(str(folder))}: no record to report on, {found}; make some with `intelbench run`")
    grouped = [summaries.summarize(cohort, observed) for cohort in cohorts.group(readable)]
    return Study(tuple(grouped), tuple(sorted(problem.replace(f"{folder}/", "") for problem in problems)))


def _sharing(run: RunSummary, known: dict[tuple[str, bytes], NDArray[Any]]) -> RunSummary:
    """The run with the arrays of another where they are equal: all runs are tested on the same few sets of images."""

    def shared(array: NDArray[Any]) -> NDArray[Any]:
        return known.setdefault((array.dtype.str, array.tobytes()), array)

    return replace(run, test_ids=shared(run.test_ids), test_labels=shared(run.test_labels))
