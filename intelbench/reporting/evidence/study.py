"""All records of a folder, read once and reduced."""

from dataclasses import dataclass
from pathlib import Path

from intelbench.errors import UserError
from intelbench.records.store import read_runs
from intelbench.reporting.evidence import cohorts, observations, summaries
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
    stored, problems = read_runs(folder)
    kept, copies = cohorts.latest(stored)
    problems += copies
    observed = {}
    readable = []
    for run in kept:
        try:
            if not run.unchanged():
                raise UserError(f"{run.path}: changed after it was written (sha256sum -c says where); run it again")
            if run.record.measurements is not None:
                observed[run.record.run_id] = observations.observe(run)
            readable.append(run)
        except UserError as error:
            problems.append(str(error))
    if not readable:
        found = f"none of the {len(problems)} there can be read: {problems[0]}" if problems else "there is none"
        raise UserError(f"{folder}: no record to report on, {found}; make some with `intelbench run`")
    grouped = [summaries.summarize(cohort, observed) for cohort in cohorts.group(readable)]
    return Study(tuple(grouped), tuple(sorted(problem.replace(f"{folder}/", "") for problem in problems)))
