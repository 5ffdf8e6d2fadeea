"""Arithmetic: FLOP/s against the measured and the stated peak."""

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cells, Paragraph, cell, table
from intelbench.reporting.formatting import escape
from intelbench.reporting.rows import rows
from intelbench.results import usage
from intelbench.results.summaries import CohortSummary


def arithmetic(summary: CohortSummary) -> list[Block]:
    """Achieved and possible FLOP/s, and how long the first step was waited for; nothing if no run has finished."""
    if not summary.finished:
        return []
    found = rows(usage.compute(summary))
    stated = any(row.stated_peak_flops_per_second for row in found)
    headers = ["Architecture", "Training GFLOPs an image", "Achieved (GFLOP/s)", "Measured peak (GFLOP/s)", "MFU (%)"]
    headers += ["Data-sheet peak (GFLOP/s)", "MFU of that (%)"] if stated else []
    headers += ["First step after (s)"]
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.training_flops_per_image, formatting.giga),
            cell(row.estimate("achieved_flops_per_second"), formatting.giga_interval),
            cell(row.measured_peak_flops_per_second, formatting.giga),
            cell(row.estimate("utilization"), formatting.percent_number),
            *([cell(row.stated_peak_flops_per_second, formatting.giga)] if stated else []),
            *([cell(row.stated_utilization, formatting.bare_percent)] if stated else []),
            cell(row.estimate("first_step_seconds"), formatting.number_interval),
        ]
        for row in found
    ]
    note = (
        "FLOPs of forward and backward pass as trained (1 MAC = 2 FLOPs); convolutions and matrix products are "
        "counted, normalisation, activations, pooling and the optimizer are not. **Achieved**: that times images a "
        "second, data wait included. **Measured peak**: the quickest of all repetitions of one convolution and one "
        "matrix product in the same precision and process, before, between and after training. **MFU**: model FLOPs "
        "utilization (Chowdhery et al., PaLM, 2022), achieved over peak. **First step after**: from the start of the "
        "process, with imports, data, building and the first reference kernels. Means over the runs, with their 95 % "
        "interval over seeds."
    )
    device = escape(summary.cohort.records[0].environment.device_name)
    note += "" if stated else f" No data sheet is known for {device}, so no peak is stated."
    return [table(headers, cells), Paragraph(note)]
