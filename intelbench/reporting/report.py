"""Records in, report out: a pure function of the files in a folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from intelbench.errors import UserError
from intelbench.plugins.registry import Entry
from intelbench.reporting import markdown, narrative
from intelbench.reporting.document import Block, Document, Items, Paragraph, Section, figures
from intelbench.reporting.formatting import escape, listed
from intelbench.reporting.plugin_sections import blocks_of, sections
from intelbench.reporting.sections import CLAIMS, PLANNER, ReportSection
from intelbench.reporting.sections.claims import published_claims
from intelbench.reporting.sections.executions import accuracy_across_executions
from intelbench.reporting.sections.groups import group_title, groups
from intelbench.reporting.sections.label_efficiency import label_efficiency
from intelbench.reporting.sections.opening import opening
from intelbench.reporting.sections.origins import origin
from intelbench.reporting.sections.planner import planner
from intelbench.reporting.sections.variance import sources_of_variance
from intelbench.results.claims import Claim
from intelbench.results.executions import execution_studies, experiments
from intelbench.results.label_efficiency import label_studies
from intelbench.results.study import Study
from intelbench.results.variance import variance_studies


@dataclass(frozen=True, eq=False)
class Report:
    """The report in Markdown, and the figures that it links to as `figures/NAME`."""

    text: str
    drawings: Mapping[str, Callable[[], bytes]]
    """What draws a figure as SVG, by file name."""

    @cached_property
    def figures(self) -> dict[str, bytes]:
        """Draw the figures, and return their SVG by file name.

        Raises:
            UserError: a figure of a plug-in fails.
        """
        return {name: draw() for name, draw in self.drawings.items()}


def write(study: Study, *, claims: Sequence[Claim] | None = None, full: bool = False) -> Report:
    """Write the report on a study in Markdown; the arguments are those of `compose`."""
    document = compose(study, claims=claims, full=full)
    return Report(markdown.render(document), {figure.name: figure.draw for figure in figures(document)})


def write_plan(study: Study) -> str:
    """Write what would decide the open pairs of each group of records, as Markdown.

    Groups that differ only in how their runs were executed are one experiment, and have one plan.
    """
    blocks: list[Block] = []
    for groups_of_plan, summary in experiments(study.cohorts):
        place, number = groups_of_plan[0], len(study.cohorts)
        planned = planner(summary) or [Paragraph(narrative.ranking_note(summary) or "There is no pair to compare.")]
        if len(groups_of_plan) > 1:
            numbers = listed(map(str, groups_of_plan))
            note = (
                f"Groups {numbers} of the report differ only in how their runs were executed, so this is about all of "
                "them. Times are medians over all of these executions."
            )
            blocks += _section(f"Groups {numbers}", [Paragraph(note), *planned])
        else:
            blocks += planned if number == 1 else _section(group_title(place, number, summary.cohort), planned)
    return markdown.render(Document("Seeds that would decide open pairs", blocks))


def compose(study: Study, *, claims: Sequence[Claim] | None = None, full: bool = False) -> Document:
    """Compose the report on a study as a tree, for any renderer; equal records and claims give equal documents.

    Args:
        study: The records.
        claims: Claims to check; `None` for the published ones, on the data that they are about.
        full: Whether to have every section, and not only those that a reader acts on.
    """
    blocks = [
        *groups([summary.cohort for summary in study.cohorts]),
        *_section("Architecture or recipe", origin(study.cohorts, claims)),
    ]
    joined: set[int] = set()
    for executed in execution_studies(study.cohorts):
        joined |= set(executed.groups)
        planned = _section(PLANNER, planner(executed.pooled))
        blocks += _section("Accuracy across executions", [*accuracy_across_executions(executed), *planned])
    for labelled in label_studies(study.cohorts):
        blocks += _section("Labelled images needed", label_efficiency(labelled))
    for varied in variance_studies(study.cohorts):
        blocks += _section("Sources of variance", sources_of_variance(varied))
    shown = [_with_claims(entry, claims) for entry in sections() if full or entry.value.in_default]
    number = len(study.cohorts)
    for place, summary in enumerate(study.cohorts, start=1):
        cohort_blocks = opening(summary)
        for entry in shown:
            if entry.name == PLANNER and place in joined:
                continue
            of_section = blocks_of(entry, summary)
            cohort_blocks += _section(escape(entry.name), of_section, is_folded=not entry.value.in_default)
        blocks += cohort_blocks if number == 1 else _section(group_title(place, number, summary.cohort), cohort_blocks)
    if not full:
        titles = [escape(entry.name[0].lower() + entry.name[1:]) for entry in sections() if not entry.value.in_default]
        more = f"`intelbench report --full` adds {listed(titles)}, as far as it was recorded."
        blocks.append(Section("More", [Paragraph(more)]))
    problems = [Items(list(map(escape, study.problems)))] if study.problems else []
    document = Document(
        "Image-classification architectures compared", [*blocks, *_section("Records left out", problems)]
    )
    names = [figure.name.lower() for figure in figures(document)]
    for name in {name for name in names if names.count(name) > 1}:
        raise UserError(f"figure {name!r}: another figure of the report has this name. Choose another in the plug-in")
    return document


def _with_claims(entry: Entry[ReportSection], claims: Sequence[Claim] | None) -> Entry[ReportSection]:
    if entry.name != CLAIMS:
        return entry
    return replace(entry, value=replace(entry.value, blocks=partial(published_claims, claims=claims)))


def _section(title: str, blocks: Sequence[Block], *, is_folded: bool = False) -> list[Block]:
    """Return a section, or nothing if it has no blocks."""
    return [Section(title, blocks, is_folded)] if blocks else []
