"""All records of a folder, read once and reduced."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from intelbench.errors import UserError, printable
from intelbench.records.npz import Archive, Texts
from intelbench.records.store import StoredRun, Traces, nothing_recorded, read_with_traces, record_folders
from intelbench.results import cohorts, summaries
from intelbench.results import runs as observations
from intelbench.results.plugin_metrics import plugin_files, register_metrics, with_plugin_values
from intelbench.results.processes import on_all_processors
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import CohortSummary

_MANY = 200
"""Records that several processes read more quickly than one."""
_CHUNK = 50
"""Records that a process is given at a time."""
_HELD_BYTES = 16 * 2**20
"""Of packed or unpacked arrays, after which no further record is read before those are reduced."""

_Opened = tuple[StoredRun, Traces] | str
_Read = tuple[StoredRun, RunSummary | None]
_Known = dict[tuple[str, bytes], NDArray[Any]]


@dataclass(frozen=True)
class Study:
    """Everything that the records of a folder say."""

    cohorts: tuple[CohortSummary, ...]
    """Largest first."""
    problems: tuple[str, ...]
    """Records that could not be used, with paths below the folder."""


def read(folder: Path) -> Study:
    """Read the records in `folder`, each once, and reduce them; the metrics of entry points are registered first.

    Raises:
        UserError: there is no readable record, or a metric of a plug-in fails.
    """
    register_metrics(())
    readable: list[StoredRun] = []
    observed: dict[str, RunSummary] = {}
    problems: list[str] = []
    known: _Known = {}
    for found in _each(record_folders(folder)):
        if isinstance(found, str):
            problems.append(found)
            continue
        run, summary = found
        readable.append(run)
        if summary is not None:
            observed[run.record.run_id] = _sharing(summary, known)
    readable, contradicting = cohorts.agreeing(readable)
    problems += contradicting
    if not readable:
        if not problems:
            raise UserError(nothing_recorded(folder))
        raise UserError(
            f"{printable(str(folder))}: none of the {len(problems)} there can be read: {problems[0]}. Try the command "
            "that made them, with --rerun failed"
        )
    grouped = [summaries.summarize(cohort, observed) for cohort in cohorts.group(readable)]
    return Study(tuple(grouped), tuple(sorted(problem.replace(f"{folder}/", "") for problem in problems)))


def _each(paths: Sequence[Path]) -> Iterator[_Read | str]:
    """Yield each record, reduced, in order; many are read by a pool of processes."""
    parts = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    read = partial(_read, plugins=plugin_files())
    if len(paths) < _MANY:
        yield from chain.from_iterable(map(read, parts))
        return
    yield from chain.from_iterable(on_all_processors(read, parts))


def _read(paths: Sequence[Path], plugins: Sequence[Path]) -> list[_Read | str]:
    """Of each a record and, of a finished run, its arrays reduced; or why it cannot be used.

    Several are read, then unpacked, then reduced: a fifth quicker than one after the other, since the processor keeps
    at hand what each kind of work needs.
    """
    register_metrics(plugins)  # a process of the pool has none where it is no copy of this one
    found: list[_Read | str] = []
    for few in _opened(paths):
        for each in few:
            if not isinstance(each, str) and isinstance(each[1], Archive):
                each[1].unpack()
        found += [each if isinstance(each, str) else _reduced(*each) for each in few]
        few.clear()  # before the next are read
    return found


def _opened(paths: Sequence[Path]) -> Iterator[list[_Opened]]:
    """What is in each record, its arrays still packed, or why it cannot be used; as many as take little memory."""
    texts: Texts = {}
    held: list[_Opened] = []
    size = 0
    for path in paths:
        try:
            run, traces = read_with_traces(path, texts)
            held.append((run, traces))
            size += traces.size if isinstance(traces, Archive) else 0
        except UserError as error:
            held.append(printable(str(error)))
        if size > _HELD_BYTES:
            yield held
            held, size = [], 0
    yield held


def _reduced(run: StoredRun, traces: Traces) -> _Read | str:
    if run.record.measurements is None:
        return run, None
    try:
        summary = observations.observe(run, traces)
    except UserError as error:
        return printable(str(error))
    return run, with_plugin_values(summary, traces)


def _sharing(run: RunSummary, known: _Known) -> RunSummary:
    """The run with the arrays of another where they are equal: all runs are tested on the same few sets of images."""

    def shared(array: NDArray[Any]) -> NDArray[Any]:
        return known.setdefault((array.dtype.str, array.tobytes()), array)

    return replace(run, test_ids=shared(run.test_ids), test_labels=shared(run.test_labels))
