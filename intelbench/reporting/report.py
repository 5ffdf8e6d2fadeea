"""Records in, report out: a pure function of the files in a folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import msgspec
import pandas as pd

from intelbench.reporting import markdown
from intelbench.reporting.figures.names import FigureNames, figure_names, label_figure_name
from intelbench.reporting.text import reproduce, sections
from intelbench.reporting.text.claims import claims_rows
from intelbench.reporting.text.label_efficiency import label_blocks
from intelbench.reporting.text.origins import origin_blocks, origin_rows
from intelbench.results import efficiency, gpu_table, tables, usage
from intelbench.results.claims import Claim, load_claims
from intelbench.results.cohorts import Cohort
from intelbench.results.label_efficiency import LabelStudy, label_studies
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.study import Study, read
from intelbench.results.summaries import CohortSummary

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
    from intelbench.reporting.figures import drawing  # matplotlib takes a quarter of a second to import

    labelled, names = label_studies(study.cohorts), [figure_names(summary) for summary in study.cohorts]
    blocks = _blocks(study, labelled, names, title, load_claims() if claims is None else claims)
    figures = {name: draw() for name, draw in drawing.figures(study.cohorts, names, labelled).items()}
    written = chain.from_iterable(write_blocks() for write_blocks in blocks)
    return Report("\n\n".join(written) + "\n", figures)


def as_json(study: Study, *, claims: Sequence[Claim] | None = None) -> str:
    """The same numbers for machines: all tables of each cohort, each run, each claim, and what was left out."""
    judged = load_claims() if claims is None else claims
    content = {
        "metrics": [
            {"name": name, **_facts(entry.value), "provider": entry.provider} for name, entry in METRICS.entries.items()
        ],
        "cohorts": [_plain(summary, judged) for summary in study.cohorts],
        "label_efficiency": [labelled.plain() for labelled in label_studies(study.cohorts)],
        "origins": origin_rows(study.cohorts, judged),
        "problems": study.problems,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"


def as_csv(study: Study) -> str:
    """The main table for machines: a row for each architecture of each cohort, absent values empty."""
    frames = []
    for summary in study.cohorts:
        frame = tables.main(summary)
        frame.insert(0, "cohort", summary.cohort.key)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).to_csv(index=False, lineterminator="\n")


def _blocks(
    study: Study, labelled: Sequence[LabelStudy], names: Sequence[FigureNames], title: str, claims: Sequence[Claim]
) -> list[Callable[[], Sequence[str]]]:
    """What writes the blocks of the report, in order."""
    several = len(study.cohorts) > 1
    found: list[Callable[[], Sequence[str]]] = [lambda: [f"# {markdown.escape(title)}"]]
    if several:
        found.append(lambda: sections.apart([summary.cohort for summary in study.cohorts]))
    found.append(lambda: origin_blocks(study.cohorts, claims))
    found += [partial(label_blocks, each, label_figure_name(each)) for each in labelled]
    for number, (summary, figures) in enumerate(zip(study.cohorts, names, strict=True), start=1):
        if several:
            found.append(partial(_group, number, len(study.cohorts), summary.cohort))
        each = sections.cohort_sections(summary, figures, claims)
        found += [partial(section.blocks, "###" if several else "##") for section in each]
    if study.problems:
        listed = "\n".join(f"- {markdown.escape(problem)}" for problem in study.problems)
        found.append(lambda: ["## Records left out", listed])
    return found


def _group(number: int, of: int, cohort: Cohort) -> list[str]:
    runs = markdown.plural(len(cohort.runs), "run")
    runs += ", each architecture under its own recipe" if cohort.own_recipes else ""
    return [f"## Group {number} of {of}: {runs}{sections.limited(cohort)}"]


def _facts(metric: Metric) -> dict[str, object]:
    return {"heading": metric.heading, "unit": metric.unit, "better": metric.better, "definition": metric.definition}


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
        "differences": [
            row
            for metric in metrics_in("main")
            if metric.per_image
            for row in tables.rows(tables.differences(summary, metric.name))
        ],
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
        "preparation": tables.rows(usage.preparation(summary)),
        "anatomy": tables.rows(usage.anatomy(summary)),
        "memory": tables.rows(usage.memory(summary)),
        "energy": tables.rows(usage.energy(summary)),
        "contention": tables.rows(usage.contention(summary)),
        "gpu": tables.rows(gpu_table.gpu(summary)),
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
