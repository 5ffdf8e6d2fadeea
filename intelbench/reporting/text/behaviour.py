"""Sections of the report on how networks behave: how sure they are, how steadily they learn, what rectifiers do."""

from collections.abc import Mapping, Sequence
from typing import Any

from intelbench.reporting import markdown
from intelbench.reporting.markdown import ABSENT, code, escape
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary
from intelbench.results.tables import estimate_of, rows
from intelbench.statistics.calibration import NUM_BINS, TEMPERATURES
from intelbench.statistics.stability import SPIKE_DEVIATIONS, SPIKE_WINDOW

Row = Mapping[str, Any]


def reliability(summary: CohortSummary, figure: str | None) -> list[str]:
    """How far confidence can be believed; `figure` is the file of the reliability diagram."""
    found = rows(tables.reliability(summary))
    scaled = any(row["num_temperatures"] for row in found)
    cells = [
        [
            escape(row["architecture"]),
            percentages(row, "expected_calibration_error"),
            markdown.bare_percent(row["expected_calibration_error_if_calibrated"]),
            percentages(row, "adaptive_calibration_error"),
            markdown.number_interval(estimate_of(row, "brier_score")),
            markdown.number_interval(estimate_of(row, "test_cross_entropy")),
            *(_scaled(row) if scaled else []),
        ]
        for row in found
    ]
    headers = ["Architecture", "ECE (%)", "ECE if calibrated (%)", "Adaptive ECE (%)", "Brier score", "NLL (nats)"]
    headers += ["Temperature", "ECE, scaled (%)", "NLL, scaled (nats)"] if scaled else []
    note = (
        "Of the test images, without scaling of the logits where nothing else is said. **ECE**, expected calibration "
        "error: mean distance between confidence, the largest softmax probability, and accuracy, over "
        f"{NUM_BINS} bins of equal width, the last one closed (Naeini et al., 2015; Guo et al., 2017). **ECE if "
        "calibrated**: what a perfectly calibrated network with the same confidences is expected to show on "
        f"{summary.data.num_test:,} images by chance alone; an ECE near it is no sign of miscalibration. **Adaptive "
        "ECE**: with bins of equally many images (Nguyen and O'Connor, 2015). **Brier score**: squared distance of the "
        "probabilities from the truth, 0 to 2 (Brier, 1950). **NLL**: negative log-likelihood. Means over the runs, "
        "with their 95 % interval over seeds."
    )
    if scaled:
        note += (
            " **Temperature**: what the logits are divided by for **scaled**, fitted to the "
            f"{summary.data.num_validation:,} validation images alone (Guo et al., 2017); above 1 the network was too "
            f"sure of itself. {_scaling(found)}"
        )
    image = [f"![Accuracy against confidence](figures/{figure})"] if figure else []
    return [markdown.table(headers, cells), *image, note]


def stability(summary: CohortSummary) -> list[str]:
    """Whether losses jump, accuracy swings, and predictions change without need."""
    found = rows(tables.stability(summary))
    cells = [
        [
            escape(row["architecture"]),
            markdown.number_interval(estimate_of(row, "loss_variance")),
            percentages(row, "spike_score"),
            str(row["num_diverged"]),
            markdown.bare_percent(row["run_to_run_deviation"]),
            percentages(row, "accuracy_swing"),
            markdown.number_interval(estimate_of(row, "forgetting_events")),
        ]
        for row in found
    ]
    headers = ["Architecture", "Loss variance", "Spikes (%)", "Diverged", "Run to run (points)", "Swing (points)"]
    headers += ["Forgetting events an image"]
    points = summary.cohort.spec.conditions.evaluation_points
    note = (
        "**Loss variance**: as in the main table. **Spikes**: share of training steps whose loss lies more than "
        f"{SPIKE_DEVIATIONS:g} standard deviations above the mean of the {SPIKE_WINDOW} steps before (after OLMo 2, "
        "2024, with a shorter window). **Run to run**: standard deviation of test accuracy over seeds. **Swing**: mean "
        f"absolute change of validation accuracy between the {points} evaluation points. **Forgetting events**: right "
        "at one evaluation point and wrong at the next (after Toneva et al., 2019, on validation images). Means over "
        "the runs, with their 95 % interval over seeds."
    )
    churn_note = (
        "**Prediction churn** (Milani Fard et al., 2016): share of the same images whose prediction changed, from one "
        "evaluation point to the next on validation images, mean over the runs; and between two seeds on test images, "
        "mean over all pairs. Wins went from wrong to right, losses from right to wrong, neutral ones from wrong to "
        "wrong; unnecessary is what the change in accuracy does not require: wins and losses that cancel, and the "
        "neutral ones."
    )
    return [markdown.table(headers, cells), note, _churn(found), churn_note]


def rectifiers(summary: CohortSummary) -> list[str]:
    """What the units of ReLU and LeakyReLU did, by one rule for both; nothing where there are none."""
    records = rows(tables.rectifiers(summary))
    if not records:
        return []
    cells = [
        [
            escape(row["architecture"]),
            markdown.count(row["num_units"]),
            percentages(row, "first_dead_share"),
            percentages(row, "dead_share"),
            percentages(row, "filters_without_gradient"),
            percentages(row, "positive_share"),
            markdown.number_interval(estimate_of(row, "mean_activation")),
            f"{code(row['worst_site'])}: {markdown.percent(row['worst_dead_share'])}"
            if row["worst_dead_share"]
            else "none",
        ]
        for row in records
    ]
    num_images = max(row["num_gradient_images"] or 0 for row in records)
    headers = [
        "Architecture",
        "Units",
        "Never positive (%), first evaluation",
        "Never positive (%), last",
        "Filters without gradient (%)",
        "Positive outputs (%)",
        "Mean activation",
        "Most dead units",
    ]
    note = (
        f"Over the {summary.data.num_validation:,} validation images in evaluation mode; with more images, fewer units "
        "would seem dead. A unit is a channel of one call of ReLU or LeakyReLU; it is never positive if no image and "
        "no position brings it above 0. With LeakyReLU such a unit still passes a gradient. Filters without gradient "
        "are the convolution filters for which the gradient of the loss is exactly 0 for every batch of "
        f"{num_images:,} of these images, after training. Positive outputs and mean activation are means over the "
        "calls, at the last evaluation. All are means over the runs, with their 95 % interval over seeds; the last "
        "column is the worst call of the worst run."
    )
    return [note, markdown.table(headers, cells)]


def percentages(row: Row, name: str) -> str:
    """An estimate in percent, where the heading has the unit."""
    return markdown.percent_interval(estimate_of(row, name), unit="")


def _scaling(found: Sequence[Row]) -> str:
    """What scaling did: where no temperature was found, and where it made the calibration worse."""
    coldest, hottest = (f"{bound:g}" for bound in TEMPERATURES)
    failed = [
        f"{code(row['architecture'])} ({row['num_temperatures'] - row['num_temperatures_converged']} of "
        f"{markdown.plural(row['num_temperatures'], 'run')})"
        for row in found
        if row["num_temperatures_converged"] < row["num_temperatures"]
    ]
    changes = {code(row["architecture"]): estimate_of(row, "scaling_calibration_change") for row in found}
    worse = [
        f"{name} ({markdown.points(change)} points)" for name, change in changes.items() if change and change.mean > 0
    ]
    sentences = []
    if failed:
        sentences.append(
            f"The fit did not converge for {markdown.listed(failed)}: the likelihood still rises at {coldest} or "
            f"{hottest}, the bounds of the search. These runs are left out of the three columns."
        )
    if worse:
        sentences.append(f"Scaling makes ECE worse for {markdown.listed(worse)}.")
    return " ".join(sentences)


def _scaled(row: Row) -> list[str]:
    if not row["num_temperatures_converged"]:
        return ["not converged" if row["num_temperatures"] else ABSENT, ABSENT, ABSENT]
    row = {**row, "num_runs": row["num_temperatures_converged"]}
    return [
        markdown.number_interval(estimate_of(row, "fitted_temperature")),
        percentages(row, "scaled_calibration_error"),
        markdown.number_interval(estimate_of(row, "scaled_cross_entropy")),
    ]


def _churn(found: list[dict[str, Any]]) -> str:
    parts = ("total", "wins", "losses", "neutral", "unnecessary")
    cells = [
        [
            escape(row["architecture"]),
            percentages(row, "churn"),
            *(markdown.bare_percent(row[f"churn_{part}"]) for part in parts[1:]),
            *(markdown.bare_percent(row[f"seed_churn_{part}"]) for part in (parts[0], parts[3], parts[4])),
        ]
        for row in found
    ]
    headers = ["Churn (%)", "Between evaluations", "Wins", "Losses", "Neutral", "Unnecessary"]
    headers += ["Between seeds", "Neutral", "Unnecessary"]
    return markdown.table(headers, cells)
