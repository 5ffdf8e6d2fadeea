"""The comparison of two results folders as Markdown and as JSON."""

from collections.abc import Sequence

import msgspec

from intelbench.reporting import formatting, markdown, metrics
from intelbench.reporting.document import Block, Cell, Document, Items, Paragraph, Section, cell, table
from intelbench.reporting.formatting import code, escape, listed
from intelbench.results.diff import Change, Comparison, Verdict
from intelbench.results.metrics import METRICS
from intelbench.statistics.estimates import Estimate


def as_markdown(comparison: Comparison, verdicts: Sequence[Verdict], names: tuple[str, str]) -> str:
    """What changed, architecture by architecture; `names` are those of the two folders."""
    first, second = map(code, names)
    headers = ["Metric", "Architecture", first, second, "Change", "p", "Beyond the noise"]
    blocks: list[Block] = [
        Paragraph(" ".join([_in_short(comparison), _gates_in_short(verdicts)]).strip()),
        table(headers, [_row(change) for change in _by_metric(comparison)], left=2),
        Paragraph(
            "Means over the seeds in common, with their 95 % interval over seeds. **Change**: second minus first in "
            "points or as a number, or second over first (×, geometric mean), paired by seed, for test accuracy "
            f"{_and_plugins(comparison)}by seed and image, with its 95 % interval; not corrected for the number of "
            "rows. **p**: two-sided, of no change."
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
    """The same numbers for machines."""
    content = {
        "changes": [
            {
                "architecture": change.architecture,
                "metric": change.metric,
                "scale": METRICS.get(change.metric).change,
                "higher_is_better": METRICS.get(change.metric).better == "higher",
                "before": _plain(change.before),
                "after": _plain(change.after),
                "change": _plain(change.inferred.estimate),
                "p_value": change.inferred.p_value,
                "distinguishable": change.distinguishable,
            }
            for change in comparison.changes
        ],
        "gates": [
            {
                "architecture": verdict.change.architecture,
                "metric": verdict.gate.metric,
                "margin": verdict.gate.margin,
                "p_holm": verdict.p_holm,
                "failed": verdict.failed,
            }
            for verdict in verdicts
        ],
        "seeds": comparison.seeds,
        "differing": comparison.differing,
        "left_out": comparison.left_out,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"


def failure_line(verdict: Verdict) -> str:
    """What failed, for the terminal."""
    return (
        f"{verdict.change.architecture}: {verdict.gate.metric} is worse by more than {verdict.gate.margin:g} "
        f"({_change(verdict.change)}; p {formatting.p_value(verdict.p_holm)} after Holm's correction)"
    )


def _in_short(comparison: Comparison) -> str:
    """What got better or worse, each for itself."""
    clauses = []
    compared = [name for name in METRICS.entries if any(change.metric == name for change in comparison.changes)]
    for metric in compared:
        changes = [c for c in comparison.changes if c.metric == metric and c.distinguishable]
        for word, found in (
            ("better", [c for c in changes if c.better]),
            ("worse", [c for c in changes if not c.better]),
        ):
            if found:
                who = listed(f"{code(change.architecture)} ({_change(change)})" for change in found)
                clauses.append(f"{escape(METRICS.get(metric).heading)} is {word} for {who}.")
    if not any(change.inferred.p_value is not None for change in comparison.changes):
        return "One seed in common gives no estimate of the noise, so no change is tested."
    unchanged = [escape(METRICS.get(name).heading) for name in compared if not _distinguishable(comparison, name)]
    if unchanged:
        clauses.append(f"Nothing beyond the noise: {listed(unchanged)}.")
    return " ".join(clauses)


def _gates_in_short(verdicts: Sequence[Verdict]) -> str:
    failed = [verdict for verdict in verdicts if verdict.failed]
    if failed:
        return f"**{len(failed)} of {formatting.plural(len(verdicts), 'gate')} failed.**"
    return f"{formatting.plural(len(verdicts), 'gate')} passed." if verdicts else ""


def _by_metric(comparison: Comparison) -> list[Change]:
    order = list(METRICS.entries)
    return sorted(comparison.changes, key=lambda change: order.index(change.metric))


def _row(change: Change) -> list[Cell | str]:
    reading = ("better" if change.better else "worse") if change.distinguishable else "no"
    return [
        escape(METRICS.get(change.metric).heading),
        escape(change.architecture),
        metrics.cell(METRICS.get(change.metric), change.before),
        metrics.cell(METRICS.get(change.metric), change.after),
        Cell(_change(change), change.inferred.estimate.mean),
        cell(change.inferred.p_value, formatting.p_value),
        reading,
    ]


def _change(change: Change) -> str:
    return metrics.change(METRICS.get(change.metric), change.inferred.estimate)


def _and_plugins(comparison: Comparison) -> str:
    has_some = any(METRICS.get(change.metric).of_logits for change in comparison.changes)
    return "and the metrics of plug-ins " if has_some else ""


def _seeds(comparison: Comparison) -> str:
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for name, seeds in comparison.seeds.items():
        by_seeds.setdefault(seeds, []).append(name)
    clauses = [
        f"{listed(map(code, names))} on {formatting.plural(len(seeds), 'seed')} ({formatting.numbers(seeds)})"
        for seeds, names in by_seeds.items()
        if seeds
    ]
    return f"Compared: {'; '.join(clauses)}."


def _differing(comparison: Comparison, names: tuple[str, str]) -> Block:
    if not comparison.differing:
        return Paragraph("Nothing that is recorded: the same conditions, images, machine and libraries.")
    cells = [
        [code(key), *(escape(formatting.fact(value)) for value in values)]
        for key, values in comparison.differing.items()
    ]
    return table(["", *map(code, names)], cells, left=3)


def _gates(verdicts: Sequence[Verdict]) -> list[Block]:
    cells = [
        [
            code(f"{verdict.gate.metric}:{verdict.gate.margin:g}"),
            escape(verdict.change.architecture),
            _change(verdict.change),
            formatting.p_value(verdict.p_holm),
            "**failed**" if verdict.failed else "passed",
        ]
        for verdict in verdicts
    ]
    note = (
        "A gate fails where the metric is worse by more than the margin, beyond the noise: one-sided t test at 5 %, "
        "Holm-corrected over all gates and architectures. Passing does not prove that nothing got worse."
    )
    return [table(["Gate", "Architecture", "Change", "p (Holm)", ""], cells, left=2), Paragraph(note)]


def _distinguishable(comparison: Comparison, metric: str) -> bool:
    return any(change.metric == metric and change.distinguishable for change in comparison.changes)


def _plain(estimate: Estimate) -> dict[str, float | int | None]:
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}
