"""Read the records of a folder without their arrays, as no command does."""

from pathlib import Path

from intelbench.errors import UserError
from intelbench.records.store import StoredRun, read_run, record_folders


def read_runs(runs: Path) -> tuple[list[StoredRun], list[str]]:
    """Read every record in `runs`, sorted by name, and list the problems of those that cannot be read."""
    stored_runs = []
    problems = []
    for path in record_folders(runs):
        try:
            stored_runs.append(read_run(path))
        except UserError as error:
            problems.append(str(error))
    return stored_runs, problems
