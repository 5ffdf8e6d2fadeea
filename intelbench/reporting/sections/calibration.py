"""Calibration: how far the confidence of a network can be believed."""

from collections.abc import Sequence
from functools import partial

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cell, Cells, Figure, Paragraph, cell, table
from intelbench.reporting.figures import plots
from intelbench.reporting.formatting import ABSENT, bare_percent, code, escape, number_interval, percent_number
from intelbench.reporting.rows import Row, rows
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.calibration import NUM_BINS, TEMPERATURES


def calibration(summary: CohortSummary) -> list[Block]:
    """Errors of calibration, before and after scaling; nothing where no run has finished."""
    found = rows(tables.reliability(summary))
    if not found:
        return []
    is_scaled = any(row.num_temperatures for row in found)
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.estimate("expected_calibration_error"), percent_number),
            cell(row.expected_calibration_error_if_calibrated, bare_percent),
            cell(row.estimate("adaptive_calibration_error"), percent_number),
            cell(row.estimate("brier_score"), number_interval),
            cell(row.estimate("test_cross_entropy"), number_interval),
            *(_scaled(row) if is_scaled else []),
        ]
        for row in found
    ]
    headers = ["Architecture", "ECE (%)", "ECE if calibrated (%)", "Adaptive ECE (%)", "Brier score", "NLL (nats)"]
    headers += ["Temperature", "ECE, scaled (%)", "NLL, scaled (nats)"] if is_scaled else []
    note = _note(summary) + (_scaling_note(summary, found) if is_scaled else "")
    return [table(headers, cells), *_figure(summary), Paragraph(note)]


def _note(summary: CohortSummary) -> str:
    return (
        "Of the test images, without scaling of the logits where nothing else is said. **ECE**, expected calibration "
        "error: mean distance between confidence, the largest softmax probability, and accuracy, over "
        f"{NUM_BINS} bins of equal width, the last one closed (Naeini et al., 2015; Guo et al., 2017). **ECE if "
        "calibrated**: what a perfectly calibrated network with the same confidences is expected to show on "
        f"{summary.data.num_test:,} images by chance alone; an ECE near it is no sign of miscalibration. **Adaptive "
        "ECE**: with bins of equally many images (Nguyen and O'Connor, 2015). **Brier score**: squared distance of the "
        "probabilities from the truth, 0 to 2 (Brier, 1950). **NLL**: negative log-likelihood. Means over the runs, "
        "with their 95 % interval over seeds."
    )


def _scaling_note(summary: CohortSummary, found: Sequence[Row]) -> str:
    return (
        " **Temperature**: what the logits are divided by for **scaled**, fitted to the "
        f"{summary.data.num_validation:,} validation images alone (Guo et al., 2017); above 1 the network was too "
        f"sure of itself. {_scaling(found)}"
    )


def _figure(summary: CohortSummary) -> list[Block]:
    if not any(run.reliability for architecture in summary.finished for run in architecture.runs):
        return []
    name = f"reliability-{summary.cohort.key}.svg"
    return [Figure(name, "Accuracy against confidence", partial(plots.reliability, summary))]


def _scaling(found: Sequence[Row]) -> str:
    """What scaling did: where no temperature was found, and where it made the calibration worse."""
    coldest, hottest = (f"{bound:g}" for bound in TEMPERATURES)
    failed = [
        f"{code(row.architecture)} ({row.num_temperatures - row.num_temperatures_converged} of "
        f"{formatting.plural(row.num_temperatures, 'run')})"
        for row in found
        if row.num_temperatures_converged < row.num_temperatures
    ]
    changes = {code(row.architecture): row.estimate("scaling_calibration_change") for row in found}
    worse = [
        f"{name} ({formatting.points(change)} points)" for name, change in changes.items() if change and change.mean > 0
    ]
    sentences = []
    if failed:
        sentences.append(
            f"The fit did not converge for {formatting.listed(failed)}: the likelihood still rises at {coldest} or "
            f"{hottest}, the bounds of the search. These runs are left out of the three columns."
        )
    if worse:
        sentences.append(f"Scaling makes ECE worse for {formatting.listed(worse)}.")
    return " ".join(sentences)


def _scaled(row: Row) -> list[Cell]:
    """Of the runs for which a temperature was found."""
    if not row.num_temperatures_converged:
        return [Cell("not converged" if row.num_temperatures else ABSENT), Cell(ABSENT), Cell(ABSENT)]
    of_those = Row(**{**vars(row), "num_runs": row.num_temperatures_converged})
    return [
        cell(of_those.estimate("fitted_temperature"), number_interval),
        cell(of_those.estimate("scaled_calibration_error"), percent_number),
        cell(of_those.estimate("scaled_cross_entropy"), number_interval),
    ]
