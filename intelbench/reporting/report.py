"""Records in, report out: a pure function of the files in a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pandas as pd

from intelbench.records.claims import Claim, load_claims
from intelbench.reporting import markdown
from intelbench.reporting.evidence import efficiency, tables, usage
from intelbench.reporting.evidence.label_efficiency import LabelStudy, label_studies
from intelbench.reporting.evidence.study import Study, read
from intelbench.reporting.evidence.summaries import CohortSummary
from intelbench.reporting.figures.names import FigureNames, figure_names, label_figure_name
from intelbench.reporting.processes import aside
from intelbench.reporting.text import reproduce, sections
from intelbench.reporting.text.claims import claims_rows
from intelbench.reporting.text.label_efficiency import label_blocks
from intelbench.reporting.text.origins import origin_blocks, origin_rows

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
    labelled, names = label_studies(study.cohorts), [figure_names(summary) for summary in study.cohorts]

    def drawn() -> dict[str, bytes]:
        from intelbench.reporting.figures.drawing import draw  # matplotlib takes a quarter of a second to import

        return draw(study.cohorts, names, labelled)

    with aside(drawn) as figures:
        text = _text(study, labelled, names, title, load_claims() if claims is None else claims)
        return Report(text, figures())


def as_json(folder: Path, *, claims: Sequence[Claim] | None = None) -> str:
    """The same numbers for machines: all tables of each cohort, each run, each claim, and what was left out.

    Raises:
        UserError: there is no readable record.
    """
    study = read(folder)
    judged = load_claims() if claims is None else claims
    content = {
        "cohorts": [_plain(summary, judged) for summary in study.cohorts],
        "label_efficiency": [labelled.plain() for labelled in label_studies(study.cohorts)],
        "origins": origin_rows(study.cohorts, judged),
        "problems": study.problems,
    }
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


def _text(
    study: Study, labelled: Sequence[LabelStudy], names: Sequence[FigureNames], title: str, claims: Sequence[Claim]
) -> str:
    several = len(study.cohorts) > 1
    blocks = [f"# {markdown.escape(title)}"]
    if several:
        blocks += sections.apart([summary.cohort for summary in study.cohorts])
    blocks += origin_blocks(study.cohorts, claims)
    for each in labelled:
        blocks += label_blocks(each, label_figure_name(each))
    for number, (summary, figures) in enumerate(zip(study.cohorts, names, strict=True), start=1):
        if several:
            runs = markdown.plural(len(summary.cohort.runs), "run")
            runs += ", each architecture under its own recipe" if summary.cohort.own_recipes else ""
            blocks.append(f"## Group {number} of {len(study.cohorts)}: {runs}{sections.limited(summary.cohort)}")
        blocks += sections.cohort_blocks(summary, figures, claims, "###" if several else "##")
    if study.problems:
        blocks += ["## Records left out", "\n".join(f"- {markdown.escape(problem)}" for problem in study.problems)]
    return "\n\n".join(blocks) + "\n"


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
        "own_recipes": cohort.own_recipes,
        "conditions": cohort.conditions,
        "own_settings": tables.rows(tables.own_settings(summary)),
        "data": spec.data,
        "images_per_class": spec.images_per_class,
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
