"""The records of a folder, read once and reduced."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from intelbench.errors import UserError, printable
from intelbench.records.designs import read_designs
from intelbench.records.npz import Texts
from intelbench.records.store import StoredRun, nothing_recorded, read_with_traces, record_folders
from intelbench.results import cohorts, summaries
from intelbench.results import runs as observations
from intelbench.results.cohorts import Cohort
from intelbench.results.metrics import METRICS, ranking_metric, require_classes
from intelbench.results.plugin_metrics import on_demand_values, register_metrics, with_plugin_values
from intelbench.results.processes import on_all_processors
from intelbench.results.ranking import BY_ACCURACY, Ranking
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import CohortSummary

_MANY = 200
"""Records that several processes read more quickly than a single process."""
_CHUNK = 50
"""Records that a process is given at a time."""
_Reduced = tuple[StoredRun, RunSummary | None] | str
"""A record and, of a finished run, its arrays reduced; or why the record cannot be used."""
S = TypeVar("S")
T = TypeVar("T")
_Arrays = dict[tuple[str, bytes], NDArray[Any]]


@dataclass(frozen=True)
class Study:
    """The cohorts of the records in a folder."""

    cohorts: tuple[CohortSummary, ...]
    """Cohorts, the largest first."""
    problems: tuple[str, ...]
    """Records that could not be used, with paths below the folder."""


def read(folder: Path, margin: float | None = None, metric: str | None = None, asked: Collection[str] = ()) -> Study:
    """Return the study of the records in `folder`, each read once; the metrics of entry points are registered first.

    Args:
        folder: Folder of the records.
        margin: Largest difference of the ranking metric that counts as equivalent, in its unit; `None` for that of
            the suite.
        metric: The metric that ranks architectures; `None` for that of the suite of the newest run of a cohort.
        asked: Names of further metrics that are needed, such as those of claims; some are computed only where asked
            for.

    Raises:
        UserError: there is no readable record, no such metric, none that is defined for so few classes, or a metric of
            a plug-in fails.
    """
    register_metrics(())
    given = None if metric is None else ranking_metric(metric)
    readable: list[StoredRun] = []
    observed: dict[str, RunSummary] = {}
    problems: list[str] = []
    arrays: _Arrays = {}
    for reduced in _in_parts(partial(_reduce_part, plugins=METRICS.plugin_files()), record_folders(folder)):
        if isinstance(reduced, str):
            problems.append(reduced)
            continue
        run, summary = reduced
        readable.append(run)
        if summary is not None:
            observed[run.record.run_id] = _with_shared_arrays(summary, arrays)
    readable, contradicting = cohorts.agreeing(readable)
    problems += contradicting
    if not readable:
        if not problems:
            raise UserError(nothing_recorded(folder))
        raise UserError(
            f"{printable(str(folder))}: none of the {len(problems)} there can be read: {problems[0]}. Try the command "
            "that made them, with --rerun failed"
        )
    designs, unreadable = read_designs(folder)
    problems += unreadable
    grouped = []
    groups = cohorts.group(readable, designs)
    if given:
        require_classes(given, max(len(cohort.spec.data.class_names) for cohort in groups))
    for cohort in groups:
        ranking = given.ranking if given else _ranking_of(cohort)
        of_cohort = _with_on_demand(cohort, observed, {ranking.metric, *asked})
        grouped.append(summaries.summarize(cohort, of_cohort, margin, ranking))
    return Study(tuple(grouped), tuple(sorted(problem.replace(f"{folder}/", "") for problem in problems)))


def _in_parts(compute: Callable[[Sequence[S]], list[T]], records: Sequence[S]) -> Iterator[T]:
    """Yield what a function returns of each record, in order; of many records, computed by a pool of processes."""
    parts = [records[start : start + _CHUNK] for start in range(0, len(records), _CHUNK)]
    yield from chain.from_iterable(map(compute, parts) if len(records) < _MANY else on_all_processors(compute, parts))


def _reduce_part(paths: Sequence[Path], plugins: Sequence[str]) -> list[_Reduced]:
    """Return the reduced record of each path."""
    register_metrics(plugins)  # a process of the pool has none where it is no copy of this one
    texts: Texts = {}
    return [_reduced(path, texts) for path in paths]


def _reduced(path: Path, texts: Texts) -> _Reduced:
    try:
        run, traces = read_with_traces(path, texts)
        summary = None if run.record.measurements is None else observations.observe(run, traces)
    except UserError as error:
        return printable(str(error))
    return run, summary and with_plugin_values(summary, traces)


def _ranking_of(cohort: Cohort) -> Ranking:
    """Return the ranking by the metric of the suite; by test accuracy where it is one of a plug-in that is not here."""
    name = cohort.metrics[0]
    try:
        return ranking_metric(name).ranking
    except UserError:
        return replace(BY_ACCURACY, unknown=name)


def _with_on_demand(
    cohort: Cohort, observed: Mapping[str, RunSummary], names: Collection[str]
) -> Mapping[str, RunSummary]:
    """Return the finished runs of a cohort by name, with those of the metrics that are computed only if asked for."""
    runs = [run for run in cohort.runs if run.record.run_id in observed]
    wanted = sorted(name for name in names if (entry := METRICS.find(name)) and entry.value.on_demand)
    if not wanted:
        return observed
    computed = _in_parts(partial(on_demand_values, names=wanted), runs)
    by_name = {run.record.run_id: values for run, values in zip(runs, computed, strict=True)}
    return {
        name: replace(observed[name], of_logits={**observed[name].of_logits, **values})
        for name, values in by_name.items()
    }


def _with_shared_arrays(run: RunSummary, arrays: _Arrays) -> RunSummary:
    """Return a run that shares equal ids and labels with other runs: most runs are evaluated on the same images."""

    def shared(array: NDArray[Any]) -> NDArray[Any]:
        return arrays.setdefault((array.dtype.str, array.tobytes()), array)

    ids: dict[str, Any] = {f"{split}_ids": shared(run.ids(split)) for split in ("training", "validation")}
    return replace(
        run,
        test_ids=shared(run.test_ids),
        test_labels=shared(run.test_labels),
        images=replace(run.images, **ids),
    )
