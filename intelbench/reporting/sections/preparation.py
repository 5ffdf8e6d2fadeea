"""How training steps were carried out, where the conditions ask for something else than eager ones."""

from collections.abc import Sequence
from statistics import median

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Items, Paragraph
from intelbench.reporting.formatting import escape
from intelbench.reporting.rows import Row
from intelbench.results import usage
from intelbench.results.summaries import CohortSummary

_AS_ASKED = {"graph": "were replayed from a CUDA graph", "compile": "were compiled by `torch.compile`"}
_PREPARING = {"graph": "Capturing it", "compile": "Compiling them"}


def preparation(summary: CohortSummary) -> list[Block]:
    """Say in how many runs steps were carried out as asked, how long that was prepared, and why it was not possible."""
    runs = list(usage.preparation(summary))
    kind = summary.cohort.spec.conditions.step
    if not runs or kind not in _AS_ASKED:
        return []
    as_asked = [row for row in runs if row["fallback"] is None]
    number = f"{len(as_asked)} of {plural(len(runs), 'run')}" if len(runs) > 1 else "the run"
    answer = f"The forward and the backward pass of a training step {_AS_ASKED[kind]} in {number}."
    if not as_asked:
        answer = f"No run has steps of the kind `{kind}` throughout, which its conditions ask for."
    prepared = [row["preparation_seconds"] or 0.0 for row in runs if row["num_prepared"]]
    if prepared:
        seconds = formatting.significant(median(prepared))
        answer += f" {_PREPARING[kind]} took {seconds} s a run (median), outside the budget and in no step time."
    return [Paragraph(answer), *_fallbacks(runs)]


def _fallbacks(runs: Sequence[Row]) -> list[Block]:
    """List the runs of each architecture with eager steps, and why; nothing where there are none."""
    seeds: dict[tuple[str, str, bool], list[int]] = {}
    for row in runs:
        if reason := row["fallback"]:
            key = (row["architecture"], reason, row["num_prepared"] > 0)
            seeds.setdefault(key, []).append(row["seed"])
    if not seeds:
        return []
    lines = [
        f"{escape(name)}, {'seed' if len(of) == 1 else 'seeds'} {formatting.numbers(of)}: "
        f"{'from some step on, ' if partly else ''}{escape(reason)}"
        for (name, reason, partly), of in seeds.items()
    ]
    number = plural(sum(map(len, seeds.values())), "run")
    return [
        Paragraph(f"**Steps were eager in {number}**, so their times are those of eager steps:"),
        Items(lines),
    ]
