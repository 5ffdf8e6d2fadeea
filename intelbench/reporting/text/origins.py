"""The section on what comes from architectures and what from recipes, and its rows for machines."""

from collections import Counter
from collections.abc import Mapping, Sequence

from intelbench.reporting import markdown
from intelbench.reporting.markdown import ABSENT, escape
from intelbench.reporting.text.claims import measured_cell
from intelbench.reporting.text.comparison import MAX_OPEN_PAIRS, MAX_PAIRS
from intelbench.reporting.text.verdicts import Verdict, Word, verdicts
from intelbench.results import origins
from intelbench.results.claims import Claim
from intelbench.results.metrics import METRICS
from intelbench.results.origins import Contrast, Match, Origin
from intelbench.results.summaries import CohortSummary
from intelbench.results.tables import Row, estimate_columns
from intelbench.statistics.inference import PairedDifference

_ORIGINS: Mapping[Origin, str] = {
    "architecture": "architecture: it holds under both",
    "recipe": "recipe: only under own recipes",
    "hidden by the recipes": "recipe: own recipes hide what identical conditions show",
    "reversed by the recipes": "recipe: reversed under identical conditions",
    "not decided": "not decided",
}
_NO_WORD: Word = "not testable here"
_CONCLUSIONS: Mapping[tuple[Word, Word], str] = {
    ("supported", "supported"): "architecture: it holds under both",
    ("supported", "contradicted"): "recipe: reversed under identical conditions",
    ("supported", "inconclusive"): "holds under own recipes; under identical conditions not decided",
    ("contradicted", "supported"): "recipe: own recipes reverse what identical conditions show",
    ("contradicted", "contradicted"): "holds under neither",
    ("contradicted", "inconclusive"): "contradicted under own recipes; under identical conditions not decided",
    ("inconclusive", "supported"): "holds under identical conditions; under own recipes not decided",
    ("inconclusive", "contradicted"): "contradicted under identical conditions; under own recipes not decided",
    ("inconclusive", "inconclusive"): "not decided",
}
"""By the verdict under own recipes and the one under identical conditions."""


def origin_blocks(cohorts: Sequence[CohortSummary], claims: Sequence[Claim]) -> list[str]:
    """What own recipes and identical conditions say together; nothing where the records do not hold both."""
    blocks: list[str] = []
    for match in origins.matches(cohorts):
        blocks += [_introduction(match, cohorts), *_pairs(match), *_claims(match, claims)]
    return ["## Architecture or recipe?", *blocks] if blocks else []


def origin_rows(cohorts: Sequence[CohortSummary], claims: Sequence[Claim]) -> list[Row]:
    """One row for each pair of cohorts that can be held against each other, in base units."""
    return [
        {
            "own_recipes": match.own.cohort.key,
            "identical": match.identical.cohort.key,
            "pairs": [_pair_row(contrast) for contrast in origins.contrasts(match)],
            "claims": [
                {
                    "id": own.claim.id,
                    "own_recipes": own.verdict,
                    "identical": identical.verdict,
                    "conclusion": _CONCLUSIONS.get((own.verdict, identical.verdict)),
                }
                for own, identical in _judged(match, claims)
            ],
        }
        for match in origins.matches(cohorts)
    ]


def _introduction(match: Match, cohorts: Sequence[CohortSummary]) -> str:
    own, identical = (1 + _place(each, cohorts) for each in (match.own, match.identical))
    names = markdown.listed(map(escape, match.architectures))
    return (
        f"Group {own} has {names} **each under its own recipe**, group {identical} has them **under identical "
        "conditions**, on the same images. No accuracy of the one stands beside one of the other here: what is "
        "compared is how far two architectures are apart within each. A difference that is there under both comes from "
        "the architecture; one that own recipes make, hide or reverse comes from the recipe, which is all of budget, "
        "optimizer, head, weights and what trains."
    )


def _place(summary: CohortSummary, cohorts: Sequence[CohortSummary]) -> int:
    return next(place for place, each in enumerate(cohorts) if each is summary)


def _pairs(match: Match) -> list[str]:
    """Test accuracy, pair by pair."""
    found = origins.contrasts(match)
    if not found:
        return ["No pair of them may be ranked under both, so their differences in test accuracy are not compared."]
    if len(found) > MAX_PAIRS:
        return []
    cells = [
        [
            f"{escape(each.first)} − {escape(each.second)}",
            _verdict(each),
            _difference(each.own),
            _difference(each.identical),
            markdown.points(each.change) if each.change else ABSENT,
            markdown.p_value(each.p_change),
        ]
        for each in found
    ]
    headers = ["Test accuracy (points)", "It comes from", "Own recipes", "Identical conditions", "Change", "p (Holm)"]
    table = markdown.table(headers, cells, left=2)
    if len(cells) > MAX_OPEN_PAIRS:
        table = markdown.details(f"All {len(cells)} pairs", table)
    note = (
        "Differences and intervals are those of each group's own table; **bold** is told apart there, Holm-corrected. "
        "**Change**: what own recipes add to the difference, paired by seed and test image, 95 % interval; **p**: of "
        "no change, corrected over these pairs. The recipe is named only where the change itself is beyond the noise: "
        "that a difference is found under one of the two and not under the other does not show that they differ."
    )
    return [_counted(found), table, note]


def _counted(found: Sequence[Contrast]) -> str:
    numbers = Counter(each.origin for each in found)
    counts = [f"{_ORIGINS[origin]} ({numbers[origin]})" for origin in _ORIGINS if numbers[origin]]
    return f"**{markdown.plural(len(found), 'pair')} in test accuracy:** {'; '.join(counts)}."


def _difference(pair: PairedDifference) -> str:
    text = markdown.points(pair.difference)
    return text if pair.better is None else f"**{text}**"


def _verdict(contrast: Contrast) -> str:
    """Where it comes from; where that is not decided, why."""
    text = _ORIGINS[contrast.origin]
    if contrast.origin != "not decided":
        return text
    apart = [
        name
        for name, pair in (("own recipes", contrast.own), ("identical conditions", contrast.identical))
        if pair.better is not None
    ]
    if not apart:
        return f"{text}: told apart under neither"
    why = "one seed in common" if contrast.p_change is None else "the change is not distinguishable"
    return f"{text}: told apart under {apart[0]} alone, but {why}"


def _pair_row(contrast: Contrast) -> Row:
    return {
        "first": contrast.first,
        "second": contrast.second,
        **estimate_columns("own_recipes", contrast.own.difference),
        "own_recipes_p_holm": contrast.own.p_holm,
        **estimate_columns("identical", contrast.identical.difference),
        "identical_p_holm": contrast.identical.p_holm,
        **estimate_columns("change", contrast.change),
        "change_p_holm": contrast.p_change,
        "origin": contrast.origin,
    }


def _judged(match: Match, claims: Sequence[Claim]) -> list[tuple[Verdict, Verdict]]:
    """Of each claim that compares architectures by what was measured: both verdicts."""
    compared = [
        claim
        for claim in claims
        if claim.comparative and METRICS.get(claim.metric).compared not in ("exact", "confusion")
    ]
    return list(zip(verdicts(match.own, compared), verdicts(match.identical, compared), strict=True))


def _claims(match: Match, claims: Sequence[Claim]) -> list[str]:
    """Published conclusions under both."""
    judged = _judged(match, claims)
    tested = [pair for pair in judged if _NO_WORD not in (pair[0].verdict, pair[1].verdict)]
    untested = [markdown.code(pair[0].claim.id) for pair in judged if pair not in tested]
    cells = [
        [
            escape(own.claim.statement, 1000),
            _CONCLUSIONS[own.verdict, identical.verdict],
            *(f"{measured_cell(each)}: {each.verdict}" for each in (own, identical)),
        ]
        for own, identical in tested
    ]
    blocks = []
    if cells:
        headers = ["Published conclusion", "It comes from", "Own recipes", "Identical conditions"]
        blocks = [
            "**Published conclusions that compare architectures**, judged in each group as in its section on published "
            "claims. Not decided is what these runs cannot tell: an interval reaches to both sides of no difference, "
            "or after correction for several comparisons a difference is not beyond the noise.",
            markdown.table(headers, cells, left=4),
        ]
    if untested:
        blocks.append(f"Not testable under both: {markdown.listed(untested)}.")
    return blocks
