"""Find the trained network to use among the weights that runs have kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from intelbench.errors import UserError, few, one_of, printable, shortened
from intelbench.records.kept import KeptFile, kept_files, kept_folder
from intelbench.results.choice import named, recommended
from intelbench.results.cohorts import Cohort, differing_keys
from intelbench.results.study import Study
from intelbench.results.summaries import CohortSummary

_MAX_KEYS = 5
"""Keys that a message lists; the others are only counted."""


@dataclass(frozen=True)
class Choice:
    """The weights to use."""

    file: KeptFile
    reason: str | None
    """Why this architecture, in words; `None` for the weights in a file that was named."""
    group: str | None = None
    """Group of runs in the report, in words; `None` where no other group has kept weights."""


def choose(study: Study, runs: Path, architecture: str | None = None, cohort: str | None = None) -> Choice:
    """Return the kept weights of an architecture: of its run with the best score on the validation images.

    Args:
        study: The records in `runs`.
        runs: Folder of the records.
        architecture: Name of the architecture; without a prefix such as `torchvision:` where only one has that name.
            `None` for the one that the report recommends.
        cohort: Key of a cohort; `None` for the largest in which the architecture has kept weights.

    Raises:
        UserError: no run has kept its weights, or not those of this architecture or cohort.
    """
    files = {(file.about.run_id, file.about.started_at): file for file in kept_files(runs)}
    summaries = [summary for summary in study.cohorts if cohort in (None, summary.cohort.key)]
    kept = [(summary, of_cohort) for summary in summaries if (of_cohort := dict(_of_cohort(summary, files)))]
    groups = _groups(study, [summary.cohort for summary, _ in kept])
    if not kept:
        recorded = {run.record.run_id for summary in summaries for run in summary.cohort.runs}
        if not recorded.isdisjoint(run_id for run_id, _ in files):
            raise UserError(
                f"{printable(kept_folder(runs))}: weights of other records of these runs. Expected those of the "
                "records that were read; a run that ends replaces both. Give the command again, or load them again"
            )
        raise UserError(
            f"{printable(kept_folder(runs))}: no weights of these runs. Expected runs that have kept their weights. "
            "Try intelbench run with --keep-weights best --rerun all"
        )
    if architecture is None:
        summary, of_cohort = kept[0]
        best, reason = recommended(summary)
        if best.name not in of_cohort:
            raise UserError(
                f"architecture {best.name!r} is recommended ({reason}), and has no kept weights. "
                f"{one_of(best.name, of_cohort)}"
            )
        return Choice(of_cohort[best.name], reason, groups[0])
    for group, (_, of_cohort) in zip(groups, kept, strict=True):
        if full_name := named(architecture, of_cohort):
            return Choice(of_cohort[full_name], "as asked for", group)
    known = sorted({name for _, of_cohort in kept for name in of_cohort})
    raise UserError(
        f"architecture {shortened(repr(architecture))} has no kept weights here. {one_of(architecture, known)}"
    )


def _groups(study: Study, kept: Sequence[Cohort]) -> list[str | None]:
    """Say which group of the report each cohort with kept weights is; `None` for a single one."""
    if len(kept) < 2:
        return [None] * len(kept)
    keys = [summary.cohort.key for summary in study.cohorts]
    differing = few(list(differing_keys(kept)), _MAX_KEYS)
    return [f"group {keys.index(cohort.key) + 1} of {len(keys)} (groups differ in {differing})" for cohort in kept]


def _of_cohort(summary: CohortSummary, files: dict[tuple[str, str], KeptFile]) -> Iterator[tuple[str, KeptFile]]:
    """Yield each architecture with kept weights, and the file of its best run.

    Of files that were chosen by several metrics, those of the newest suite come first, and accuracy in place of one
    that could not be computed comes last: scores of different metrics are not compared.
    """
    metrics = summary.cohort.metrics

    def order(file: KeptFile) -> tuple[int, float, int]:
        metric = file.about.validation_metric
        return (metrics.index(metric) if metric in metrics else len(metrics), *file.about.order)

    for architecture in summary.finished:
        records = [run.record for run in architecture.runs]
        keys = [(record.run_id, record.started_at) for record in records]
        if kept := [files[key] for key in keys if key in files]:
            yield architecture.name, min(kept, key=order)
