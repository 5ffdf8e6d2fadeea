"""Sections of the report on accuracy for what it costs; laid out from `efficiency`, as others are from `tables`."""

from collections.abc import Mapping, Sequence
from typing import Any

from intelbench.reporting import markdown
from intelbench.reporting.markdown import ABSENT, escape
from intelbench.reporting.text import metrics
from intelbench.reporting.text.section import Section
from intelbench.results import efficiency
from intelbench.results.efficiency import Crossing, Crossings, Lead, Unit
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import CohortSummary
from intelbench.results.tables import estimate_of, rows
from intelbench.statistics.estimates import Estimate
from intelbench.statistics.resampling import NUM_RESAMPLES

NEVER = "∞"
_BY: Mapping[Unit, str] = {"seconds": "seconds", "steps": "steps", "images": "images", "flops": "FLOPs"}

Row = Mapping[str, Any]


def efficiency_sections(summary: CohortSummary, figure: str | None) -> list[Section]:
    """All of them that the records hold something for; `figure` is the file of the curves."""
    found: list[Section] = []
    if figure is not None:
        found.append(Section("Accuracy by budget", lambda: curves(summary, figure)))
        found.append(Section("Time to an accuracy", lambda: time_to_accuracy(summary)))
    if len(summary.finished) > 1:
        found.append(Section("Accuracy for its cost", lambda: pareto(summary)))
    return found


def curves(summary: CohortSummary, figure: str) -> list[str]:
    """Validation accuracy by each unit, and where the lead changes hands."""
    unknown = [escape(a.name) for a in summary.finished if a.measured("training_flops_per_image") is None]
    caption = (
        "Validation accuracy at the evaluation points, against what had been spent until then. Lines: mean over the "
        "runs; bands: from the lowest to the highest run. Finished runs only."
    )
    if unknown:
        caption += f" FLOPs are not known of {markdown.listed(unknown)}."
    if any(record.spec.conditions.recipe.schedule != "constant" for record in summary.cohort.records):
        caption += (
            " The learning rate follows a schedule over the whole budget: a run that is given less comes to the end of "
            "its schedule sooner, and may do better there than these runs did in passing."
        )
    image = f"![Validation accuracy by steps, images, seconds and FLOPs](figures/{figure})"
    return [image, caption, *crossings(summary)]


def crossings(summary: CohortSummary) -> list[str]:
    """At which budget the ranking changes, where that is beyond the noise."""
    if len(summary.finished) < 2:
        return []
    compared = efficiency.crossings(summary)
    if not compared:
        return [f"**Where curves cross** was not tested: {_untested(summary)}."]
    found = [_crossing(each, crossing, summary) for each in compared for crossing in each.found]
    note = (
        "Tested at every evaluation point of every pair in the range that both cover, with straight lines between the "
        "points: Student's t, paired by seed, on the same validation images, Holm-corrected over all pairs and points "
        "of a unit, 5 % level; intervals are not corrected. A crossing counts if the lead is distinguishable both "
        "before and after it."
    )
    return [_answer(compared), *(["\n".join(found)] if found else []), note]


def time_to_accuracy(summary: CohortSummary) -> list[str]:
    """How long until validation accuracy first reached each rung of a ladder that no result has chosen."""
    found, rungs = rows(efficiency.time_to_accuracy(summary)), efficiency.ladder(len(summary.data.class_names))
    if not found:
        return [f"No run reached {_percent(rungs[0])}." if rungs else "With one class there is nothing to reach."]
    targets = list(dict.fromkeys(row["target"] for row in found))
    cells = {(row["architecture"], row["target"]): row for row in found}
    names = [architecture.name for architecture in summary.architectures]
    table = [[escape(name), *(_reached(cells[name, target]) for target in targets)] for name in names]
    headers = ["Seconds to validation accuracy", *map(_percent, targets)]
    missed = next((f"; no run reached {_percent(rung)}" for rung in rungs if rung not in targets), "")
    points = markdown.plural(summary.cohort.spec.conditions.evaluation_points, "evaluation point")
    note = (
        "Training time until validation accuracy first reached it at an evaluation point: median over all runs, and "
        f"how many of them reached it. A run that did not, or failed, counts as infinite ({NEVER}), so the median is "
        "finite only if more than half of the runs got there. The targets are all multiples of 10 % above chance, "
        f"fixed beforehand{missed}. Times are no finer than the {points} of a run: it got there at some moment since "
        "the point before."
    )
    return [
        markdown.table(headers, table),
        note,
        markdown.details("The same in seconds, steps and FLOPs, from the quickest run to the slowest", _by_unit(found)),
    ]


def pareto(summary: CohortSummary) -> list[str]:
    """Who is on the front of test accuracy and each kind of cost, and how surely."""
    found = rows(efficiency.pareto(summary))
    if not found:
        return ["Who is on the Pareto front is not said where nothing may be ranked."]
    kinds = list(dict.fromkeys(row["cost"] for row in found))
    cells = {(row["architecture"], row["cost"]): row for row in found}
    headers = ["Architecture", "Test accuracy"]
    for kind in kinds:
        headers += [METRICS.get(kind).heading, "On the front (%)"]
    table = []
    for architecture in summary.finished:
        line = [escape(architecture.name), _test_accuracy(cells[architecture.name, kinds[0]])]
        for kind in kinds:
            line += [_cost(kind, cells[architecture.name, kind]["value"]), _share(cells[architecture.name, kind])]
        table.append(line)
    return [
        markdown.table(headers, table),
        _pareto_note(found[0]["num_seeds"]),
        "\n".join(metrics.definitions(map(METRICS.get, kinds), summary)),
    ]


def _answer(compared: Sequence[Crossings]) -> str:
    pairs = {each.unit: markdown.plural(each.num_pairs, "pair") for each in compared}
    crossed = [f"{each.num_crossed} of {pairs[each.unit]} by {_BY[each.unit]}" for each in compared]
    if any(each.found for each in compared):
        return f"**The ranking changes with the budget** (mean curves cross for {markdown.listed(crossed)}):"
    return (
        f"**No crossing is beyond the noise.** Mean curves cross for {markdown.listed(crossed)}, but nowhere is one "
        "architecture distinguishably ahead before and the other after."
    )


def _crossing(compared: Crossings, crossing: Crossing, summary: CohortSummary) -> str:
    def amount(value: float) -> str:
        return _amount(value, compared.unit, summary.cohort.batch_sizes)

    def lead(name: str, by: Lead) -> str:
        return f"{escape(name)} is ahead by {markdown.points(by.difference)} points at {amount(by.spent)}"

    return (
        f"- {lead(crossing.first, crossing.before)}, {lead(crossing.second, crossing.after)}; "
        f"the mean curves cross at {amount(crossing.spent)}."
    )


def _untested(summary: CohortSummary) -> str:
    if not summary.correct.size:
        return "nothing may be ranked here"
    if summary.correct.shape[1] < 2:
        return "one seed cannot tell two curves apart"
    return "no two architectures have a stretch of their curves in common"


def _amount(value: float, unit: Unit, batch_sizes: Sequence[int]) -> str:
    """`27.3 s`, `step 41 (656 images)`, `12.9 TFLOPs`; a step of several batch sizes is no number of images."""
    if unit == "seconds":
        return f"{markdown.significant(value)} s"
    if unit == "flops":
        return f"{markdown.si(value)}FLOPs"
    images = f" ({markdown.count(round(value) * batch_sizes[0])} images)" if len(batch_sizes) == 1 else ""
    return f"step {markdown.count(round(value))}{images}"


def _percent(share: float) -> str:
    return markdown.percent(share, 0)


def _reached(row: Row) -> str:
    seconds = NEVER if row["seconds"] is None else markdown.significant(row["seconds"])
    return f"{seconds} ({row['num_reached']} of {row['num_runs']})"


def _by_unit(found: Sequence[Row]) -> str:
    cells = [
        [
            _percent(row["target"]),
            escape(row["architecture"]),
            f"{row['num_reached']} of {row['num_runs']}",
            *(_range(row, unit) for unit in efficiency.COMPARED_UNITS),
        ]
        for row in found
    ]
    headers = ["Target", "Architecture", "Reached", "Seconds", "Steps", "TFLOPs"]
    return markdown.table(headers, cells, left=2)


def _range(row: Row, unit: Unit) -> str:
    """Median [least, most] over the runs."""
    median, least, most = (_spent(row, unit, end) for end in ("", "_least", "_most"))
    return median if median == ABSENT or least == NEVER else f"{median} [{least}, {most}]"


def _spent(row: Row, unit: Unit, end: str) -> str:
    """What is missing is infinite, unless the seconds are there."""
    value = row[f"{unit}{end}"]
    if value is None:
        return NEVER if row[f"seconds{end}"] is None else ABSENT
    if unit == "steps":
        return markdown.count(value)
    return markdown.significant(value / 1e12 if unit == "flops" else value)


def _test_accuracy(row: Row) -> str:
    return markdown.percent_interval(estimate_of(row, "test_accuracy"))


def _share(row: Row) -> str:
    """How often it is on the front; never all or none of the resamples where another one could differ."""
    share = row["front_share"]
    if share is not None and not row["front_certain"]:
        share = min(max(share, 0.5 / NUM_RESAMPLES), 1 - 0.5 / NUM_RESAMPLES)
    share = markdown.bare_percent(share)
    return f"**{share}**" if row["on_front"] else share


def _cost(kind: str, value: float | None) -> str:
    return metrics.cell(METRICS.get(kind), None if value is None else Estimate(value, None, None, 1))


def _pareto_note(num_seeds: int) -> str:
    drawn = "seeds and test images" if num_seeds > 1 else "test images, there being one seed"
    return (
        f"Means over {markdown.plural(num_seeds, 'seed')} that all have finished. An architecture is on the Pareto "
        "front if no other one costs no more and is no less accurate, and better in one of the two. **On the front**: "
        f"in how many of {NUM_RESAMPLES:,} bootstrap resamples of {drawn}; in bold, those on the front of the means "
        "themselves; 100.0 only where an architecture costs least, so that no resample could change it. Costs are "
        "taken as they are: where two are nearly the same, which is the lower may be chance."
    )
