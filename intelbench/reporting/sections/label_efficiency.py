"""Labelled images needed: how many it takes to reach an accuracy."""

import math
from functools import partial

from intelbench.errors import plural
from intelbench.reporting import formatting, narrative
from intelbench.reporting.document import (
    MAX_ROWS,
    Block,
    Cell,
    Column,
    Figure,
    Paragraph,
    Table,
    cell,
    difference_cell,
    pairs_folded,
    table_of,
)
from intelbench.reporting.figures import accuracy_plots
from intelbench.reporting.formatting import ABSENT, code, escape
from intelbench.results.label_efficiency import (
    TARGET_STEP,
    LabelComparison,
    LabelCurve,
    LabelStudy,
    images_of_each_class,
)
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate


def label_efficiency(study: LabelStudy) -> list[Block]:
    """Return accuracy by number of images, who needs the fewest, and every pair."""
    blocks: list[Block] = [Paragraph(_answer(study)), _accuracies(study)]
    if study.curves:
        name, description = f"labels-{study.key}.svg", "Test accuracy by training images of each class"
        blocks.append(Figure(name, description, partial(accuracy_plots.label_curves, study)))
        blocks.append(Paragraph(_caption(study)))
    return [*blocks, Paragraph(_note(study)), *_pairs(study)]


def _answer(study: LabelStudy) -> str:
    curves, target = study.curves, study.target
    if not curves:
        return (
            "**Not said:** no architecture has finished runs of one seed with every number of images, on demonstrably "
            "the same batches."
        )
    if target is None:
        return f"**Not said:** no multiple of {TARGET_STEP} % above chance is an accuracy that all architectures reach."
    to_reach = f"**In short:** to reach a test accuracy of {formatting.percent(target, 0)}"
    if len(curves) == 1:
        number = _number(curves[0].needed(target), curves[0])
        return f"{to_reach}, {code(curves[0].name)} needs {number} images of each class."
    if all(pair.p_holm is None for pair in study.comparisons):
        return f"{to_reach}, one seed does not show which architecture needs fewer images."
    untested = narrative.untested((p.first.name, p.second.name) for p in study.comparisons if p.p_holm is None)
    said: list[str] = []
    for curve in curves:
        others = [each.more.name for each in study.comparisons if each.fewer is curve and each.more]
        if len(others) == len(curves) - 1:
            number = _number(curve.needed(target), curve)
            said.insert(0, f"{code(curve.name)} needs the fewest images of each class, {number}")
        elif others:
            names = narrative.names_or_number(others, "others")
            said.append(f"{code(curve.name)} needs fewer images of each class than {names}")
    if not said:
        subject = narrative.none_differ([curve.name for curve in curves])
        said = [f"{subject} significantly different in how many images they need"]
    return " ".join([f"{to_reach}, {'; '.join(said[: narrative.MAX_NAMES])}.", *untested])


def _accuracies(study: LabelStudy) -> Table:
    columns = [
        Column[str]("Architecture", escape, is_number=False),
        *(Column[str](_heading(summary), partial(_accuracy, summary)) for summary in study.summaries),
    ]
    if (target := study.target) is not None:
        curves = {curve.name: curve for curve in study.curves}
        title = f"Images of each class for {formatting.percent(target, 0)}"
        columns.append(Column(title, lambda name: _needed(curves[name], target) if name in curves else ABSENT))
    return table_of(columns, study.names)


def _needed(curve: LabelCurve, target: float) -> Cell:
    estimate = curve.needed(target)
    return Cell(_number(estimate, curve), estimate.mean if estimate.mean <= curve.points[-1] else math.inf)


def _heading(summary: CohortSummary) -> str:
    """Write `10`, `all (346)`."""
    number = formatting.count(round(images_of_each_class(summary)))
    return number if summary.cohort.spec.images_per_class else f"all ({number})"


def _accuracy(summary: CohortSummary, name: str) -> Cell:
    accuracies = (a.test_accuracy for a in summary.architectures if a.name == name)
    return cell(next(accuracies, None), formatting.percent_interval)


def _number(estimate: Estimate, curve: LabelCurve) -> str:
    """Write `34.2 [28.1, 41.0]`; `≤ 10` and `> 346` at the ends of what was run."""
    fewest, most = curve.points[0], curve.points[-1]

    def bounded(number: float) -> str:
        if number <= fewest:
            return f"≤ {formatting.count(round(fewest))}"
        return f"> {formatting.count(round(most))}" if number > most else formatting.significant(number)

    return formatting.with_interval(bounded)(estimate)


def _caption(study: LabelStudy) -> str:
    numbers = sorted({len(curve.seeds) for curve in study.curves})
    seeds = plural(numbers[0], "seed")
    if len(numbers) > 1:
        seeds = f"the {numbers[0]} to {numbers[-1]} seeds that each has finished with every number"
    caption = f"Lines: mean over {seeds}; bands: 95 % interval over seeds and test images."
    if study.target is not None:
        caption += f" Dotted: {formatting.percent(study.target, 0)}."
    missing = [escape(name) for name in study.names if name not in {curve.name for curve in study.curves}]
    if missing:
        caption += f" Not drawn, because finished runs with every number are missing: {formatting.listed(missing)}."
    return caption


def _note(study: LabelStudy) -> str:
    """Say what was held equal, and what the numbers mean."""
    groups = formatting.listed(map(str, sorted(study.groups)))
    cohort = study.summaries[0].cohort
    lines = [
        f"These are groups {groups}, which differ in nothing but the number of training images. In each class they "
        "are the first ones of an order that the seed gives to the contents: the same for every architecture, and "
        "fewer are part of more. Another seed draws others, so the intervals hold that too. Validation and test images "
        "are always all of them.",
        f"The budget of {' or '.join(map(str, cohort.budgets))} is the same for every number of images, "
        + (
            "and an epoch of fewer images has fewer steps: fewer labels also meant less training."
            if any(budget.unit == "epochs" for budget in cohort.budgets)
            else "so that each image is seen more often where there are fewer."
        ),
    ]
    if cohort.own_recipes:
        lines.append("Each architecture has a recipe of its own, so a difference is one of both.")
    if study.target is not None:
        lines.append(
            f"The target is the highest multiple of {TARGET_STEP} % that all reach. **Images of each class**: where "
            "the mean accuracy first reaches it, on straight lines over the logarithm between the numbers that were "
            "run [every number at which the target is within the 95 % interval of the accuracy]."
        )
    return " ".join(lines)


def _pairs(study: LabelStudy) -> list[Block]:
    """Compare every pair at every number of images, and which needs fewer for the target."""
    if len(study.comparisons) > MAX_ROWS or all(pair.p_holm is None for pair in study.comparisons):
        return []
    columns = [
        Column[LabelComparison](
            "Pair", lambda pair: f"{escape(pair.first.name)} − {escape(pair.second.name)}", is_number=False
        ),
        *(Column[LabelComparison](_heading(each), partial(_difference, each)) for each in study.summaries),
        Column("p (Holm)", lambda pair: cell(pair.p_holm, formatting.p_value)),
        Column("Needs fewer", _fewer),
    ]
    in_looks = any(summary.sequential for summary in study.summaries)
    level = "the smallest level of the looks of the pair" if in_looks else "5 %"
    note = (
        "Differences of test accuracy in points, with their 95 % intervals over seeds and images; in bold where the "
        "two are significantly different (Holm's correction over the pairs of each number). **p (Holm)**: of equal "
        "needs for the target, over seeds and images, corrected over all pairs (how: docs/statistics.md); at "
        f"{level} one of them needs fewer."
    )
    return [pairs_folded(table_of(columns, study.comparisons)), Paragraph(note)]


def _fewer(pair: LabelComparison) -> str:
    if pair.fewer:
        return escape(pair.fewer.name)
    return "not tested" if pair.p_holm is None else "not significantly different"


def _difference(summary: CohortSummary, pair: LabelComparison) -> Cell:
    """Show the difference of a pair in one group, bold where it is significant."""
    names = [architecture.name for architecture in summary.finished]
    first, second = names.index(pair.first.name), names.index(pair.second.name)
    for each in summary.accuracy_differences:
        if {each.first, each.second} == {first, second}:
            difference = each.difference if each.first == first else -each.difference
            return difference_cell(difference, each.better is not None)
    return Cell(ABSENT)
