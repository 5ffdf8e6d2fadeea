"""Differences: every pair of architectures on the same seeds and images."""

from collections.abc import Sequence
from functools import partial

from intelbench.errors import plural
from intelbench.reporting import formatting, metrics
from intelbench.reporting.document import (
    MAX_ROWS,
    Block,
    Cell,
    Column,
    Details,
    Paragraph,
    listing,
    pairs_folded,
    table_of,
)
from intelbench.reporting.formatting import ABSENT, code, escape
from intelbench.reporting.rows import PAIR, Row, estimate, number
from intelbench.results import tables
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.sequential import SequentialComparison
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import SIGNIFICANCE
from intelbench.statistics.outliers import outlying_runs, wide_spreads

MAX_SEED_COLUMNS = 50
_OWN_RECIPES = (
    "Each architecture was trained under its own recipe: a difference here is one of two architectures **with their "
    "recipes**. Only runs under one recipe for all show how much of it comes from the architecture."
)
_SPENDING = {"obrien-fleming": "O'Brien-Fleming type", "pocock": "Pocock type"}
_LEVEL = number("Level", "significance", formatting.significant)
_TESTED = (number("p", "p_value", formatting.p_value), number("p (Holm)", "p_holm", formatting.p_value))


def _answer(row: Row) -> str:
    better = row["better"]
    if row["answer"] is None:
        return "not tested"
    if row["answer"] == "equivalent":
        return "equivalent" + (f"; {escape(better)} is better by less than the margin" if better else "")
    return f"{escape(better)} is better" if better else "undecided"


_ANSWER = Column[Row]("Answer", _answer, is_number=False)


def differences(summary: CohortSummary) -> list[Block]:
    """Compare every pair on the same seeds and images; nothing where no two may be compared."""
    pairs = tables.differences(summary)
    if not 0 < len(pairs) <= MAX_ROWS:
        return []
    metric, own = metrics.ranking(summary), summary.cohort.own_recipes
    difference = estimate(metrics.subject(metric, summary), "difference", partial(metrics.difference, metric))
    columns = [PAIR, difference, *_TESTED, _ANSWER]
    if summary.sequential:
        columns.insert(-1, _LEVEL)
    if summary.sequential or len({row["num_seeds"] for row in pairs}) > 1:
        columns.insert(1, number("Seeds", "num_seeds", formatting.count))
    blocks: list[Block] = [Paragraph(_OWN_RECIPES)] if own else []
    blocks += [pairs_folded(table_of(columns, pairs)), Paragraph(_method(summary, pairs))]
    blocks += [Paragraph(looks(summary.sequential, summary.margin))] if summary.sequential else []
    blocks += _warnings(summary)
    if summary.ranking.is_accuracy:
        blocks += [*_omnibus(summary), _seed_by_seed(pairs)]
    else:
        blocks += _by_metric(METRICS.get("test_accuracy"), summary)
    for other in metrics_in("main"):
        if other.of_logits and other is not metric:
            blocks += _by_metric(other, summary)
    return blocks


def _by_metric(metric: Metric, summary: CohortSummary) -> list[Block]:
    """Compare every pair by a metric that does not rank."""
    name = escape(metric.heading)
    pairs = tables.differences(summary, metric.name)
    subject = estimate(f"Difference in {name}", "difference", partial(metrics.change, metric))
    return [Details(f"Pairs by {name}", [table_of([PAIR, subject, *_TESTED, _ANSWER], pairs)])] if pairs else []


def _method(summary: CohortSummary, pairs: Sequence[Row]) -> str:
    numbers = [row["num_seeds"] for row in pairs]
    if max(numbers) < 2:
        return "n = 1: one seed tells nothing of how far another would have come out differently."
    level = "**Level**" if summary.sequential else f"{100 * summary.significance:.2g} %"
    untested = " A pair with one seed in common is not tested, and not part of the correction."
    return (
        f"n = {formatting.span(numbers, 'seed')} × {len(summary.runs[0].test_ids):,} test images, the same for both of "
        f"a pair.{untested if min(numbers) < 2 else ''} "
        "**Difference**: mean, with its 95 % interval over seeds and images, not corrected for the number of pairs; "
        "the variance between seeds is moderated by that of all architectures (docs/statistics.md). **p**: two-sided t "
        "test of the same. **p (Holm)**: corrected over all pairs, by Holm (1979) for the moderated test, or twice the "
        f"p by the variances of the two alone, whichever is larger. **Answer**: better at {level}; equivalent if the "
        "difference is shown to be smaller than the margin of "
        f"{metrics.ranking(summary).margin(summary.margin)} (two one-sided tests, Holm-corrected); else "
        f"undecided.{_margin_note(summary)}"
    )


def _margin_note(summary: CohortSummary) -> str:
    """Say where the margin is from, if the runs have another one too."""
    metric = metrics.ranking(summary)
    newest, *older = summary.cohort.margins
    if summary.sequential or (summary.margin == newest and not older):
        return ""
    if summary.margin != newest:
        return f" The report was given this margin; that of the suite is {metric.margin(newest)}."
    others = formatting.listed(metric.margin(other) for other in older)
    return f" The margin is that of the suite of the newest run; earlier runs had {others}."


def looks(sequential: SequentialComparison, margin: float) -> str:
    """Say at which numbers of seeds results were tested, how far that came, and which levels and margin were used."""
    design, race, in_points = sequential.design, sequential.race, METRICS.get("test_accuracy").margin
    if not race.num_looks:
        reached = "No look is complete yet"
    elif race.over:
        reached = f"The comparison ended at the look at {design.looks[race.num_looks - 1]} seeds"
    else:
        reached = f"The last complete look is the one at {design.looks[race.num_looks - 1]} seeds"
    levels = zip(design.looks, race.looks.levels[: race.num_looks], strict=False)
    used = "; ".join(f"{formatting.significant(level, 2)} at {number} seeds" for number, level in levels)
    sentences = [
        f"Seeds were added in looks at {formatting.listed(map(str, design.looks))} seeds. The significance level of "
        f"{formatting.percent(design.significance, 0)} is spent over the looks ({_SPENDING[design.spending]}; Lan and "
        f"DeMets, 1983). {reached}{f' (levels: {used})' if used else ''}. A pair has the seeds and the **Level** of "
        "the look at which it was decided or last tested; an architecture that is significantly worse than another one "
        "gets no further seeds. Intervals are not corrected for the looks.",
    ]
    if margin != design.margin:
        sentences.append(
            f"The looks stopped by the margin of their design, {in_points(design.margin)}. Equivalence is tested here "
            f"within {in_points(margin)}, at the same levels, which is as sure if that margin was not chosen by these "
            "results; pairs that it leaves undecided get no more seeds from this design."
        )
    if race.failed:
        names = formatting.listed(formatting.code(design.architectures[index]) for index in race.failed)
        sentences.append(f"Left because a run failed: {names}.")
    if sequential.added_seeds:
        left = formatting.significant(race.level_left, 2) if race.level_left else "none"
        sentences.append(
            f"{plural(len(sequential.added_seeds), 'seed')} beyond the looks "
            f"({formatting.numbers(sequential.added_seeds)}): pairs that have them were tested once more, at the level "
            f"that the looks have left ({left})."
        )
    if sequential.outsiders:
        sentences.append(
            f"Not in the design: {formatting.listed(map(formatting.code, sequential.outsiders))}; pairs with them were "
            f"tested once, at {formatting.percent(SIGNIFICANCE, 0)}."
        )
    return " ".join(sentences)


def _warnings(summary: CohortSummary) -> list[Block]:
    """Name architectures and runs that stand out so far that the p values may be too small."""
    table, metric = summary.values, metrics.ranking(summary)
    if table is None:
        return []
    names = [code(architecture.name) for architecture in summary.finished]
    signs = [
        f"the seeds of {names[wide.architecture]} vary {wide.own / wide.others:.1f} times as much as those of the "
        f"others (standard deviation {metrics.bare(metric, wide.own)} against {metrics.bare(metric, wide.others)}"
        f"{metrics.unit(metric)})"
        for wide in wide_spreads(table.means, table.finished)
    ]
    signs += [
        f"seed {table.seeds[run.seed]} of {names[run.architecture]} is "
        f"{metrics.bare(metric, abs(run.deviation))}{metrics.unit(metric)} "
        f"{'above' if run.deviation > 0 else 'below'} the median of its other seeds"
        for run in outlying_runs(table.means, table.finished)
    ]
    if not signs:
        return []
    return [
        Paragraph(
            f"**Seeds that stand out:** {formatting.listed(signs)}. If a few seeds of an architecture are much worse "
            "than the rest, its p values are too small and its intervals too short, because the mean of a few seeds "
            "mostly misses the bad ones: no test that was tried keeps its error then (docs/statistics.md)."
        )
    ]


def _omnibus(summary: CohortSummary) -> list[Block]:
    seeds = [row for row in list(tables.omnibus(summary)) if row["num_architectures"] > 2]
    if not seeds:
        return []
    statistics = [row["statistic"] or 0.0 for row in seeds]
    low, high = formatting.significant(min(statistics)), formatting.significant(max(statistics))
    largest = max(row["p_value"] or 0.0 for row in seeds)
    spread = low if low == high else f"{low} to {high}"
    freedoms = [row["degrees_of_freedom"] for row in seeds]
    freedom = " to ".join(map(str, dict.fromkeys((min(freedoms), max(freedoms)))))
    text = (
        f"All at once, Cochran's Q (1950) of the networks of each seed, as they were trained: Q = {spread} with "
        f"{freedom} degrees of freedom; largest p of {plural(len(seeds), 'seed')} "
        f"{formatting.p_relation(largest)}."
    )
    return [Paragraph(text)]


def _seed_by_seed(pairs: Sequence[Row]) -> Block:
    """Show how many images only one of two got right, and McNemar's test, for the networks of each seed."""
    seeds = sorted({seed for row in pairs for seed in row["seeds"]})
    columns = [PAIR, *(Column(f"Seed {seed}", partial(_discordant, seed)) for seed in seeds)]
    note = (
        "Images that only the first got right : only the second (p of McNemar's exact test, 1947). It compares two "
        "networks as they were trained, not two architectures: another seed gives other networks."
    )
    title = "Discordant images, seed by seed"
    return listing(title, len(seeds), lambda: [Paragraph(note), table_of(columns, pairs)], limit=MAX_SEED_COLUMNS)


def _discordant(seed: int, row: Row) -> Cell:
    if seed not in row["seeds"]:
        return Cell(ABSENT)
    place = row["seeds"].index(seed)
    first, second, p = (row[name][place] for name in ("first_only", "second_only", "mcnemar_p_values"))
    return Cell(f"{first} : {second} ({formatting.p_value(p)})", first - second)
