"""What the numbers say, in plain sentences that stay true in every case the records can hold."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from intelbench.errors import plural
from intelbench.reporting import metrics
from intelbench.reporting.formatting import cause, code, count, escape, listed, numbers, percent, percent_interval
from intelbench.results.summaries import ArchitectureSummary, CohortSummary

MAX_NAMES = 8
_SOURCES: Mapping[str, str] = {
    "all": "every random stream",
    "init": "initial weights",
    "order": "order of the training images",
    "augment": "crops and flips",
    "dropout": "dropout and other random numbers of training steps",
    "split": "choice of validation and training images",
}


def reading(summary: CohortSummary) -> str:
    """Say who was compared, on what, and under identical conditions or not."""
    sentences = [
        _compared(summary),
        _ranked_by(summary),
        _looked(summary),
        fairness_answer(summary),
        _varied(summary),
        _not_compared(summary),
        _caveats(summary),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def fairness_answer(summary: CohortSummary) -> str:
    """Whether runs had one recipe, whether those of each seed saw the same batches, and how far that was verified."""
    if not summary.cohort.own_recipes:
        return _batches_answer(summary)
    settings = [code(key) for key in summary.cohort.own_settings]
    differing = f" (they differ in {first_few(settings)})" if settings else ""
    return (
        f"**Each architecture was trained under its own recipe**{differing}: a difference between two of them is one "
        f"of architecture and recipe together. {_batches_answer(summary)}"
    )


def _batches_answer(summary: CohortSummary) -> str:
    fairness, own = summary.cohort.fairness, summary.cohort.own_recipes
    seeds = summary.cohort.seeds
    if not fairness.identical:
        return (
            f"**Conditions were not identical:** the runs of {_seeds(fairness.mismatched_seeds)} "
            "did not demonstrably see the same batches, so nothing is ranked."
        )
    if not fairness.compared:
        lacking = "two finished runs whose recipes give the same batches" if own else "two finished runs"
        return f"No seed has {lacking}, so there are no batches to compare between runs."
    compared = [seed.seed for seed in fairness.seeds if seed.num_finished > 1]
    scope = "every seed" if set(compared) == set(seeds) else _seeds(sorted(set(compared)))
    runs = "all finished runs" if summary.cohort.failed else "they"
    if len(fairness.seeds) > len(seeds):
        runs = "those whose recipes give the same batches"
    images = "one set of test images" if summary.cohort.spec.vary == "split" else "one set of images"
    shared = images if own else f"one recipe, one budget and {images}"
    last = "the last one" if fairness.complete else "the last recorded one that the runs of a seed have in common"
    return (
        f"All runs share {shared}, and for {scope} {runs} saw the same batches in the same order with the same crops "
        f"and flips (verified through step {count(fairness.verified_step or 0)}, {last})."
    )


def source_name(vary: str) -> str:
    """Write `` `init` (initial weights)``."""
    return f"{code(vary)} ({_SOURCES[vary]})"


def _varied(summary: CohortSummary) -> str:
    """Say what differs between the seeds, if it is not every random stream."""
    spec = summary.cohort.spec
    if spec.vary == "all":
        return ""
    return (
        f"**Only {source_name(spec.vary)} differs between the seeds**, the others keep seed {spec.fixed_seed}, so "
        "intervals and tests here miss all other sources of variance."
    )


def ranking_note(summary: CohortSummary) -> str:
    """Say why there is no rank, or who has none, and on which seeds the others rest."""
    cohort, finished = summary.cohort, summary.finished
    if len(summary.architectures) < 2:
        return ""
    if len(finished) < 2:
        return f"**Not ranked:** {plural(len(finished), 'architecture')} finished."
    if not cohort.fairness.identical:
        return f"**Not ranked:** the batches of {_seeds(cohort.fairness.mismatched_seeds)} differ or are unverified."
    if summary.sequential:
        return "" if summary.ranked else "**Not ranked:** the runs of the first look are not complete."
    uneven = _uneven_seeds(summary)
    if not summary.ranked:
        if summary.correct is None:
            return "**Not ranked:** no test image was read, or the runs read different ones."
        if summary.values is None:
            return f"**Not ranked:** no run has a value of {metrics.noun(metrics.ranking(summary))}."
        seeds = f" ({uneven})" if uneven else ""
        return f"**Not ranked:** no two architectures have two finished seeds in common, which a test takes{seeds}."
    notes = [not_compared(summary)]
    if uneven:
        notes.append(
            f"Each pair is compared on the seeds that both have finished ({uneven}); the means of each architecture "
            "use all seeds that it finished."
        )
    return " ".join(filter(None, notes))


def not_compared(summary: CohortSummary) -> str:
    """Say which architectures were compared with no other one, though others were, and which pairs were not."""
    unranked = [code(each.name) for each in finished_unranked(summary)] if summary.ranked else []
    sentences = []
    if unranked:
        verb = "is" if len(unranked) == 1 else "are"
        sentences.append(
            f"{first_few(unranked)} {verb} not compared: no two finished seeds in common with another one."
        )
    return " ".join([*sentences, *untested(summary.untested)])


def untested(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Say which pairs of architectures were not compared; nothing if all were."""
    names = [f"{code(first)} with {code(second)}" for first, second in pairs]
    return [f"Not compared, without two finished seeds in common: {first_few(names)}."] if names else []


def finished_unranked(summary: CohortSummary) -> Sequence[ArchitectureSummary]:
    """Return the architectures with a finished run and without a rank."""
    return summary.finished[len(summary.ranked) :]


def failures(summary: CohortSummary) -> list[str]:
    """Say how many runs of each architecture failed and why, and what its accuracy is that of."""
    sentences = []
    failed = [architecture for architecture in summary.architectures if architecture.failures]
    for architecture in failed[:MAX_NAMES]:
        number, total = len(architecture.failures), len(architecture.records)
        rest = f"; its accuracy is that of the {total - number} that finished" if architecture.runs else ""
        name, causes = code(architecture.name), failed_runs(architecture)
        sentences.append(f"{name} failed in {number} of {plural(total, 'run')}, by cause: {causes}{rest}.")
    if len(failed) > MAX_NAMES:
        sentences.append(f"So did runs of {len(failed) - MAX_NAMES} more architectures.")
    return sentences


def failed_runs(architecture: ArchitectureSummary) -> str:
    """Write `out of memory (2 runs)`."""
    causes = Counter(map(cause, architecture.causes))
    return ", ".join(f"{name} ({plural(number, 'run')})" for name, number in sorted(causes.items()))


def none_differ(names: Sequence[str]) -> str:
    """Write `a and b are not`, `no two of the 5 architectures are`; to be continued with `significantly different`."""
    if len(names) == 2:
        return f"{listed(map(code, names))} are not"
    return f"no two of the {len(names)} architectures are"


def data_name(source: str) -> str:
    """Return the data folder by its own name, without the path to it."""
    return PurePath(source).name or source


def images(summary: CohortSummary) -> str:
    """Write `2,160 training, 540 validation and 900 test images of 6 classes, 96 × 96 pixels`."""
    data, spec, size = summary.data, summary.cohort.spec, summary.cohort.spec.conditions.image_size
    return (
        f"{count(spec.num_train)} training, {count(data.num_validation)} validation and {count(data.num_test)} test "
        f"images of {plural(len(data.class_names), 'class', 'classes')}, {size} × {size} pixels"
    )


def _compared(summary: CohortSummary) -> str:
    cohort, data, spec = summary.cohort, summary.data, summary.cohort.spec
    names = [code(name) for name in cohort.by_architecture]
    verb = ("was" if len(names) == 1 else "were") + (" trained" if summary.finished else " tried")
    each = " each" if spec.execution.gpus > 1 else ""
    threads = f", {plural(spec.execution.threads, 'thread')}{each}" if spec.execution.device == "cpu" else ""
    shared = f", {spec.execution.slots} runs at once" if spec.execution.slots > 1 else ""
    device = spec.execution.machine(cohort.records[0].environment.device_name)
    machine = f"{escape(device)} ({spec.execution.device}{threads}{shared})"
    return (
        f"{plural(len(names), 'architecture')} ({first_few(names)}) {verb} on {code(data_name(data.source))} "
        f"({images(summary)}), with {_seeds(cohort.seeds)} and a budget of "
        f"{' or '.join(map(str, cohort.budgets))} a run, on {machine}."
    )


def _ranked_by(summary: CohortSummary) -> str:
    """Say by which metric architectures are ranked, if it is not test accuracy, or why it is."""
    if summary.ranking.unknown:
        return (
            f"The metric of the suite, {code(summary.ranking.unknown)}, is not known here; it may be one of a plug-in "
            "that was not given (`--plugin FILE`). So ranks and differences are by test accuracy."
        )
    if summary.ranking.replaced:
        return (
            f"Seeds were added in planned looks at test accuracy, so ranks and differences are by it, and not by "
            f"{code(summary.ranking.replaced)}."
        )
    if summary.ranking.is_accuracy:
        return ""
    metric = metrics.ranking(summary)
    return f"Ranks, groups, differences and choices are by **{metrics.noun(metric)}** ({escape(metric.definition)})."


def _looked(summary: CohortSummary) -> str:
    """Say that seeds were added in planned looks, and how far that came."""
    if summary.sequential is None:
        return ""
    looks, race = summary.sequential.design.looks, summary.sequential.race
    if not race.num_looks:
        return f"Seeds are added in planned looks; the first one, at {looks[0]} seeds, is not complete."
    number = f"{looks[race.num_looks - 1]} of at most {looks[-1]} seeds"
    done = f"the comparison ended at {number}" if race.over else f"the last complete one is at {number}"
    return f"Seeds were added in planned looks, and architectures that were significantly worse got no more; {done}."


def _not_compared(summary: CohortSummary) -> str:
    """Say why no difference is reported, where the headline says nothing; of a single architecture, what it reached."""
    finished = summary.finished
    if len(finished) == 1 and finished[0].test_accuracy is not None:
        only, reached = finished[0], finished[0].test_accuracy
        metric = metrics.ranking(summary)
        score = None if summary.ranking.is_accuracy else metric.of(only)
        also = "" if score is None else f" Its {metrics.noun(metric)} is {metrics.interval(score, metric.unit)}."
        return (
            f"{code(only.name)} reached a test accuracy of {percent_interval(reached)} ({plural(reached.n, 'run')}); "
            f"the majority baseline is {percent(only.majority_share('test'))}.{also}"
        )
    if not summary.ranked:
        return ranking_note(summary) if summary.cohort.fairness.identical else ""
    return ""


def _caveats(summary: CohortSummary) -> str:
    data, caveats = summary.data, []
    if data.num_train_test_duplicates:
        number = plural(data.num_train_test_duplicates, "test image has", "test images have")
        caveats.append(
            f"{number} a byte-identical copy in training or validation, which flatters every test accuracy; near "
            "duplicates are not looked for."
        )
    if data.num_unreadable:
        caveats.append(f"{plural(data.num_unreadable, 'unreadable file was', 'unreadable files were')} left out.")
    if data.num_other_files:
        files = plural(data.num_other_files, "other file in class folders was", "other files in class folders were")
        caveats.append(f"{files} not used.")
    return " ".join(caveats)


def _uneven_seeds(summary: CohortSummary) -> str:
    """Say which architectures lack which of the seeds that others have finished."""
    every = frozenset[int]().union(*(architecture.seeds for architecture in summary.finished))
    finished = sorted(summary.finished, key=lambda architecture: architecture.index)
    lacking = {each.name: sorted(every - each.seeds) for each in finished if every - each.seeds}
    clauses = [f"{code(name)} lacks {_seeds(seeds)}" for name, seeds in lacking.items()]
    return "; ".join(clauses[:MAX_NAMES]) + ("; and others" if len(clauses) > MAX_NAMES else "")


def first_few(names: Sequence[str]) -> str:
    """Return all names, or the first few and how many more."""
    return listed(names if len(names) <= MAX_NAMES else [*names[:MAX_NAMES], f"{len(names) - MAX_NAMES} more"])


def names_or_number(names: Sequence[str], noun: str = "architectures") -> str:
    """Return all names as code, or of too many how many there are: `9 architectures`."""
    return f"{len(names)} {noun}" if len(names) > MAX_NAMES else listed(map(code, names))


def _seeds(seeds: Sequence[int]) -> str:
    """Write `seed 0`, `seeds 0 and 3`, `5 seeds (0–4)`."""
    if len(seeds) > 2:
        return f"{len(seeds):,} seeds ({numbers(seeds)})"
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {listed(map(str, seeds))}"
