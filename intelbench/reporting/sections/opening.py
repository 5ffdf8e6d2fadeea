"""The first sentences of the report: what a busy reader may act on, and nothing that is inside the noise."""

from collections.abc import Sequence

from intelbench.errors import plural
from intelbench.reporting import metrics, narrative
from intelbench.reporting.document import Block, Paragraph
from intelbench.reporting.formatting import code, listed, percent, significant, times_interval
from intelbench.reporting.narrative import MAX_NAMES, names_or_number
from intelbench.reporting.sections.disturbances import disturbed_answer
from intelbench.reporting.sections.robustness import Robustness, margin_of, without_disturbed_runs
from intelbench.results import answers, baseline, choice
from intelbench.results.answers import Pair
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import ArchitectureSummary, CohortSummary


def opening(summary: CohortSummary) -> list[Block]:
    """Return what may be concluded, and one paragraph on who was compared, on what and how."""
    said = " ".join(filter(None, [narrative.reading(summary), disturbed_answer(summary)]))
    return [Paragraph(text) for text in (headline(summary), said) if text]


def headline(summary: CohortSummary) -> str:
    """Say who is better than whom by the metric that ranks, who failed or learnt nothing, and who is faster.

    It is empty where nothing can be said.

    Architectures are compared on at least two seeds; the majority baseline is compared with every one.
    """
    sentences = [*narrative.failures(summary), *_learnt_nothing(summary)]
    if summary.ranked:
        concluded = answers.answer(summary)
        robust = Robustness.of(summary, concluded)
        compared = " ".join(filter(None, [_compared(summary, robust), narrative.not_compared(summary)]))
        sentences = [compared, *_within_margin(summary, robust), *sentences, *_speed(summary, robust)]
        sentences += [*robust.note, *without_disturbed_runs(summary, concluded)]
    if not sentences:
        return ""
    terms = "each architecture under its own recipe" if summary.cohort.own_recipes else "at this budget"
    return " ".join([f"**In short:** on these images, {terms},", *sentences])


def _compared(summary: CohortSummary, robust: Robustness) -> str:
    metric, (better, worse) = metrics.ranking(summary), metrics.comparatives(summary)
    names = [architecture.name for architecture in summary.ranked]
    top = [architecture.name for architecture in summary.ranked if architecture.rank == 1]
    if len(top) == len(names):
        return _nothing_apart(summary, robust)
    beaten = robust.concluded.better
    below_all = [name for name in names if all((winner, name) in beaten for winner in top)]
    sentences = []
    if len(top) > 1:
        but = robust.not_different(top)
        sentences.append(f"{names_or_number(top)} are not significantly different in {metrics.noun(metric)}{but}")
    if below_all:
        subject, verb = code(top[0]), "is"
        if len(top) > 1:
            subject, verb = f"{'both' if len(top) == 2 else f'all {len(top)}'} of them", "are"
        gaps = [(winner, name) for winner in top for name in below_all]
        gap = _in_one_bracket(_smallest_gap(summary, gaps), robust.bracket({*gaps}, lambda answer: answer.better))
        by = "" if summary.ranking.is_accuracy else f" in {metrics.noun(metric)}"
        sentences.append(f"{subject} {verb} significantly {better} {names_or_number(below_all)}{by}{gap}")
    for name in [name for name in names if name not in (*top, *below_all)][:MAX_NAMES]:
        lost = {(winner, name) for winner in names} & beaten
        holds = robust.bracket(lost, lambda answer: answer.better)
        winners = names_or_number([winner for winner in names if (winner, name) in lost])
        sentences.append(f"{code(name)} is significantly {worse} only {winners}{holds}")
    return "; ".join(sentences) + "."


def _nothing_apart(summary: CohortSummary, robust: Robustness) -> str:
    metric = metrics.ranking(summary)
    reached = [estimate.mean for a in summary.ranked if (estimate := metric.of(a)) is not None]
    low, high = (metrics.figure(of(reached), metric.unit, 1) for of in (min, max))
    means = f"means: {low} the lowest, {high} the highest"
    subject = narrative.none_differ([architecture.name for architecture in summary.ranked])
    if narrative.finished_unranked(summary) and len(summary.ranked) != 2:
        subject = f"of {listed(code(a.name) for a in summary.ranked[:MAX_NAMES])}, {subject}"
    sentence = f"{subject} significantly different in {metrics.noun(metric)} ({means})"
    sentence += robust.not_different([architecture.name for architecture in summary.ranked])
    tested = [pair for pair in summary.differences if pair.p_holm is not None]
    equivalent = sum(pair.is_equivalent for pair in tested)
    pairs = robust.concluded.equivalent
    holds = robust.bracket(pairs, lambda answer: answer.equivalent) if pairs else ""
    within = f"equivalent within {margin_of(summary)}{holds}"
    if equivalent == len(tested):
        return f"{sentence}, and all are {within}."
    shown = f"{equivalent} of {plural(len(tested), 'pair')} are" if equivalent else "no pair is"
    return f"{sentence}. That does not make them equal: {shown} shown to be {within}."


def _within_margin(summary: CohortSummary, robust: Robustness) -> list[str]:
    """Say which architectures are worse than no other one by the margin, and which of them is the cheapest."""
    good = choice.not_inferior(summary)
    margin = margin_of(summary)
    if not good:
        return [f"For no architecture is it shown that it is within {margin} of the best."]
    shown = [architecture.name for architecture in good]
    verb = "is" if len(good) == 1 else "are"
    holds = robust.bracket({*shown}, lambda answer: answer.within_margin)
    text = f"{names_or_number(shown)} {verb} shown to be within {margin} of the best{holds}"
    by_cost, cheapest = robust.concluded.cheapest, []
    for name in dict.fromkeys(by_cost.values()):
        costs = {cost: name for cost, chosen in by_cost.items() if chosen == name}
        holds = robust.bracket(costs.items(), lambda answer: answer.cheapest.items())
        cheapest.append(f"{code(name)} by {listed(choice.COSTS[cost] for cost in costs)}{holds}")
    return [f"{text}; the cheapest of them is {listed(cheapest)}." if cheapest and len(good) > 1 else f"{text}."]


def _learnt_nothing(summary: CohortSummary) -> list[str]:
    """Say which architectures are not above the majority baseline, and which answer one class for every image."""
    sentences = []
    if low := baseline.not_above_baseline(summary):
        verb = "is" if len(low) == 1 else "are"
        names = names_or_number([architecture.name for architecture in low])
        sentences.append(f"{names} {verb} not significantly {_baseline(summary, low[0])}.")
    constant = [(each, runs) for each in summary.finished if (runs := baseline.single_class_runs(each))]
    for architecture, runs in constant[:MAX_NAMES]:
        classes = [code(summary.data.class_names[label]) for label in runs]
        total, number = len(architecture.runs), sum(runs.values())
        where = "" if number == total else f" in {number} of {total} runs"
        which = classes[0] if len(classes) == 1 else "one class"
        by_run = f": {' or '.join(classes)}, depending on the run" if len(classes) > 1 else ""
        sentences.append(f"{code(architecture.name)} predicts {which} for every test image{where}{by_run}.")
    if len(constant) > MAX_NAMES:
        sentences.append(f"So do {len(constant) - MAX_NAMES} more architectures.")
    return sentences


def _baseline(summary: CohortSummary, architecture: ArchitectureSummary) -> str:
    """Write what an architecture is not significantly above."""
    if summary.ranking.is_accuracy:
        return (
            "above the majority baseline: answering the largest class for every image is right for "
            f"{percent(architecture.majority_share('test'))} of them"
        )
    metric, value = metrics.ranking(summary), baseline.baseline_value(summary)
    reached = "" if value is None else f" ({metrics.figure(value, metric.unit, 1)})"
    return f"better in {metrics.noun(metric)} than answers that do not look at the image{reached}"


def _speed(summary: CohortSummary, robust: Robustness) -> list[str]:
    """Compare the fastest of the best with the slowest of them, or the fastest of all with the single best.

    Where features are stored, the speed is that of the backbone: a head takes next to no time.
    """
    if summary.on_features:
        return _extraction(summary)
    compared = answers.speed_comparison(summary)
    if compared is None:
        return []
    speed = compared.ratio()
    if speed is None:
        tied = sum(architecture.rank == 1 for architecture in summary.ranked) > 1
        return ["In training speed those on the first rank do not differ significantly."] if tied else []
    first, second = compared.first.name, compared.second.name
    ratio, holds = times_interval(speed.estimate), robust.bracket({(first, second)}, lambda answer: {answer.faster})
    return [f"{code(first)} trains {ratio} as many images a second as {code(second)}{holds}."]


def _extraction(summary: CohortSummary) -> list[str]:
    """Say how fast the fastest and the slowest backbone were, and what an epoch of a head takes."""
    rate, epoch = METRICS.get("extracted_images_per_second"), METRICS.get("head_epoch_seconds")
    rates = {a.name: known.mean for a in summary.ranked if (known := rate.of(a))}
    epochs = [known.mean for a in summary.ranked if (known := epoch.of(a))]
    sentences = []
    if len({*rates.values()}) > 1:
        fastest, slowest = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
        sentences.append(
            f"{code(fastest)} passes {significant(rates[fastest])} images a second through its backbone and "
            f"{code(slowest)} {significant(rates[slowest])}, once for all heads (not tested)."
        )
    if epochs:
        quick, slow = (f"{significant(each)} s" for each in (min(epochs), max(epochs)))
        sentences.append(f"An epoch of a head takes {quick if quick == slow else f'{quick} to {slow}'}.")
    return sentences


def _smallest_gap(summary: CohortSummary, gaps: Sequence[Pair]) -> str:
    """Write ` by 8.4 [3.4, 13.5] points`; of several pairs ` (smallest difference: `a` over `c` by 8.4 ... points)`."""
    names = [architecture.name for architecture in summary.finished]
    differences = {(names[pair.first], names[pair.second]): pair.difference for pair in summary.differences}
    differences |= {(second, first): -difference for (first, second), difference in differences.items()}
    over = min(gaps, key=lambda gap: abs(differences[gap].mean))
    gap = differences[over] if differences[over].mean > 0 else -differences[over]  # where lower is better
    text = f"by {metrics.lead(metrics.ranking(summary), gap)}"
    return f" {text}" if len(gaps) == 1 else f" (smallest difference: {' over '.join(map(code, over))} {text})"


def _in_one_bracket(first: str, second: str) -> str:
    """Join two texts, and their brackets where the one ends and the other begins with one."""
    return f"{first[:-1]}; {second[2:]}" if first.endswith(")") and second else first + second
