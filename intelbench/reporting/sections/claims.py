"""Published claims: a verdict on each, and how it was reached."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import get_args

from intelbench.errors import plural
from intelbench.reporting import formatting, metrics
from intelbench.reporting.document import Block, Column, Details, Items, Paragraph, cell, table_of
from intelbench.reporting.formatting import ABSENT, code, escape
from intelbench.reporting.verdicts import Verdict, claims_about, verdicts
from intelbench.results.claims import Claim
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import CohortSummary
from intelbench.results.verdicts import Word
from intelbench.statistics.estimates import Estimate

_REPRODUCED = (
    "Reproduced means that the published figure follows from the definition of the network by the arithmetic named in "
    "the notes below; no run measured it. A reproduced memory figure is an estimate that was published, not the memory "
    'that training needs: `intelbench report --full` shows that under "Predicted and measured memory".'
)
_EQUIVALENT = (
    "Equivalent means that the difference is smaller than the margin named in the notes below, whatever its direction."
)
MAX_CHARACTERS = 1000
"""Characters of a text of a claim that are shown."""
_OWN_RECIPES = (
    "Each architecture was trained under its own recipe: a claim about one is judged under that, and a comparison is "
    "one of architecture and recipe together."
)


def published_claims(summary: CohortSummary, claims: Sequence[Claim] | None = None) -> list[Block]:
    """Return the verdicts, why some claims are not testable, and how others were judged; nothing without claims."""
    judged = verdicts(summary, claims_about(summary, claims))
    if not judged:
        return []
    notes = Items(list(map(_note, judged)), numbered=True)
    return [
        Paragraph(_counted(judged) + (f" {_OWN_RECIPES}" if summary.cohort.own_recipes else "")),
        table_of(_COLUMNS, list(enumerate(judged, start=1))),
        *_untestable(judged),
        Details("What is known of each claim, and how it was judged", [notes]),
    ]


def _counted(judged: Sequence[Verdict]) -> str:
    numbers = Counter(each.verdict for each in judged)
    counts = [f"{numbers[word]} {word}" for word in get_args(Word) if numbers[word]]
    return (
        f"{plural(len(judged), 'claim')}: {formatting.listed(counts)}. A verdict is about these runs, under "
        "their conditions. Undecided means that these runs cannot tell, not that the claim is false. Every claim is "
        "a question of its own: nothing is corrected for the number of claims."
        + (f" {_EQUIVALENT}" if numbers["equivalent"] else "")
        + (f" {_REPRODUCED}" if numbers["reproduced"] else "")
    )


def _untestable(judged: Sequence[Verdict]) -> list[Block]:
    """List the reasons, each with the numbers of the claims that it holds for."""
    reasons = defaultdict(list)
    for number, each in enumerate(judged, start=1):
        if each.verdict == "not testable":
            reasons[each.reason].append(number)
    lines = [f"{formatting.numbers(numbers)}: {escape(reason, MAX_CHARACTERS)}." for reason, numbers in reasons.items()]
    return [Paragraph("Not testable, and why:"), Items(lines)] if lines else []


def _note(verdict: Verdict) -> str:
    claim = verdict.claim
    metric = f"Measure: {code(claim.metric)}, {escape(METRICS.get(claim.metric).definition, MAX_CHARACTERS)}."
    accuracy = f" The accuracy is {formatting.percent(claim.accuracy, 0)}." if claim.accuracy is not None else ""
    p_value = f" p {formatting.p_relation(verdict.p_value)}." if verdict.p_value is not None else ""
    reason = ""
    if verdict.reason and verdict.verdict != "not testable":
        reason = f" {escape(verdict.reason[0].upper() + verdict.reason[1:], MAX_CHARACTERS)}."
    known = f" {escape(claim.known, MAX_CHARACTERS)}" if claim.known else ""
    rule = f" {escape(verdict.rule, MAX_CHARACTERS)}" if verdict.rule else ""
    return f"{code(claim.id)} ({escape(claim.source)}).{known} {metric}{accuracy}{rule}{p_value}{reason}"


def published_cell(claim: Claim) -> str:
    """Return the published figure with its tolerance, or who is claimed to be above or below whom."""
    if claim.classes:
        pairs = formatting.listed("/".join(map(escape, pair)) for pair in claim.classes)
        return f"above all other pairs: {pairs}"
    others = formatting.listed(map(escape, claim.others)) if claim.others else "every other"
    if claim.value is None:
        return f"{claim.relation} {'to' if claim.relation == 'equivalent' else 'than'} {others}"
    sign = {"equal": "", "at_least": "≥ ", "at_most": "≤ "}.get(claim.relation, "")
    unit = "times" if claim.others else METRICS.get(claim.metric).unit
    tolerance = f" ± {metrics.figure(claim.tolerance, unit)}" if claim.tolerance else ""
    figure = metrics.figure(claim.value, unit) + (f" {others}" if claim.others else "")
    return f"{sign}{figure}{tolerance}"


def measured_cell(verdict: Verdict) -> str:
    """Say what was measured of a claim, with its interval and against whom."""
    against = f" ({escape(verdict.against, MAX_CHARACTERS)})" if verdict.against else ""
    if verdict.measured is None:
        return f"no figure{against}" if against else ABSENT
    if isinstance(verdict.measured, Estimate):
        return metrics.interval(verdict.measured, verdict.unit) + against
    return metrics.figure(verdict.measured, verdict.unit) + against


_Numbered = tuple[int, Verdict]
_COLUMNS = (
    Column[_Numbered]("", lambda each: cell(each[0], str), is_number=False),
    Column[_Numbered]("Claim", lambda each: escape(each[1].claim.statement, MAX_CHARACTERS), is_number=False),
    Column[_Numbered]("Published", lambda each: published_cell(each[1].claim), is_number=False),
    Column[_Numbered]("Measured here", lambda each: measured_cell(each[1]), is_number=False),
    Column[_Numbered]("Verdict", lambda each: each[1].verdict, is_number=False),
)
