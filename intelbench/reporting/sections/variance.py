"""Sources of variance: how much test accuracy varies if only one thing differs between the seeds."""

import math

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Column, Paragraph, cell, table_of
from intelbench.reporting.formatting import code, listed, span
from intelbench.reporting.narrative import MAX_NAMES, names_or_number, source_name
from intelbench.reporting.rows import ARCHITECTURE, Row, estimate, number
from intelbench.results.tables import estimate_of
from intelbench.results.variance import Source, VarianceStudy, variance_table
from intelbench.statistics.estimates import Estimate


def sources_of_variance(study: VarianceStudy) -> list[Block]:
    """Return which source is the largest, and variance and share of each source."""
    if not study.sources:
        return [Paragraph("**Not said:** no architecture has finished runs with one recipe in these groups.")]
    return [Paragraph(_answer(study)), table_of(_COLUMNS, variance_table(study)), Paragraph(_note(study))]


def _answer(study: VarianceStudy) -> str:
    """Say which source is the largest, or what the runs cannot say."""
    if all(source.variance is None for source in study.sources):
        return "**Not said:** one seed in each group shows no variance."
    if not study.largest:
        return (
            "**Not said:** which source is the largest needs two sources that were varied alone, with two seeds each."
        )
    named = {name: largest for name, largest in study.largest.items() if largest.distinguishable}
    said = [_largest(name, largest.source) for name, largest in list(named.items())[:MAX_NAMES]]
    sentences = (
        [f"**In short:** of the sources that were varied alone, the largest is {'; '.join(said)}."] if said else []
    )
    if undecided := [name for name in study.largest if name not in named]:
        numbers = {each.num_seeds for each in study.sources if each.architecture in undecided and each.vary != "all"}
        opening = "" if sentences else "**In short:** "
        names = names_or_number(undecided)
        sentences.append(f"{opening}{span(numbers, 'seed')} cannot say which source is the largest for {names}.")
    return " ".join(sentences)


def _largest(name: str, source: Source) -> str:
    """Write `` `init` (initial weights) for `a`, with a standard deviation of 0.81 [0.56, 1.48] points``."""
    deviation = _POINTS(_deviation(source.variance))
    return f"{source_name(source.vary)} for {code(name)}, with a standard deviation of {deviation} points"


def _deviation(variance: Estimate | None) -> Estimate | None:
    """Return the standard deviation of a variance, with the roots of its interval."""
    if variance is None or variance.low is None or variance.high is None:
        return None
    return Estimate(math.sqrt(variance.mean), math.sqrt(variance.low), math.sqrt(variance.high), variance.n)


def _note(study: VarianceStudy) -> str:
    """Say what the numbers mean, and what they do not hold."""
    largest = max(math.sqrt(source.accuracy * (1 - source.accuracy) / study.num_test) for source in study.sources)
    binomial = formatting.significant(100 * largest)
    lines = [
        f"These are groups {listed(map(str, sorted(study.groups)))}, which differ in nothing but what varies between "
        f"their seeds; what does not vary keeps seed {study.fixed_seed}. Standard deviation and share are those of "
        "test accuracy over the seeds (n − 1), with 95 % intervals from the chi-square and the F distribution "
        "(docs/statistics.md).",
        f"All runs were tested on the same {plural(study.num_test, 'image')}, and nothing is subtracted: networks that "
        "are equally good on all images differ on these, and this part is in every row. Other test images would change "
        f"the accuracies too, by a binomial standard deviation of up to {binomial} points; that is in no row.",
    ]
    same = sorted({each.architecture for each in study.sources if each.variance and not each.variance.mean})
    if same:
        lines.append(
            f"A variance of 0 ({listed(map(code, same[:MAX_NAMES]))}) means that the seeds gave equal accuracies: the "
            "source changes nothing there, such as `dropout` in a network without it."
        )
    if study.summaries[0].cohort.in_seconds:
        lines.append("The budget is in seconds, so runs differ in their number of steps too, in every row.")
    if "all" in study.varied:
        lines.append(
            "**Share**: variance of the source divided by the variance if every random stream varies (`all`). Shares "
            "do not have to add up to 100 %, because sources interact."
        )
        if "split" in study.varied:
            lines.append("The split does not vary in `all`, so its variance is in addition to that of `all`.")
    else:
        lines.append("There are no shares, because in no group every random stream varies (`all`).")
    return " ".join(lines)


_POINTS = formatting.with_interval(lambda share: formatting.significant(100 * share))
_COLUMNS = (
    ARCHITECTURE,
    Column[Row]("Varies between the seeds", lambda row: source_name(row["vary"]), is_number=False),
    number("Seeds", "num_runs", formatting.count),
    number("Mean test accuracy (%)", "test_accuracy", formatting.bare_percent),
    Column[Row]("Standard deviation (points)", lambda row: cell(_deviation(estimate_of(row, "variance")), _POINTS)),
    estimate("Share of the variance of `all` (%)", "share", _POINTS),
)
