"""Architecture or recipe: which differences come from architectures and which from their recipes."""

from collections import Counter
from collections.abc import Mapping, Sequence

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.document import (
    MAX_ROWS,
    Block,
    Column,
    Paragraph,
    cell,
    difference_cell,
    pairs_folded,
    table,
    table_of,
)
from intelbench.reporting.formatting import escape
from intelbench.reporting.sections.claims import measured_cell
from intelbench.reporting.verdicts import Verdict, claims_about, verdicts
from intelbench.results import origins
from intelbench.results.claims import Claim
from intelbench.results.metrics import METRICS
from intelbench.results.origins import Contrast, Match, Origin
from intelbench.results.summaries import CohortSummary
from intelbench.results.verdicts import Word

_ORIGINS: Mapping[Origin, str] = {
    "architecture": "architecture: it holds under both, without a significant change",
    "architecture and recipe": "architecture and recipe: it holds under both, and own recipes add to it",
    "reduced by the recipes": "architecture: own recipes reduce it",
    "recipe": "recipe: only under own recipes",
    "hidden by the recipes": "recipe: own recipes hide what identical conditions show",
    "reversed by the recipes": "recipe: reversed under identical conditions",
    "not decided": "not decided",
}
_NO_WORD: Word = "not testable"
_CONCLUSIONS: Mapping[tuple[Word, Word], str] = {
    ("supported", "supported"): "holds under both",
    ("supported", "contradicted"): "recipe: reversed under identical conditions",
    ("supported", "undecided"): "holds under own recipes; under identical conditions not decided",
    ("contradicted", "supported"): "recipe: own recipes reverse what identical conditions show",
    ("contradicted", "contradicted"): "holds under neither",
    ("contradicted", "undecided"): "contradicted under own recipes; under identical conditions not decided",
    ("undecided", "supported"): "holds under identical conditions; under own recipes not decided",
    ("undecided", "contradicted"): "contradicted under identical conditions; under own recipes not decided",
    ("undecided", "undecided"): "not decided",
    ("equivalent", "equivalent"): "equivalent under both",
    ("equivalent", "supported"): "holds under identical conditions; equivalent under own recipes",
    ("equivalent", "contradicted"): "contradicted under identical conditions; equivalent under own recipes",
    ("equivalent", "undecided"): "equivalent under own recipes; under identical conditions not decided",
    ("supported", "equivalent"): "holds under own recipes; equivalent under identical conditions",
    ("contradicted", "equivalent"): "contradicted under own recipes; equivalent under identical conditions",
    ("undecided", "equivalent"): "equivalent under identical conditions; under own recipes not decided",
}
"""By the verdict under own recipes and the one under identical conditions."""


def origin(cohorts: Sequence[CohortSummary], claims: Sequence[Claim] | None) -> list[Block]:
    """Return what own recipes and identical conditions say together; nothing where the records do not hold both."""
    blocks: list[Block] = []
    for match in origins.matches(cohorts):
        blocks += [Paragraph(_introduction(match, cohorts)), *_pairs(match), *_claims(match, claims)]
    return blocks


def conclusion(own: Verdict, identical: Verdict) -> str | None:
    """Say what two verdicts say together; `None` where one of them could not be reached."""
    return _CONCLUSIONS.get((own.verdict, identical.verdict))


def _introduction(match: Match, cohorts: Sequence[CohortSummary]) -> str:
    keys = [summary.cohort.key for summary in cohorts]
    own, identical = (1 + keys.index(each.cohort.key) for each in (match.own, match.identical))
    names = formatting.listed(map(escape, match.architectures))
    return (
        f"Group {own} has {names} **each under its own recipe**, group {identical} has them **under identical "
        "conditions**, on the same images. No accuracy of the one group is compared with one of the other: "
        "what is compared is the difference between two architectures within each. The part of a difference that is "
        "there under identical conditions comes from the architecture; what own recipes add, hide or reverse comes "
        "from the recipe, which is all of budget, optimizer, head, weights and what trains."
    )


def _pairs(match: Match) -> list[Block]:
    """Compare test accuracy pair by pair."""
    contrasts = origins.contrasts(match)
    if not contrasts:
        none = "No pair of them may be ranked under both, so their differences in test accuracy are not compared."
        return [Paragraph(none)]
    if len(contrasts) > MAX_ROWS:
        return []
    in_looks = any(summary.sequential for summary in (match.own, match.identical))
    note = (
        "Differences and intervals are those of each group's own table; **bold** is significant there, Holm-corrected. "
        "**Change**: what own recipes add to the difference, paired by seed and test image, 95 % interval; **p**: of "
        "no change, corrected over these pairs. The recipe is named only where the change itself is significant: "
        "that a difference is found under one of the two and not under the other does not show that they differ, nor "
        "does one that is found under both come from the architecture alone. **Share of the recipe**: the change over "
        "the difference under own recipes, on the same seeds and images, with Fieller's 95 % interval (1954); the rest "
        "up to 100 % is the architecture's, under one recipe. It is above 100 % where identical conditions reverse "
        "the difference, and below 0 where own recipes reduce it."
        + (" Seeds were added in looks, so a change is significant at the level of the look of the pair." * in_looks)
    )
    numbers = Counter(each.origin for each in contrasts)
    counts = [f"{text} ({numbers[origin]})" for origin, text in _ORIGINS.items() if numbers[origin]]
    answer = f"**{plural(len(contrasts), 'pair')} in test accuracy:** {'; '.join(counts)}."
    return [Paragraph(answer), pairs_folded(table_of(_COLUMNS, contrasts)), Paragraph(note)]


def _verdict(contrast: Contrast) -> str:
    """Say where a difference comes from, or why that is not decided."""
    text = _ORIGINS[contrast.origin]
    if contrast.origin != "not decided":
        return text
    significant = [
        name
        for name, pair in (("own recipes", contrast.own), ("identical conditions", contrast.identical))
        if pair.better is not None
    ]
    if not significant:
        return f"{text}: significant under neither"
    why = "one seed in common" if contrast.p_change is None else "the change is not significant"
    return f"{text}: significant under {significant[0]} alone, but {why}"


_share = formatting.with_interval(lambda share: formatting.count(round(100 * share)).replace("-", "−"))
"""`88 [79, 98]`, where the heading has the unit."""
_COLUMNS = (
    Column[Contrast](
        "Test accuracy (points)", lambda each: f"{escape(each.first)} − {escape(each.second)}", is_number=False
    ),
    Column[Contrast]("It comes from", _verdict, is_number=False),
    Column[Contrast]("Own recipes", lambda each: difference_cell(each.own.difference, each.own.better is not None)),
    Column[Contrast](
        "Identical conditions",
        lambda each: difference_cell(each.identical.difference, each.identical.better is not None),
    ),
    Column[Contrast]("Change", lambda each: cell(each.change, formatting.points)),
    Column[Contrast]("p (Holm)", lambda each: cell(each.p_change, formatting.p_value)),
    Column[Contrast]("Share of the recipe (%)", lambda each: cell(each.recipe_share, _share)),
)


def judged(match: Match, claims: Sequence[Claim] | None) -> list[tuple[Verdict, Verdict]]:
    """Return both verdicts on each claim that compares architectures by what was measured."""
    compared = [
        claim
        for claim in claims_about(match.own, claims)
        if claim.comparative and METRICS.get(claim.metric).compared not in ("exact", "confusion")
    ]
    return list(zip(verdicts(match.own, compared), verdicts(match.identical, compared), strict=True))


def _claims(match: Match, claims: Sequence[Claim] | None) -> list[Block]:
    """Judge published conclusions under own recipes and under identical conditions."""
    pairs = judged(match, claims)
    tested = [pair for pair in pairs if _NO_WORD not in (pair[0].verdict, pair[1].verdict)]
    untested = [formatting.code(pair[0].claim.id) for pair in pairs if pair not in tested]
    cells = [
        [
            escape(own.claim.statement, 1000),
            _CONCLUSIONS[own.verdict, identical.verdict],
            *(f"{measured_cell(each)}: {each.verdict}" for each in (own, identical)),
        ]
        for own, identical in tested
    ]
    blocks: list[Block] = []
    if cells:
        headers = ["Published conclusion", "Together", "Own recipes", "Identical conditions"]
        note = (
            "**Published conclusions that compare architectures**, judged in each group as in its section on published "
            "claims. Not decided is what these runs cannot tell: an interval reaches to both sides of no difference, "
            "or after correction for several comparisons a difference is not significant."
        )
        blocks += [Paragraph(note), table(headers, cells, left=4)]
    if untested:
        blocks.append(Paragraph(f"Not testable under both: {formatting.listed(untested)}."))
    return blocks
