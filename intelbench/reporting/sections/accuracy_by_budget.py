"""Accuracy by budget: validation accuracy by each unit of cost, and where the lead changes hands."""

from collections.abc import Mapping, Sequence
from functools import partial

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Figure, Items, Paragraph
from intelbench.reporting.figures import accuracy_plots
from intelbench.reporting.formatting import escape
from intelbench.results import efficiency
from intelbench.results.efficiency import Crossing, Crossings, Lead, Unit
from intelbench.results.summaries import CohortSummary

_BY: Mapping[Unit, str] = {"seconds": "seconds", "steps": "steps", "images": "images", "flops": "FLOPs"}


def accuracy_by_budget(summary: CohortSummary) -> list[Block]:
    """Return the curves and their crossings; nothing where no architecture was evaluated during training."""
    if not has_curves(summary):
        return []
    unknown = [escape(a.name) for a in summary.finished if a.runs[0].measurements.training_flops_per_image is None]
    caption = (
        "Validation accuracy at the evaluation points, against what had been spent until then. Lines: mean over the "
        "runs; bands: from the lowest to the highest run. Finished runs only."
    )
    if unknown:
        caption += f" FLOPs are not known of {formatting.listed(unknown)}."
    if any(record.spec.conditions.recipe.schedule != "constant" for record in summary.cohort.records):
        caption += (
            " The learning rate follows a schedule over the whole budget: a run that is given less comes to the end of "
            "its schedule sooner, and may do better there than these runs did in passing."
        )
    description = "Validation accuracy by steps, images, seconds and FLOPs"
    figure = Figure("budgets", description, partial(accuracy_plots.budgets, summary))
    return [figure, Paragraph(caption), *_crossings(summary)]


def has_curves(summary: CohortSummary) -> bool:
    """Whether all runs of some architecture were evaluated during training."""
    return any(all(len(run.evaluation_step) for run in architecture.runs) for architecture in summary.finished)


def _crossings(summary: CohortSummary) -> list[Block]:
    """Say at which budget the ranking changes, where that is significant."""
    if len(summary.finished) < 2:
        return []
    compared = efficiency.crossings(summary)
    if not compared:
        why = "no two architectures have a stretch of their curves in common"
        if summary.correct is None:
            why = "nothing may be ranked here"
        elif not summary.ranked:
            why = "no two architectures have two finished seeds in common, which a test takes"
        return [Paragraph(f"**Where curves cross** was not tested: {why}.")]
    crossings = [_crossing(each, crossing, summary) for each in compared for crossing in each.distinguishable]
    level = "at the level of the look of the pair" if summary.sequential else "5 % level"
    note = (
        "Tested at every evaluation point of every pair in the range that both cover, with straight lines between the "
        "points: Student's t, paired by seed, for these validation images, Holm-corrected over all pairs and points "
        f"of a unit, {level}; intervals are not corrected. At a point at which one of the two was not evaluated, a "
        "lead has to exceed what the bend of its curve could be. A crossing counts if the lead is distinguishable both "
        "before and after it."
    )
    return [Paragraph(_answer(compared)), *([Items(crossings)] if crossings else []), Paragraph(note)]


def _answer(compared: Sequence[Crossings]) -> str:
    pairs = {each.unit: plural(each.num_pairs, "pair") for each in compared}
    crossed = [f"{each.num_crossed} of {pairs[each.unit]} by {_BY[each.unit]}" for each in compared]
    if any(each.distinguishable for each in compared):
        return f"**The ranking changes with the budget** (mean curves cross for {formatting.listed(crossed)}):"
    return (
        f"**No crossing is beyond the noise.** Mean curves cross for {formatting.listed(crossed)}, but nowhere is one "
        "architecture distinguishably ahead before and the other after."
    )


def _crossing(compared: Crossings, crossing: Crossing, summary: CohortSummary) -> str:
    amount = partial(_amount, compared.unit, summary.cohort.batch_sizes)

    def lead(name: str, by: Lead) -> str:
        return f"{escape(name)} is ahead by {formatting.points(by.difference)} points at {amount(by.spent)}"

    return (
        f"{lead(crossing.first, crossing.before)}, {lead(crossing.second, crossing.after)}; "
        f"the mean curves cross at {amount(crossing.spent)}."
    )


def _amount(unit: Unit, batch_sizes: Sequence[int], value: float) -> str:
    """Write `27.3 s`, `step 41 (656 images)`, `12.9 TFLOPs`; a step of several batch sizes is no number of images."""
    if unit == "seconds":
        return f"{formatting.significant(value)} s"
    if unit == "flops":
        return f"{formatting.si(value)}FLOPs"
    images = f" ({formatting.count(round(value) * batch_sizes[0])} images)" if len(batch_sizes) == 1 else ""
    return f"step {formatting.count(round(value))}{images}"
