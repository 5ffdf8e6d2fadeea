"""Which figures a report has, and how their files are called; they are drawn elsewhere."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intelbench.results.label_efficiency import LabelStudy
from intelbench.results.summaries import CohortSummary


@dataclass(frozen=True)
class FigureNames:
    """File names of a cohort's figures; `None` where there is nothing to draw."""

    cost: str | None
    curves: str | None
    reliability: str | None
    anatomy: str | None
    budgets: str | None
    confusion: Mapping[str, str]
    """By architecture."""


def figure_names(summary: CohortSummary) -> FigureNames:
    """Of a cohort's figures; the cohort's key keeps those of several apart."""
    key, finished = summary.cohort.key, summary.finished
    drawable = {
        "cost": bool(summary.cost_panels),
        "curves": bool(finished),
        "reliability": any(run.reliability for architecture in finished for run in architecture.runs),
        "anatomy": any(run.anatomy for architecture in finished for run in architecture.runs),
        "budgets": any(all(len(run.evaluation_step) for run in architecture.runs) for architecture in finished),
    }
    files = {name: f"{name}-{key}.svg" if found else None for name, found in drawable.items()}
    return FigureNames(**files, confusion=_file_names([architecture.name for architecture in finished], key))


def label_figure_name(study: LabelStudy) -> str | None:
    """Of the curves of test accuracy by labelled images; `None` without any."""
    return f"labels-{study.key}.svg" if study.curves else None


def _file_names(architectures: Sequence[str], key: str) -> dict[str, str]:
    """A file name for each confusion matrix, distinct even where names differ in case or punctuation only."""
    taken: set[tuple[str, int]] = set()
    names = {}
    for architecture in sorted(architectures):
        slug = re.sub(r"[^a-z0-9_.-]+", "-", architecture.lower()).strip("-.")[:60]
        number = next(n for n in range(1, len(architectures) + 1) if (slug, n) not in taken)
        taken.add((slug, number))
        names[architecture] = f"confusion-{slug}{'' if number == 1 else f'-{number}'}-{key}.svg"
    return names
