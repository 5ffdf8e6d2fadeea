"""Records in, report out: a pure function of the files in a folder."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pandas as pd

from intelbench.records.claims import Claim, load_claims
from intelbench.reporting import markdown
from intelbench.reporting.evidence import efficiency, tables, usage
from intelbench.reporting.evidence.study import Study, read
from intelbench.reporting.evidence.summaries import CohortSummary
from intelbench.reporting.figures import budget_plots, plots
from intelbench.reporting.text import reproduce, sections
from intelbench.reporting.text.claims import claims_rows
from intelbench.reporting.text.sections import FigureNames

TITLE = "Image-classification architectures compared"


@dataclass(frozen=True)
class Report:
    """The report in Markdown, and the figures that it links to as `figures/NAME`."""

    text: str
    figures: Mapping[str, bytes]
    """SVG by file name."""


def build(folder: Path, *, title: str = TITLE, claims: Sequence[Claim] | None = None) -> Report:
    """Write the report on the records below `folder`; the same records and claims give the same bytes.

    Without `claims` it checks the published ones.

    Raises:
        UserError: there is no readable record.
    """
    return write(read(folder), title=title, claims=claims)


def write(study: Study, *, title: str = TITLE, claims: Sequence[Claim] | None = None) -> Report:
    """Write the report on records that were read."""
    several = len(study.cohorts) > 1
    blocks = [f"# {markdown.escape(title)}"]
    if several:
        blocks += sections.apart([summary.cohort for summary in study.cohorts])
    judged = load_claims() if claims is None else claims
    figures: dict[str, bytes] = {}
    for number, summary in enumerate(study.cohorts, start=1):
        if several:
            runs = markdown.plural(len(summary.cohort.runs), "run")
            blocks.append(f"## Group {number} of {len(study.cohorts)}: {runs}")
        names, drawn = _draw(summary)
        figures |= drawn
        blocks += sections.cohort_blocks(summary, names, judged, "###" if several else "##")
    if study.problems:
        blocks += ["## Records left out", "\n".join(f"- {markdown.escape(problem)}" for problem in study.problems)]
    return Report("\n\n".join(blocks) + "\n", figures)


def as_json(folder: Path, *, claims: Sequence[Claim] | None = None) -> str:
    """The same numbers for machines: all tables of each cohort, each run, each claim, and what was left out.

    Raises:
        UserError: there is no readable record.
    """
    study = read(folder)
    judged = load_claims() if claims is None else claims
    content = {"cohorts": [_plain(summary, judged) for summary in study.cohorts], "problems": study.problems}
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"


def as_csv(folder: Path) -> str:
    """The main table for machines: a row for each architecture of each cohort, absent values empty.

    Raises:
        UserError: there is no readable record.
    """
    frames = []
    for summary in read(folder).cohorts:
        frame = tables.main(summary)
        frame.insert(0, "cohort", summary.cohort.key)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).to_csv(index=False, lineterminator="\n")


def _draw(summary: CohortSummary) -> tuple[FigureNames, dict[str, bytes]]:
    """Draw a cohort's figures and name their files; the cohort's key keeps those of several apart."""
    key = summary.cohort.key
    drawn = {
        "cost": plots.cost(summary, summary.memory_field),
        "curves": plots.curves(summary) if summary.finished else None,
        "reliability": plots.reliability(summary),
        "anatomy": plots.anatomy(summary),
        "budgets": budget_plots.budgets(summary),
    }
    figures = {f"{name}-{key}.svg": figure for name, figure in drawn.items() if figure is not None}
    confusion = _file_names([architecture.name for architecture in summary.finished], key)
    for architecture in summary.finished:
        figures[confusion[architecture.name]] = plots.confusion(architecture, summary.data.class_names)
    files = {name: f"{name}-{key}.svg" if drawn[name] is not None else None for name in drawn}
    return FigureNames(**files, confusion=confusion), figures


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


def _plain(summary: CohortSummary, claims: Sequence[Claim]) -> dict[str, object]:
    """A cohort as plain values."""
    cohort, spec = summary.cohort, summary.cohort.spec
    line, suite = reproduce.command(cohort)
    return {
        "key": cohort.key,
        "identical": cohort.fairness.identical,
        "ranked": summary.ranked,
        "seeds": cohort.seeds,
        "seeds_ranked": cohort.common_seeds if summary.ranked else (),
        "conditions": spec.conditions,
        "data": spec.data,
        "execution": spec.execution,
        "architectures": tables.rows(tables.main(summary)),
        "differences": tables.rows(tables.differences(summary)),
        "claims": claims_rows(summary, claims),
        "time_to_accuracy": tables.rows(efficiency.time_to_accuracy(summary)),
        "pareto": tables.rows(efficiency.pareto(summary)),
        "crossings": tables.rows(efficiency.crossing_table(summary)),
        "fairness": tables.rows(tables.fairness(summary)),
        "weights": tables.rows(tables.weights(summary)),
        "omnibus": tables.rows(tables.omnibus(summary)),
        "classes": tables.rows(tables.classes(summary)),
        "reliability": tables.rows(tables.reliability(summary)),
        "stability": tables.rows(tables.stability(summary)),
        "rectifiers": tables.rows(tables.rectifiers(summary)),
        "compute": tables.rows(usage.compute(summary)),
        "anatomy": tables.rows(usage.anatomy(summary)),
        "memory": tables.rows(usage.memory(summary)),
        "energy": tables.rows(usage.energy(summary)),
        "contention": tables.rows(usage.contention(summary)),
        "confusion_matrices": {a.name: a.confusion.tolist() for a in summary.finished if a.confusion is not None},
        "runs": [
            {**row, "confusion_matrix": run.confusion.tolist()}
            for row, run in zip(
                tables.rows(tables.runs(summary)), (run for a in summary.architectures for run in a.runs), strict=True
            )
        ],
        "failures": tables.rows(tables.failures(summary)),
        "environment": tables.rows(tables.environment(summary)),
        "command": line,
        "suite": suite,
    }
