"""Cohorts as data frames of raw numbers: base units, in the names of the columns; what is absent is `None`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, ParamSpec

import msgspec
import numpy as np
import pandas as pd

from intelbench.errors import UserError
from intelbench.results.metric import differences as metric_differences
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.summaries import MEMORY_FIELDS, ArchitectureSummary, CohortSummary
from intelbench.statistics import comparisons
from intelbench.statistics import estimates as statistics
from intelbench.statistics.estimates import Estimate

Row = dict[str, object]
P = ParamSpec("P")


def as_frame(rows_of: Callable[P, Iterable[Row]]) -> Callable[P, pd.DataFrame]:
    """Make a function of rows return a data frame.

    `None` stays `None`: pandas would turn it into NaN, and the integers in its column into floats.
    """

    @wraps(rows_of)
    def frame(*args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
        return pd.DataFrame(list(rows_of(*args, **kwargs)), dtype=object)

    return frame


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as plain values."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def attributes(value: object, *names: str, prefix: str = "") -> Row:
    """Return attributes of a value as columns, named with a prefix; all are `None` where the value is."""
    return {prefix + name: None if value is None else getattr(value, name) for name in names}


def estimate_columns(name: str, estimate: Estimate | None) -> Row:
    """Return an estimate as three columns."""
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def metric_columns(architecture: ArchitectureSummary, *names: str) -> Row:
    """Return the values of metrics, each as three columns, or as one where it has no interval."""
    columns: Row = {}
    for metric in map(METRICS.get, names):
        of_metric = estimate_columns(metric.name, metric.of(architecture))
        columns |= of_metric if metric.interval else {metric.name: of_metric[metric.name]}
    return columns


def estimate_of(row: Mapping[str, Any], name: str) -> Estimate | None:
    """Return the estimate in three columns of a row."""
    if row[name] is None:
        return None
    num_runs = next(row[count] for count in ("num_finished", "num_runs", "num_seeds") if count in row)
    return Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], num_runs)


@as_frame
def main(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture, failed ones included."""
    for architecture in summary.architectures:
        causes = sorted({record.failure.cause for record in architecture.failures if record.failure is not None})
        row: Row = {
            "architecture": architecture.name,
            "provider": architecture.records[0].spec.provider,
            "rank": architecture.rank,
            "group": summary.groups.get(architecture.name),
            "num_finished": len(architecture.runs),
            "num_failed": len(architecture.failures),
            "failure_causes": " ".join(causes) or None,
            **estimate_columns("success_rate", architecture.success_rate),
        }
        further: dict[str, Row] = {
            "test_accuracy": {"majority_baseline": architecture.majority_share("test")},
            "step_seconds": {
                "step_seconds_quartile_1": statistics.quantile(architecture.step_seconds, 0.25),
                "step_seconds_quartile_3": statistics.quantile(architecture.step_seconds, 0.75),
                "num_timed_steps": len(architecture.step_seconds),
            },
        }
        for metric in metrics_in("export"):
            row = _with_columns(row, metric_columns(architecture, metric.name) | further.get(metric.name, {}))
        yield row


@as_frame
def differences(summary: CohortSummary, metric: str = "test_accuracy") -> Iterator[Row]:
    """Return one row for each pair of architectures: difference of a metric on the same seeds and images."""
    names = [architecture.name for architecture in summary.finished]
    for pair in metric_differences(METRICS.get(metric), summary):
        yield {
            "metric": metric,
            "first": names[pair.first],
            "second": names[pair.second],
            **estimate_columns("difference", pair.difference),
            "num_seeds": pair.difference.n,
            "seeds": list(pair.seeds),
            **attributes(pair, "p_value", "p_holm", "p_equivalent", "answer"),
            "better": None if pair.better is None else names[pair.better],
            "first_only": [seed.first_only for seed in pair.discordance],
            "second_only": [seed.second_only for seed in pair.discordance],
            "mcnemar_p_values": [seed.p_value for seed in pair.discordance],
        }


@as_frame
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


@as_frame
def fairness(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each seed: how far its runs were verified to have seen the same batches."""
    names = ("seed", "num_runs", "num_finished", "identical", "verified_step", "mismatch_step", "digest")
    for seed in summary.cohort.fairness.seeds:
        yield attributes(seed, *names)


@as_frame
def own_settings(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each setting in which the recipes of the architectures differ."""
    for key, values in summary.cohort.own_settings.items():
        yield {"setting": key, "values": dict(values)}


@as_frame
def weights(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture and file of weights that its runs started from."""
    for name, records in summary.cohort.by_architecture.items():
        for file in dict.fromkeys(record.spec.weights for record in records):
            if file:
                normalization = msgspec.structs.asdict(file.normalization)
                yield {"architecture": name, **attributes(file, "file", "sha256"), **normalization}


@as_frame
def classes(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture and class: recall, precision and F1 on the test images, mean over seeds."""
    for architecture in summary.finished:
        matrices = np.array([run.confusion for run in architecture.runs])
        precisions, scores = statistics.precision(matrices), statistics.f1(matrices)
        num_images = matrices[0].sum(axis=1).tolist()
        for index, name in enumerate(summary.data.class_names):
            yield {
                "architecture": architecture.name,
                "class": name,
                "num_test": num_images[index],
                "num_runs": len(architecture.runs),
                **estimate_columns("recall", architecture.share_predicted(index, index, summary.recall_dispersion)),
                **estimate_columns("precision", statistics.mean_interval(precisions[index], 0, 1)),
                **estimate_columns("f1", statistics.mean_interval(scores[index], 0, 1)),
            }


@as_frame
def confusions(architecture: ArchitectureSummary, summary: CohortSummary, limit: int) -> Iterator[Row]:
    """Return one row for each of the most frequent confusions of an architecture, over its runs."""
    class_names, prior = summary.data.class_names, summary.confusion_dispersion
    pairs = [] if architecture.confusion is None else statistics.confused_pairs(architecture.confusion, limit)
    for pair in pairs:
        yield {
            "true": class_names[pair.true],
            "predicted": class_names[pair.predicted],
            "num_images": pair.count,
            "num_true": pair.total,
            "num_runs": len(architecture.runs),
            **estimate_columns("share", architecture.share_predicted(pair.true, pair.predicted, prior)),
        }


@as_frame
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


@as_frame
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


@as_frame
def stability(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture: how steadily it trains and predicts, mean over seeds."""
    parts = ("wins", "losses", "neutral", "unnecessary")
    for architecture in summary.finished:
        causes = [record.failure.cause for record in architecture.failures if record.failure]
        yield {
            "architecture": architecture.name,
            "num_runs": len(architecture.runs),
            "num_diverged": causes.count("diverged"),
            **metric_columns(architecture, "relative_loss_variance", "spike_score"),
            **estimate_columns("run_to_run_deviation", architecture.run_to_run_deviation),
            **metric_columns(architecture, "accuracy_swing", "churn", "forgetting_events"),
            **attributes(architecture.churn_between_evaluations, *parts, prefix="churn_"),
            **attributes(architecture.churn_between_seeds, "total", *parts, prefix="seed_churn_"),
        }


@as_frame
def failures(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each failed run."""
    for architecture in summary.architectures:
        for record in architecture.failures:
            yield {
                "architecture": architecture.name,
                "seed": record.spec.seed,
                **attributes(record.failure, "cause", "step", "message"),
                "run_id": record.run_id,
            }


@as_frame
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
        yield {"fact": name, "values": sorted(values, key=str)}


@as_frame
def runs(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each finished run."""
    metrics = [metric for metric in metrics_in("runs") if metric.name != "test_accuracy"]
    for architecture in summary.finished:
        for run in architecture.runs:
            row: Row = {
                "architecture": architecture.name,
                "seed": run.seed,
                **attributes(run.record, "run_id", "started_at"),
                **estimate_columns("test_accuracy", run.single_accuracy),
            }
            yield _with_columns(row, {metric.name: metric.value(run) for metric in metrics})


def absent_memory(summary: CohortSummary) -> Mapping[str, list[str]]:
    """Return the kinds of memory that no run of the cohort has, each with the reasons the runs gave."""
    peaks = [run.measurements.peak_memory for run in summary.runs]
    return {
        name: sorted({peak.absent.get(name, "no reason was recorded") for peak in peaks})
        for name in MEMORY_FIELDS
        if peaks and all(getattr(peak, name) is None for peak in peaks)
    }


def _with_columns(row: Row, columns: Row) -> Row:
    """Return a row with further columns.

    Raises:
        UserError: the row has one of them already, as where a plug-in has a metric `seed`.
    """
    if twice := sorted({*row, "cohort"} & columns.keys()):  # CSV and frames begin with the cohort
        raise UserError(f"metric {twice[0]!r}: a table has another column of this name; choose another name")
    return row | columns
