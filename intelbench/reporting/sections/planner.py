"""Planner: how many more seeds would decide the open pairs."""

from functools import partial

from intelbench.errors import plural
from intelbench.reporting import formatting, metrics
from intelbench.reporting.document import MAX_ROWS, Block, Cell, Column, Paragraph, pairs_folded, table_of
from intelbench.reporting.formatting import code, listed
from intelbench.reporting.rows import PAIR, Row, estimate, number
from intelbench.results.planner import Plan, plan, plan_table
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.planning import ASSURANCE, MAX_SEEDS

_IN_LOOKS = (
    "Seeds were added in planned looks, which decide how many there are: `intelbench run --until decided` continues "
    "them. After the last look no significance level is left, so seeds that are added by hand decide nothing; more "
    "seeds need a comparison of their own, in another folder."
)


def planner(summary: CohortSummary) -> list[Block]:
    """Return what would decide the open pairs; nothing where no pair could be compared."""
    planned = plan(summary)
    if not planned.num_pairs:
        return []
    if summary.sequential and any(pair.answer == "undecided" for pair in summary.differences):
        return [Paragraph(_IN_LOOKS)]
    if not planned.open_pairs:
        return [Paragraph(f"Nothing is open: {plural(planned.num_pairs, 'pair')} decided.")]
    pairs, metric = plan_table(summary)[:MAX_ROWS], metrics.ranking(summary)
    columns = [
        PAIR,
        estimate(metrics.subject(metric, summary), "difference", partial(metrics.difference, metric)),
        number("Seeds so far", "num_seeds", str),
        Column[Row]("More seeds", _more_seeds),
        number("Time for both (min)", "seconds", lambda seconds: formatting.significant(seconds / 60)),
    ]
    note = (
        "**More seeds**: with that number added, the pair is significantly different or equivalent within the margin "
        f"with {formatting.percent(ASSURANCE, 0)} assurance, if the true difference is the one seen here (averaged "
        "over the posterior of the variance; O'Hagan et al., 2005). **Time**: the seeds of both architectures, one run "
        "after the other, at the median time of their runs here. **>**: more than "
        f"{MAX_SEEDS} seeds in all."
    )
    return [Paragraph(_answer(planned)), pairs_folded(table_of(columns, pairs)), Paragraph(note)]


def _answer(planned: Plan) -> str:
    number, total = len(planned.open_pairs), planned.num_pairs
    verb = "is" if number == 1 else "are"
    text = f"{number} of {plural(total, 'pair')} {verb} undecided."
    if planned.more_seeds:
        seeds = listed(f"{plural(more, 'more seed')} of {code(name)}" for name, more in planned.more_seeds.items())
        text += (
            f" To decide those that more seeds are likely to decide, run {seeds}: "
            f"{formatting.significant(planned.seconds / 60)} minutes on the machine of the records."
        )
    if undecidable := sum(pair.needs_images for pair in planned.open_pairs):
        need, them = ("needs", "it") if undecidable == 1 else ("need", "them")
        text += f" {plural(undecidable, 'pair')} {need} more test images: no number of seeds decides {them}."
    return text


def _more_seeds(row: Row) -> Cell:
    more = row["more_seeds"]
    if more is not None:
        return Cell(str(more), more)
    return Cell("more test images" if row["needs_images"] else f"> {MAX_SEEDS - row['num_seeds']}", None)
