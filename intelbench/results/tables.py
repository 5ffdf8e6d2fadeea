"""Cohorts as rows of raw numbers: base units, in the names of the columns; what is absent is `None`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec

import msgspec
import numpy as np

from intelbench.records.types import RunRecord
from intelbench.results.class_scores import class_scores
from intelbench.results.columns import Columns, Row, attributes, column, estimate, estimate_columns, fields, table
from intelbench.results.metric import Metric, first_run, largest_run
from intelbench.results.metric import differences as metric_differences
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import MEMORY_FIELDS, ArchitectureSummary, CohortSummary
from intelbench.statistics import comparisons, posterior
from intelbench.statistics.comparisons import PairedDifference
from intelbench.statistics.estimates import Estimate, quantile

P = ParamSpec("P")


class _Member(NamedTuple):
    """An architecture of a cohort."""

    summary: CohortSummary
    architecture: ArchitectureSummary


class _Run(NamedTuple):
    """A finished run of a cohort."""

    summary: CohortSummary
    run: RunSummary


class _Pair(NamedTuple):
    """A pair of architectures, compared by a metric."""

    metric: str
    names: Sequence[str]
    compared: PairedDifference


def of_cohorts(table: Callable[..., list[Row]], cohorts: Iterable[CohortSummary], *arguments: object) -> list[Row]:
    """Return the rows of several cohorts, each with the key of its cohort first."""
    return [{"cohort": each.cohort.key, **row} for each in cohorts for row in table(each, *arguments)]


def metric_columns(architecture: ArchitectureSummary, *names: str) -> Row:
    """Return the values of metrics, each as three columns, or as one where it has no interval."""
    columns: Row = {}
    for metric in map(METRICS.get, names):
        of_metric = estimate_columns(metric.name, metric.of(architecture))
        columns |= of_metric if metric.interval else {metric.name: of_metric[metric.name]}
    return columns


def estimate_of(row: Mapping[str, Any], name: str, num_runs: int | None = None) -> Estimate | None:
    """Return the estimate in three columns of a row; `num_runs` for one that is not over the runs of the row."""
    if row[name] is None:
        return None
    num_runs = num_runs or next(row[count] for count in ("num_finished", "num_runs", "num_seeds") if count in row)
    return Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], num_runs)


def _metric(metric: Metric) -> Columns[_Member]:
    """Return the columns of a metric of an architecture: three, or one where it has no interval."""
    is_whole = metric.is_whole and metric.over_runs in (first_run, largest_run)
    names = (metric.name, *([f"{metric.name}_low", f"{metric.name}_high"] if metric.interval else []))
    return Columns(
        dict.fromkeys(names, int if is_whole else float),
        lambda member: metric_columns(member.architecture, metric.name),
    )


_MAIN: Sequence[Columns[_Member]] = (
    column("architecture", str, lambda member: member.architecture.name),
    column("provider", str, lambda member: member.architecture.records[0].spec.provider),
    column("rank", int, lambda member: member.architecture.rank),
    column("group", str, lambda member: member.summary.groups.get(member.architecture.name)),
    column("metric", str, lambda member: member.summary.ranking.metric),
    estimate("score", lambda member: METRICS.get(member.summary.ranking.metric).of(member.architecture)),
    column("num_finished", int, lambda member: len(member.architecture.runs)),
    column("num_failed", int, lambda member: len(member.architecture.failures)),
    column("failure_causes", str, lambda member: " ".join(sorted(set(member.architecture.causes))) or None),
    estimate("success_rate", lambda member: member.architecture.success_rate),
)
_AFTER_METRIC: Mapping[str, Sequence[Columns[_Member]]] = {
    "test_accuracy": (column("majority_baseline", float, lambda member: member.architecture.majority_share("test")),),
    "step_seconds": (
        column("step_seconds_quartile_1", float, lambda member: quantile(member.architecture.step_seconds, 0.25)),
        column("step_seconds_quartile_3", float, lambda member: quantile(member.architecture.step_seconds, 0.75)),
        column("num_timed_steps", int, lambda member: len(member.architecture.step_seconds)),
    ),
}
"""Columns of the main table that follow a metric."""


def _main_columns() -> list[Columns[_Member]]:
    columns = [*_MAIN]
    for metric in metrics_in("export"):
        columns += [_metric(metric), *_AFTER_METRIC.get(metric.name, ())]
    return columns


@table(_main_columns)
def main(summary: CohortSummary) -> Iterator[_Member]:
    """Return one row for each architecture, failed ones included."""
    for architecture in summary.architectures:
        yield _Member(summary, architecture)


_DIFFERENCES: Sequence[Columns[_Pair]] = (
    column("metric", str, lambda pair: pair.metric),
    column("first", str, lambda pair: pair.names[pair.compared.first]),
    column("second", str, lambda pair: pair.names[pair.compared.second]),
    estimate("difference", lambda pair: pair.compared.difference),
    column("num_seeds", int, lambda pair: pair.compared.difference.n),
    column("seeds", list, lambda pair: list(pair.compared.seeds)),
    fields(float, lambda pair: pair.compared, "p_value", "p_holm", "p_equivalent", "significance"),
    fields(str, lambda pair: pair.compared, "answer"),
    column("better", str, lambda pair: None if pair.compared.better is None else pair.names[pair.compared.better]),
    column("first_only", list, lambda pair: [seed.first_only for seed in pair.compared.discordance]),
    column("second_only", list, lambda pair: [seed.second_only for seed in pair.compared.discordance]),
    column("mcnemar_p_values", list, lambda pair: [seed.p_value for seed in pair.compared.discordance]),
)


@table(lambda: _DIFFERENCES)
def differences(summary: CohortSummary, metric: str | None = None) -> Iterator[_Pair]:
    """Return one row for each pair of architectures: difference of a metric on the same seeds and images.

    `None` is the metric by which they are ranked.
    """
    names, by = [architecture.name for architecture in summary.finished], metric or summary.ranking.metric
    for pair in metric_differences(METRICS.get(by), summary):
        yield _Pair(by, names, pair)


_Standing = tuple[ArchitectureSummary, posterior.Standing]
_STANDINGS: Sequence[Columns[_Standing]] = (
    column("architecture", str, lambda item: item[0].name),
    column("num_runs", int, lambda item: len(item[0].runs)),
    column("best_probability", float, lambda item: item[1].best),
    estimate("expected_rank", lambda item: item[1].rank),
)


@table(lambda: _STANDINGS)
def standings(summary: CohortSummary) -> Iterable[_Standing]:
    """Return one row for each finished architecture: its probability of being the best, and its expected rank."""
    known = [] if summary.mean_draws is None else posterior.standings(summary.mean_draws)
    return zip(summary.finished, known, strict=False)  # no standing is known where nothing may be ranked


def omnibus(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each seed that several architectures have finished: Cochran's Q over these."""
    table = summary.correct
    if table is None:
        return
    for seed in table.seeds:
        correct = table.of_seed(seed)
        if test := comparisons.omnibus(correct):
            yield {
                "seed": seed,
                "num_architectures": len(correct),
                "statistic": test.statistic,
                "degrees_of_freedom": test.freedom,
                "p_value": test.p_value,
            }


def fairness(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each seed: how far its runs were verified to have seen the same batches."""
    names = ("seed", "num_runs", "num_finished", "identical", "verified_step", "mismatch_step", "digest")
    for seed in summary.cohort.fairness.seeds:
        yield attributes(seed, *names)


def own_settings(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each setting in which the recipes of the architectures differ."""
    for key, values in summary.cohort.own_settings.items():
        yield {"setting": key, "values": dict(values)}


def weights(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture and file of weights that its runs started from."""
    for name, records in summary.cohort.by_architecture.items():
        for file in dict.fromkeys(record.spec.weights for record in records):
            if file:
                normalization = msgspec.structs.asdict(file.normalization)
                yield {
                    "architecture": name,
                    **attributes(file, "file", "sha256", "licence"),
                    **normalization,
                    **attributes(
                        file.preprocessing, "image_size", "crop_fraction", "interpolation", prefix="publisher_"
                    ),
                }


def classes(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture and class: recall, precision and F1 on the test images of all seeds."""
    scores = class_scores(summary)
    for architecture in summary.finished:
        num_images = architecture.runs[0].confusion.sum(axis=1).tolist()
        for index, name in enumerate(summary.data.class_names):
            yield {
                "architecture": architecture.name,
                "class": name,
                "num_test": num_images[index],
                "num_runs": len(architecture.runs),
                **estimate_columns("recall", architecture.share_predicted(index, index, summary.recall_dispersion)),
                **estimate_columns("precision", scores["precision"][architecture.name][index]),
                **estimate_columns("f1", scores["f1"][architecture.name][index]),
            }


def confusions(architecture: ArchitectureSummary, summary: CohortSummary, limit: int) -> Iterator[Row]:
    """Return one row for each of the most frequent confusions of an architecture, over its runs.

    They come by number of images, then by share of the true class.
    """
    names, counts = summary.data.class_names, architecture.confusion
    if counts is None:
        return
    totals = counts.sum(axis=1)
    wrong = [(true, predicted) for true, predicted in np.argwhere(counts).tolist() if true != predicted]
    wrong.sort(key=lambda cell: (-counts[cell], totals[cell[0]], cell))
    for true, predicted in wrong[:limit]:
        yield {
            "true": names[true],
            "predicted": names[predicted],
            "num_images": int(counts[true, predicted]),
            "num_true": int(totals[true]),
            "num_runs": len(architecture.runs),
            **estimate_columns("share", architecture.share_predicted(true, predicted, summary.confusion_dispersion)),
        }


def rectifiers(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture with ReLU or LeakyReLU: the activity of its units, mean over seeds."""
    names = ("first_dead_share", "dead_share", "filters_without_gradient", "positive_share", "mean_activation")
    for architecture in summary.finished:
        runs = [run.rectifiers for run in architecture.runs if run.rectifiers is not None]
        if not runs:
            continue
        gradients = [run.measurements.filter_gradients for run in architecture.runs]
        yield {
            "architecture": architecture.name,
            "num_runs": len(runs),
            "num_units": runs[0].num_units,
            "num_gradient_images": max((gradient.num_images for gradient in gradients if gradient), default=None),
            **metric_columns(architecture, *names),
            **attributes(max(runs, key=lambda run: run.worst_dead_share), "worst_site", "worst_dead_share"),
        }


def reliability(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture: the calibration of its confidence on the test images, mean over seeds."""
    names = (
        "expected_calibration_error", "expected_calibration_error_if_calibrated", "adaptive_calibration_error",
        "brier_score", "test_cross_entropy", "fitted_temperature", "scaled_calibration_error", "scaled_cross_entropy",
        "scaling_calibration_change",
    )  # fmt: skip
    for architecture in summary.finished:
        yield {
            "architecture": architecture.name,
            "num_runs": len(architecture.runs),
            "num_temperatures": sum(run.temperature is not None for run in architecture.runs),
            "num_temperatures_converged": len(METRICS.get("fitted_temperature").values(architecture)),
            **metric_columns(architecture, *names),
        }


def stability(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture: how steadily it trains and predicts, mean over seeds."""
    parts = ("wins", "losses", "neutral", "unnecessary")
    for architecture in summary.finished:
        yield {
            "architecture": architecture.name,
            "num_runs": len(architecture.runs),
            "num_diverged": architecture.causes.count("diverged"),
            **metric_columns(architecture, "relative_loss_variance", "spike_score"),
            **estimate_columns("run_to_run_deviation", architecture.run_to_run_deviation),
            **metric_columns(architecture, "accuracy_swing", "churn", "forgetting_events"),
            **attributes(architecture.churn_between_evaluations, *parts, prefix="churn_"),
            **attributes(architecture.churn_between_seeds, "total", *parts, prefix="seed_churn_"),
        }


_FAILURES: Sequence[Columns[RunRecord]] = (
    column("architecture", str, lambda record: record.spec.architecture),
    column("seed", int, lambda record: record.spec.seed),
    fields(str, lambda record: record.failure, "cause"),
    fields(int, lambda record: record.failure, "step"),
    fields(str, lambda record: record.failure, "message"),
    column("run_id", str, lambda record: record.run_id),
)


@table(lambda: _FAILURES)
def failures(summary: CohortSummary) -> Iterator[RunRecord]:
    """Return one row for each failed run."""
    for architecture in summary.architectures:
        yield from architecture.failures


def environment(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each fact of machine, libraries and way of executing, with every value that the runs had.

    A fact with parts, as that of a GPU, has a row for each part: `gpu.ecc`.
    """
    known: dict[str, list[object]] = {}
    for record in summary.cohort.records:
        facts = msgspec.to_builtins(record.environment) | msgspec.to_builtins(record.spec.execution)
        groups = {name: value for name, value in facts.items() if isinstance(value, dict)}
        facts |= {f"{name}.{part}": value for name, parts in groups.items() for part, value in parts.items()}
        for name, value in facts.items():
            if name not in groups and value not in known.setdefault(name, []):
                known[name].append(value)
    for name, values in known.items():
        if name not in ("slots", "gpus") or values != [1]:  # one run at a time on one device is not worth a row
            yield {"fact": name, "values": sorted(values, key=str)}


_RUNS: Sequence[Columns[_Run]] = (
    column("architecture", str, lambda item: item.run.record.spec.architecture),
    column("seed", int, lambda item: item.run.seed),
    fields(str, lambda item: item.run.record, "run_id", "started_at"),
    column("metric", str, lambda item: item.summary.ranking.metric),
    column("score", float, lambda item: METRICS.get(item.summary.ranking.metric).value(item.run)),
    estimate("test_accuracy", lambda item: item.run.single_accuracy),
)


def _run_column(metric: Metric) -> Columns[_Run]:
    return column(metric.name, int if metric.is_whole else float, lambda item: metric.value(item.run))


def _run_columns() -> list[Columns[_Run]]:
    return [*_RUNS, *(_run_column(metric) for metric in metrics_in("runs") if metric.name != "test_accuracy")]


@table(_run_columns)
def runs(summary: CohortSummary) -> Iterator[_Run]:
    """Return one row for each finished run."""
    for run in summary.runs:
        yield _Run(summary, run)


def absent_memory(summary: CohortSummary) -> Mapping[str, list[str]]:
    """Return the kinds of memory that no run of the cohort has, each with the reasons the runs gave."""
    peaks = [run.measurements.peak_memory for run in summary.runs]
    return {
        name: sorted({peak.absent.get(name, "no reason was recorded") for peak in peaks})
        for name in MEMORY_FIELDS
        if peaks and all(getattr(peak, name) is None for peak in peaks)
    }
