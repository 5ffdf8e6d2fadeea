"""Calibration: how far the confidence of a network can be believed."""

from collections.abc import Callable, Sequence
from functools import partial

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cell, Column, Figure, Paragraph, cell, definitions, table_of
from intelbench.reporting.figures import plots
from intelbench.reporting.formatting import ABSENT, bare_percent, code, number_interval, percent_number
from intelbench.reporting.rows import ARCHITECTURE, Row, estimate, number
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.calibration import NUM_BINS, TEMPERATURES
from intelbench.statistics.estimates import Estimate


def calibration(summary: CohortSummary) -> list[Block]:
    """Show errors of calibration, before and after scaling; nothing where no run has finished."""
    architectures = list(tables.reliability(summary))
    if not architectures:
        return []
    columns = _columns(summary)
    note = (
        "Of the test images, without scaling of the logits where nothing else is said. "
        f"{definitions(columns)} Means over the runs, with their 95 % interval over seeds and test images; "
        f"how: docs/statistics.md. {_near_calibrated(architectures)}"
    )
    if any(row["num_temperatures"] for row in architectures):
        scaled = _scaled_columns(summary)
        columns += scaled
        note += f" {definitions(scaled)} {_scaling(architectures)}"
    blocks: list[Block] = [table_of(columns, architectures)]
    if any(run.reliability for run in summary.runs):
        blocks.append(Figure("reliability", "Accuracy against confidence", partial(plots.reliability, summary)))
    return [*blocks, Paragraph(note)]


def _columns(summary: CohortSummary) -> list[Column[Row]]:
    return [
        ARCHITECTURE,
        estimate(
            "ECE (%)", "expected_calibration_error", percent_number,
            "expected calibration error, the mean distance between confidence, the largest softmax probability, and "
            f"accuracy, over {NUM_BINS} bins of equal width, the last one closed (Naeini et al., 2015; Guo et al., "
            "2017)",
        ),
        number(
            "ECE if calibrated (%)", "expected_calibration_error_if_calibrated", bare_percent,
            "what a perfectly calibrated network with the same confidences is expected to show on "
            f"{summary.data.num_test:,} images by chance alone; an ECE near it is no sign of miscalibration",
        ),
        estimate(
            "Adaptive ECE (%)", "adaptive_calibration_error", percent_number,
            "with bins of equally many images (Nguyen and O'Connor, 2015)",
        ),
        estimate(
            "Brier score", "brier_score", number_interval,
            "squared distance of the probabilities from the truth, 0 to 2 (Brier, 1950)",
        ),
        estimate("NLL (nats)", "test_cross_entropy", number_interval, "negative log-likelihood"),
    ]  # fmt: skip


def _scaled_columns(summary: CohortSummary) -> list[Column[Row]]:
    """Return columns over the runs for which a temperature was found."""
    return [
        _scaled(
            "Temperature", "fitted_temperature", number_interval,
            f"what the logits are divided by for **scaled**, fitted to the {summary.data.num_validation:,} validation "
            "images alone (Guo et al., 2017), with an interval over seeds; above 1 the network was too sure of itself",
        ),
        _scaled("ECE, scaled (%)", "scaled_calibration_error", percent_number),
        _scaled("NLL, scaled (nats)", "scaled_cross_entropy", number_interval),
    ]  # fmt: skip


def _scaled(title: str, name: str, write: Callable[[Estimate], str], definition: str = "") -> Column[Row]:
    def show(row: Row) -> Cell:
        if num_runs := row["num_temperatures_converged"]:
            return cell(tables.estimate_of(row, name, num_runs), write)
        is_first = name == "fitted_temperature" and row["num_temperatures"]
        return Cell("not converged" if is_first else ABSENT)

    return Column(title, show, definition)


def _near_calibrated(architectures: Sequence[Row]) -> str:
    """Say whose calibration error is not beyond what chance alone would show."""
    near = []
    for row in architectures:
        error = tables.estimate_of(row, "expected_calibration_error")
        chance = row["expected_calibration_error_if_calibrated"]
        if error and error.low is not None and chance is not None and error.low <= chance:
            near.append(code(row["architecture"]))
    return f"ECE is not beyond that of a calibrated network for {formatting.listed(near)}." if near else ""


def _scaling(architectures: Sequence[Row]) -> str:
    """Say what scaling did: where no temperature was found, and where it made the calibration worse."""
    coldest, hottest = (f"{bound:g}" for bound in TEMPERATURES)
    failed: list[str] = []
    worse: list[str] = []
    higher: list[str] = []
    for row in architectures:
        name, number = code(row["architecture"]), row["num_temperatures"]
        if left := number - row["num_temperatures_converged"]:
            failed.append(f"{name} ({left} of {plural(number, 'run')})")
        change = tables.estimate_of(row, "scaling_calibration_change")
        if change and change.mean > 0:
            is_beyond_noise = change.low is not None and change.low > 0
            (worse if is_beyond_noise else higher).append(f"{name} ({formatting.points(change)} points)")
    sentences = []
    if failed:
        sentences.append(
            f"The fit did not converge for {formatting.listed(failed)}: the likelihood still rises at {coldest} or "
            f"{hottest}, the bounds of the search. These runs are left out of the three columns."
        )
    if worse:
        sentences.append(f"Scaling makes ECE worse for {formatting.listed(worse)}.")
    if higher:
        sentences.append(f"ECE is higher after scaling, within the noise, for {formatting.listed(higher)}.")
    return " ".join(sentences)
