"""Cohorts as data frames of raw numbers: base units, in the names of the columns; what is absent is `None`."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from intelbench.errors import UserError
from intelbench.results.metric import Metric
from intelbench.results.metric import differences as metric_differences
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.summaries import MEMORY_FIELDS, ArchitectureSummary, CohortSummary
from intelbench.statistics import estimates as statistics
from intelbench.statistics import inference
from intelbench.statistics.estimates import Estimate

Row = dict[str, object]


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as plain values."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def frame(rows: list[Row]) -> pd.DataFrame:
    """Keep `None` as it is: pandas would turn it into NaN, and whole numbers beside it into fractions."""
    return pd.DataFrame(rows, dtype=object)


def estimate_columns(name: str, estimate: Estimate | None) -> Row:
    """An estimate as three columns."""
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def metric_columns(metric: Metric, architecture: ArchitectureSummary) -> Row:
    """The value of an architecture as three columns, or as one where it has no interval."""
    estimate = metric.of(architecture)
    if metric.interval:
        return estimate_columns(metric.name, estimate)
    return {metric.name: estimate.mean if estimate else None}


def named_columns(architecture: ArchitectureSummary, *names: str) -> Row:
    """The columns of several metrics."""
    return {key: value for name in names for key, value in metric_columns(METRICS.get(name), architecture).items()}


def estimate_of(row: Mapping[str, Any], name: str) -> Estimate | None:
    """Put an estimate's three columns together again."""
    if row[name] is None:
        return None
    num_runs = next(row[count] for count in ("num_finished", "num_runs", "num_seeds") if count in row)
    return Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], num_runs)


def main(summary: CohortSummary) -> pd.DataFrame:
    """One row for each architecture, failed ones included."""
    return frame([_main_row(architecture, summary) for architecture in summary.architectures])


def differences(summary: CohortSummary, metric: str = "test_accuracy") -> pd.DataFrame:
    """One row for each pair of ranked architectures: difference of a metric on the same seeds and images."""
    names = [architecture.name for architecture in summary.finished]
    return frame(
        [
            {
                "metric": metric,
                "first": names[pair.first],
                "second": names[pair.second],
                **estimate_columns("difference", pair.difference),
                "num_seeds": pair.difference.n,
                "p_value": pair.p_value,
                "p_holm": pair.p_holm,
                "detectable_difference": pair.detectable,
                "better": None if pair.better is None else names[pair.better],
                "first_only": [seed.first_only for seed in pair.discordance],
                "second_only": [seed.second_only for seed in pair.discordance],
                "mcnemar_p_values": [seed.p_value for seed in pair.discordance],
            }
            for pair in metric_differences(METRICS.get(metric), summary)
        ]
    )


def omnibus(summary: CohortSummary) -> pd.DataFrame:
    """One row for each common seed: Cochran's Q over all ranked architectures."""
    found = [inference.omnibus(summary.correct[:, place]) for place in range(summary.correct.shape[1])]
    return frame(
        [
            {"seed": seed, "statistic": each.statistic, "degrees_of_freedom": each.freedom, "p_value": each.p_value}
            for seed, each in zip(summary.cohort.common_seeds, found, strict=False)
            if each is not None
        ]
    )


def fairness(summary: CohortSummary) -> pd.DataFrame:
    """One row for each seed: how far its runs were verified to have seen the same batches."""
    return frame(
        [
            {
                "seed": seed.seed,
                "num_runs": seed.num_runs,
                "num_finished": seed.num_finished,
                "identical": seed.identical,
                "verified_step": seed.verified_step,
                "mismatch_step": seed.mismatch_step,
                "digest": seed.digest,
            }
            for seed in summary.cohort.fairness.seeds
        ]
    )


def own_settings(summary: CohortSummary) -> pd.DataFrame:
    """One row for each setting in which the recipes of the architectures differ; none where they have one."""
    return frame([{"setting": key, "values": dict(each)} for key, each in summary.cohort.own_settings.items()])


def weights(summary: CohortSummary) -> pd.DataFrame:
    """One row for each architecture and file of weights that its runs started from; none where none did."""
    files = [
        (name, file)
        for name, records in summary.cohort.by_architecture.items()
        for file in dict.fromkeys(record.spec.weights for record in records)
    ]
    return frame(
        [
            {
                "architecture": name,
                "file": file.file,
                "sha256": file.sha256,
                **msgspec.structs.asdict(file.normalization),
            }
            for name, file in files
            if file
        ]
    )


def classes(summary: CohortSummary) -> pd.DataFrame:
    """One row for each architecture and class: recall, precision and F1 on the test images, mean over seeds."""
    found: list[Row] = []
    for architecture in summary.finished:
        confusions = np.array([run.confusion for run in architecture.runs])
        precisions, scores = statistics.precision(confusions), statistics.f1(confusions)
        images = confusions[0].sum(axis=1).tolist()
        for index, name in enumerate(summary.data.class_names):
            found.append(
                {
                    "architecture": architecture.name,
                    "class": name,
                    "num_test": images[index],
                    "num_runs": len(architecture.runs),
                    **estimate_columns("recall", architecture.recall(index)),
                    **estimate_columns("precision", statistics.mean_interval(precisions[index], 0, 1)),
                    **estimate_columns("f1", statistics.mean_interval(scores[index], 0, 1)),
                }
            )
    return frame(found)


def confusions(architecture: ArchitectureSummary, class_names: Sequence[str], limit: int) -> pd.DataFrame:
    """One row for each of the most frequent confusions of an architecture, over its runs."""
    if architecture.confusion is None:
        return frame([])
    return frame(
        [
            {
                "true": class_names[pair.true],
                "taken_for": class_names[pair.predicted],
                "num_images": pair.count,
                "num_true": pair.total,
                "num_runs": len(architecture.runs),
                **estimate_columns("share", architecture.taken_for(pair.true, pair.predicted)),
            }
            for pair in statistics.confused_pairs(architecture.confusion, limit)
        ]
    )


def rectifiers(summary: CohortSummary) -> pd.DataFrame:
    """One row for each architecture with ReLU or LeakyReLU: what their units did, mean over seeds."""
    found: list[Row] = []
    for architecture in summary.finished:
        runs = [run.rectifiers for run in architecture.runs if run.rectifiers is not None]
        if not runs:
            continue
        worst = max(runs, key=lambda run: run.worst_dead_share)
        gradients = [run.measurements.filter_gradients for run in architecture.runs]
        gradient_images = [gradient.num_images for gradient in gradients if gradient]
        found.append(
            {
                "architecture": architecture.name,
                "num_runs": len(runs),
                "num_units": runs[0].num_units,
                "num_gradient_images": max(gradient_images, default=None),
                **named_columns(
                    architecture,
                    "first_dead_share",
                    "dead_share",
                    "filters_without_gradient",
                    "positive_share",
                    "mean_activation",
                ),
                "worst_site": worst.worst_site,
                "worst_dead_share": worst.worst_dead_share,
            }
        )
    return frame(found)


def reliability(summary: CohortSummary) -> pd.DataFrame:
    """One row for each architecture: how far its confidence on the test images can be believed, mean over seeds."""
    names = (
        "expected_calibration_error", "expected_calibration_error_if_calibrated", "adaptive_calibration_error",
        "brier_score", "test_cross_entropy", "fitted_temperature", "scaled_calibration_error", "scaled_cross_entropy",
        "scaling_calibration_change",
    )  # fmt: skip
    return frame(
        [
            {
                "architecture": architecture.name,
                "num_runs": len(architecture.runs),
                "num_temperatures": sum(run.temperature is not None for run in architecture.runs),
                "num_temperatures_converged": len(METRICS.get("fitted_temperature").values(architecture)),
                **named_columns(architecture, *names),
            }
            for architecture in summary.finished
        ]
    )


def stability(summary: CohortSummary) -> pd.DataFrame:
    """One row for each architecture: how steadily it trains and predicts, mean over seeds."""
    return frame([_stability_row(architecture) for architecture in summary.architectures if architecture.runs])


def failures(summary: CohortSummary) -> pd.DataFrame:
    """One row for each failed run."""
    return frame(
        [
            {
                "architecture": architecture.name,
                "seed": record.spec.seed,
                "cause": record.failure.cause,
                "step": record.failure.step,
                "message": record.failure.message,
                "run_id": record.run_id,
            }
            for architecture in summary.architectures
            for record in architecture.failures
            if record.failure is not None
        ]
    )


def environment(summary: CohortSummary) -> pd.DataFrame:
    """One row for each fact of machine, libraries and way of executing, with every value that the runs had.

    What has parts, as the facts about a GPU, has a row for each: `gpu.ecc`.
    """
    values: dict[str, list[object]] = {}
    for record in summary.cohort.records:
        facts = msgspec.to_builtins(record.environment) | msgspec.to_builtins(record.spec.execution)
        parts = {name: value for name, value in facts.items() if isinstance(value, dict)}
        facts |= {f"{name}.{part}": each for name, value in parts.items() for part, each in value.items()}
        for name, value in facts.items():
            if name in parts:
                continue
            known = values.setdefault(name, [])
            if value not in known:
                known.append(value)
    return frame([{"fact": name, "values": sorted(known, key=str)} for name, known in values.items()])


def runs(summary: CohortSummary) -> pd.DataFrame:
    """One row for each finished run."""
    metrics = metrics_in("runs")
    return frame(
        [
            _with_columns(
                {
                    "architecture": architecture.name,
                    "seed": run.seed,
                    "run_id": run.record.run_id,
                    "started_at": run.record.started_at,
                    **estimate_columns("test_accuracy", run.single_accuracy),
                },
                {metric.name: metric.value(run) for metric in metrics if metric.name != "test_accuracy"},
            )
            for architecture in summary.architectures
            for run in architecture.runs
        ]
    )


def absent_memory(summary: CohortSummary) -> Mapping[str, list[str]]:
    """Kinds of memory that no run of the cohort has, each with the reasons the runs gave."""
    peaks = [run.measurements.peak_memory for architecture in summary.finished for run in architecture.runs]
    return {
        name: sorted({peak.absent.get(name, "no reason was recorded") for peak in peaks})
        for name in MEMORY_FIELDS
        if peaks and all(getattr(peak, name) is None for peak in peaks)
    }


def _stability_row(architecture: ArchitectureSummary) -> Row:
    diverged = [record for record in architecture.failures if record.failure and record.failure.cause == "diverged"]
    row: Row = {
        "architecture": architecture.name,
        "num_runs": len(architecture.runs),
        "num_diverged": len(diverged),
        **named_columns(architecture, "loss_variance", "spike_score"),
        "run_to_run_deviation": architecture.run_to_run_deviation,
        **named_columns(architecture, "accuracy_swing", "churn", "forgetting_events"),
    }
    for part in ("wins", "losses", "neutral", "unnecessary"):
        churn = architecture.churn_between_evaluations
        row[f"churn_{part}"] = getattr(churn, part) if churn else None
    for part in ("total", "wins", "losses", "neutral", "unnecessary"):
        churn = architecture.churn_between_seeds
        row[f"seed_churn_{part}"] = getattr(churn, part) if churn else None
    return row


def _main_row(architecture: ArchitectureSummary, summary: CohortSummary) -> Row:
    records = [*(run.record for run in architecture.runs), *architecture.failures]
    causes = sorted({record.failure.cause for record in architecture.failures if record.failure is not None})
    row: Row = {
        "architecture": architecture.name,
        "provider": records[0].spec.provider,
        "rank": architecture.rank,
        "group": summary.groups.get(architecture.name),
        "num_finished": len(architecture.runs),
        "num_failed": len(architecture.failures),
        "failure_causes": " ".join(causes) or None,
    }
    extra: dict[str, Row] = {
        "test_accuracy": {"majority_baseline": architecture.majority_share("test")},
        "step_seconds": {
            "step_seconds_quartile_1": statistics.quantile(architecture.step_seconds, 0.25),
            "step_seconds_quartile_3": statistics.quantile(architecture.step_seconds, 0.75),
            "num_timed_steps": len(architecture.step_seconds),
        },
    }
    for metric in metrics_in("export"):
        row = _with_columns(row, metric_columns(metric, architecture) | extra.get(metric.name, {}))
    return row


def _with_columns(row: Row, columns: Row) -> Row:
    """Add columns to a row.

    Raises:
        UserError: the row has one of them already, as where a plug-in has a metric `seed`.
    """
    if twice := sorted({*row, "cohort"} & columns.keys()):  # CSV and frames begin with the cohort
        raise UserError(f"metric {twice[0]!r}: a table has another column of this name; choose another name")
    return row | columns
