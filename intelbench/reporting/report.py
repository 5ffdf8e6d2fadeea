"""Records in, report out: a pure function of the files in a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from intelbench.reporting import markdown
from intelbench.reporting.document import Block, Document, Items, Section, figures
from intelbench.reporting.formatting import escape
from intelbench.reporting.sections import section_kinds
from intelbench.reporting.sections.groups import group_title, groups
from intelbench.reporting.sections.label_efficiency import label_efficiency
from intelbench.reporting.sections.opening import opening
from intelbench.reporting.sections.origins import origin
from intelbench.results.claims import Claim, load_claims
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


def build(folder: Path, *, title: str = TITLE, claims: Sequence[Claim] | None = None) -> Report:
    """Write the report on the records below `folder`; the same records and claims give the same bytes.

    Without `claims` it checks the published ones.

    Raises:
        UserError: there is no readable record.
    """
    return write(read(folder), title=title, claims=claims)


def write(study: Study, *, title: str = TITLE, claims: Sequence[Claim] | None = None) -> Report:
    """Write the report on records that were read."""
    document = compose(study, title=title, claims=claims)
    return Report(markdown.render(document), {figure.name: figure.draw() for figure in figures(document)})


def compose(study: Study, *, title: str = TITLE, claims: Sequence[Claim] | None = None) -> Document:
    """Compose the report on records that were read, for any renderer."""
    checked = load_claims() if claims is None else claims
    blocks = [
        *groups([summary.cohort for summary in study.cohorts]),
        *_section("Architecture or recipe?", origin(study.cohorts, checked)),
    ]
    for labelled in label_studies(study.cohorts):
        blocks += _section("How many labels?", label_efficiency(labelled))
    number = len(study.cohorts)
    for place, summary in enumerate(study.cohorts, start=1):
        found = _of_cohort(summary, checked)
        blocks += found if number == 1 else _section(group_title(place, number, summary.cohort), found)
    problems = [Items(list(map(escape, study.problems)))] if study.problems else []
    return Document(escape(title), [*blocks, *_section("Records left out", problems)])


def _of_cohort(summary: CohortSummary, claims: Sequence[Claim]) -> list[Block]:
    blocks = opening(summary)
    for kind in section_kinds(claims):
        blocks += _section(kind.title, kind.blocks(summary))
    return blocks


def _section(title: str, blocks: Sequence[Block]) -> list[Block]:
    """A section; nothing where it has nothing to say."""
    return [Section(title, blocks)] if blocks else []
