"""Records in, report out: a pure function of the files in a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intelbench.reporting import markdown
from intelbench.reporting.document import Block, Document, Items, Paragraph, Section, figures
from intelbench.reporting.formatting import escape, listed
from intelbench.reporting.sections import SectionKind, section_kinds
from intelbench.reporting.sections.groups import group_title, groups
from intelbench.reporting.sections.label_efficiency import label_efficiency
from intelbench.reporting.sections.opening import opening
from intelbench.reporting.sections.origins import origin
from intelbench.results.claims import Claim
from intelbench.results.label_efficiency import label_studies
from intelbench.results.study import Study, read
from intelbench.results.summaries import CohortSummary

TITLE = "Image-classification architectures compared"


@dataclass(frozen=True)
class Report:
    """The report in Markdown, and the figures that it links to as `figures/NAME`."""

    text: str
    figures: Mapping[str, bytes]
    """SVG by file name."""


def build(folder: Path, *, title: str = TITLE, claims: Sequence[Claim] | None = None, full: bool = False) -> Report:
    """Write the report on the records in `folder`; equal records and claims give equal bytes.

    Args:
        folder: Folder of the records.
        title: Title of the report.
        claims: Claims to check; `None` for the published ones, on the data that they are about.
        full: Whether to write every section, and not only those that a reader acts on.

    Raises:
        UserError: there is no readable record.
    """
    return write(read(folder), title=title, claims=claims, full=full)


def write(study: Study, *, title: str = TITLE, claims: Sequence[Claim] | None = None, full: bool = False) -> Report:
    """Write the report on a study; the arguments are those of `build`."""
    document = compose(study, title=title, claims=claims, full=full)
    return Report(markdown.render(document), {figure.name: figure.draw() for figure in figures(document)})


def compose(study: Study, *, title: str = TITLE, claims: Sequence[Claim] | None = None, full: bool = False) -> Document:
    """Compose the report on a study as a tree, for any renderer; the arguments are those of `build`."""
    blocks = [
        *groups([summary.cohort for summary in study.cohorts]),
        *_section("Architecture or recipe", origin(study.cohorts, claims)),
    ]
    for labelled in label_studies(study.cohorts):
        blocks += _section("Labelled images needed", label_efficiency(labelled))
    kinds = [kind for kind in section_kinds(claims) if full or kind.in_default]
    number = len(study.cohorts)
    for place, summary in enumerate(study.cohorts, start=1):
        found = _of_cohort(summary, kinds)
        blocks += found if number == 1 else _section(group_title(place, number, summary.cohort), found)
    if not full:
        blocks.append(_more())
    problems = [Items(list(map(escape, study.problems)))] if study.problems else []
    return Document(escape(title), [*blocks, *_section("Records left out", problems)])


def _of_cohort(summary: CohortSummary, kinds: Sequence[SectionKind]) -> list[Block]:
    blocks = opening(summary)
    for kind in kinds:
        blocks += _section(kind.title, kind.blocks(summary), is_folded=not kind.in_default)
    return blocks


def _section(title: str, blocks: Sequence[Block], *, is_folded: bool = False) -> list[Block]:
    """Return a section, or nothing if it has no blocks."""
    return [Section(title, blocks, is_folded)] if blocks else []


def _more() -> Block:
    titles = [kind.title[0].lower() + kind.title[1:] for kind in section_kinds(None) if not kind.in_default]
    return Section("More", [Paragraph(f"`intelbench report --full` adds {listed(titles)}, as far as it was recorded.")])
