"""Arithmetic: FLOP/s against the measured and the stated peak."""

from intelbench.reporting.document import Block, Paragraph, definitions, table_of
from intelbench.reporting.formatting import bare_percent, escape, giga, giga_interval, number_interval, percent_number
from intelbench.reporting.rows import ARCHITECTURE, estimate, number
from intelbench.results import usage
from intelbench.results.summaries import CohortSummary

_COLUMNS = (
    ARCHITECTURE,
    number("Training GFLOPs an image", "training_flops_per_image", giga),
    estimate(
        "Achieved (GFLOP/s)", "achieved_flops_per_second", giga_interval,
        "that times images a second, data wait included",
    ),
    number(
        "Measured peak (GFLOP/s)", "measured_peak_flops_per_second", giga,
        "the quickest of all repetitions of one convolution and one matrix product in the same precision and process, "
        "before, between and after training",
    ),
    estimate(
        "MFU (%)", "utilization", percent_number,
        "model FLOPs utilization (Chowdhery et al., PaLM, 2022), achieved over peak",
    ),
)  # fmt: skip
_STATED = (
    number("Data-sheet peak (GFLOP/s)", "stated_peak_flops_per_second", giga),
    number("MFU of that (%)", "stated_utilization", bare_percent),
)
_FIRST_STEP = estimate(
    "First step after (s)", "first_step_seconds", number_interval,
    "from the start of the process, with imports, data, building and the first reference kernels",
)  # fmt: skip


def arithmetic(summary: CohortSummary) -> list[Block]:
    """Return achieved and possible FLOP/s, and the time of the first step; nothing if no run has finished."""
    if not summary.finished:
        return []
    architectures = list(usage.compute(summary))
    is_stated = any(row["stated_peak_flops_per_second"] for row in architectures)
    columns = [*_COLUMNS, *(_STATED if is_stated else ()), _FIRST_STEP]
    note = (
        "FLOPs of forward and backward pass as trained (1 MAC = 2 FLOPs); convolutions and matrix products are "
        "counted, normalisation, activations, pooling and the optimizer are not. "
        f"{definitions(columns)} Means over the runs, with their 95 % interval over seeds."
    )
    device = escape(summary.cohort.records[0].environment.device_name)
    note += "" if is_stated else f" No data sheet is known for {device}, so no peak is stated."
    return [table_of(columns, architectures), Paragraph(note)]
