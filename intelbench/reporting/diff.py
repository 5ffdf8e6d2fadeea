"""The comparison of two results folders as Markdown and as JSON."""

from collections import Counter
from collections.abc import Sequence
from typing import get_args

import msgspec

from intelbench.errors import plural
from intelbench.reporting import formatting, markdown, metrics
from intelbench.reporting.document import (
    Block,
    Cell,
    Column,
    Document,
    Items,
    Paragraph,
    Section,
    cell,
    settings_table,
    table,
    table_of,
)
from intelbench.reporting.formatting import code, escape, listed
from intelbench.results.columns import attributes
from intelbench.results.diff import Change, Comparison, Outcome, Verdict
from intelbench.results.metrics import METRICS


def as_markdown(comparison: Comparison, verdicts: Sequence[Verdict], names: tuple[str, str]) -> str:
    """Write what changed, architecture by architecture; `names` are those of the two folders."""
    first, second = map(code, names)
    order = list(METRICS.entries)
    columns = [
        Column[Change]("Metric", lambda change: escape(METRICS.get(change.metric).heading), is_number=False),
        Column[Change]("Architecture", lambda change: escape(change.architecture), is_number=False),
        Column[Change](first, lambda change: metrics.cell(METRICS.get(change.metric), change.before)),
        Column[Change](second, lambda change: metrics.cell(METRICS.get(change.metric), change.after)),
        Column[Change]("Change", lambda change: Cell(_change(change), change.inferred.estimate.mean)),
        Column[Change]("p", lambda change: cell(change.inferred.p_value, formatting.p_value)),
        Column[Change]("Beyond the noise", _reading),
    ]
    blocks: list[Block] = [
        Paragraph(" ".join([_in_short(comparison), _gates_in_short(verdicts)]).strip()),
        table_of(columns, sorted(comparison.changes, key=lambda change: order.index(change.metric))),
        Paragraph(
            "Means over the seeds in common. **Change**: second minus first in points or as a number, or second over "
            "first (×, geometric mean), paired by seed. Intervals are 95 %, over seeds, and over images too for means "
            "over images, which are paired by image; not corrected for the number of rows. **p**: two-sided, of no "
            "change."
        ),
        Paragraph(_seeds(comparison)),
        Section("Differing settings", [_differing(comparison, names)]),
    ]
    if verdicts:
        blocks.append(Section("Gates", _gates(verdicts)))
    if comparison.left_out:
        blocks.append(Section("Left out", [Items(list(map(escape, comparison.left_out)))]))
    return markdown.render(Document(f"{second} against {first}", blocks))


def as_json(comparison: Comparison, verdicts: Sequence[Verdict]) -> str:
    """Write the comparison for machines."""
    content = {
        "changes": [
            {
                **attributes(change, "architecture", "metric"),
                "scale": METRICS.get(change.metric).change,
                "higher_is_better": METRICS.get(change.metric).better == "higher",
                **attributes(change, "before", "after"),
                "change": change.inferred.estimate,
                "p_value": change.inferred.p_value,
                "distinguishable": change.distinguishable,
            }
            for change in comparison.changes
        ],
        "gates": [
            {
                "architecture": verdict.change.architecture,
                **attributes(verdict.gate, "metric", "margin"),
                "p_holm": verdict.p_holm,
                "worse_by_at_most": verdict.change.worst,
                "outcome": verdict.outcome,
            }
            for verdict in verdicts
        ],
        **attributes(comparison, "seeds", "differing", "num_same_runs", "left_out"),
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"


def complaint(verdict: Verdict) -> str:
    """Say for the terminal why a gate has not passed, and what helps where it is undecided."""
    change, gate = verdict.change, verdict.gate
    if verdict.outcome == "failed":
        p_value = formatting.p_value(verdict.p_holm)
        reason = f"is worse by more than {gate.margin:g} ({_change(change)}; p {p_value} after Holm's correction)"
    else:
        reason = (
            f"may be worse by up to {_bound(change)}, so {change.before.n} seeds do not show that it is worse by at "
            f"most {gate.margin:g} ({_change(change)}). Run more seeds in both folders, or accept a larger margin"
        )
    return f"{change.architecture}: {gate.metric} {reason}"


def _in_short(comparison: Comparison) -> str:
    """Say which metrics got better or worse, and for which architectures."""
    if len(comparison.copied) == sum(map(bool, comparison.seeds.values())):
        return "**The compared runs are the same runs in both folders, which shows nothing.**"
    if not any(change.inferred.p_value is not None for change in comparison.changes):
        return "One seed in common gives no estimate of the noise, so no change is tested."
    clauses, unchanged = [], []
    for name, entry in METRICS.entries.items():
        changes = [change for change in comparison.changes if change.metric == name]
        heading, distinct = escape(entry.value.heading), [change for change in changes if change.distinguishable]
        for word in ("better", "worse"):
            names = [f"{code(each.architecture)} ({_change(each)})" for each in distinct if _reading(each) == word]
            clauses += [f"{heading} is {word} for {listed(names)}."] if names else []
        unchanged += [heading] if changes and not distinct else []
    return " ".join([*clauses, *([f"Nothing beyond the noise: {listed(unchanged)}."] if unchanged else [])])


def _gates_in_short(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    if outcomes["passed"] == len(verdicts):
        return f"{plural(len(verdicts), 'gate')} passed."
    counts = [f"{outcomes[word]} {word}" for word in get_args(Outcome) if outcomes[word]]
    return f"**Of {plural(len(verdicts), 'gate')}: {listed(counts)}.**"


def _change(change: Change) -> str:
    return metrics.change(METRICS.get(change.metric), change.inferred.estimate)


def _reading(change: Change) -> str:
    return ("better" if change.better else "worse") if change.distinguishable else "no"


def _seeds(comparison: Comparison) -> str:
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for name, seeds in comparison.seeds.items():
        by_seeds.setdefault(seeds, []).append(name)
    clauses = [
        f"{listed(map(code, names))} on {plural(len(seeds), 'seed')} ({formatting.numbers(seeds)})"
        for seeds, names in by_seeds.items()
        if seeds
    ]
    same = comparison.num_same_runs
    verb, whose = ("is", "its") if same == 1 else ("are", "their")
    copies = f" {same} of these runs {verb} the same in both folders, so {whose} change is 0 by definition."
    return f"Compared: {'; '.join(clauses)}.{copies if same else ''}"


def _differing(comparison: Comparison, names: tuple[str, str]) -> Block:
    if not comparison.differing:
        return Paragraph("Nothing that is recorded: the same conditions, images, machine and libraries.")
    return settings_table(["", *map(code, names)], comparison.differing)


def _gates(verdicts: Sequence[Verdict]) -> list[Block]:
    cells: list[list[Cell | str]] = [
        [
            code(f"{verdict.gate.metric}:{verdict.gate.margin:g}"),
            escape(verdict.change.architecture),
            _change(verdict.change),
            Cell(_bound(verdict.change), verdict.change.worst),
            cell(verdict.p_holm, formatting.p_value),
            verdict.outcome if verdict.outcome == "passed" else f"**{verdict.outcome}**",
        ]
        for verdict in verdicts
    ]
    note = (
        "**Worse by at most**: one-sided 95 % bound; a gate passes where it lies within the margin (a test of "
        "non-inferiority at 5 %). A gate fails where the metric is worse by more than the margin: one-sided t test at "
        "5 %, Holm-corrected over all gates and architectures. Else these runs cannot decide."
    )
    return [
        table(["Gate", "Architecture", "Change", "Worse by at most", "p (Holm)", ""], cells, left=2),
        Paragraph(note),
    ]


def _bound(change: Change) -> str:
    """Write by how much a metric is worse at most: `1.2 points`, `3.4 %` of a ratio, or a number."""
    metric, worst = METRICS.get(change.metric), change.worst
    if worst is None:
        return formatting.ABSENT
    if metric.change == "points":
        return f"{formatting.signed_percent(worst)} points"
    return f"{formatting.signed_percent(worst)} %" if metric.change == "ratio" else metrics.bare(metric, worst)
