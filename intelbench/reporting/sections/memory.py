"""Memory: predicted peaks by what fills them, measured ones, and the published kind of figure."""

from collections.abc import Sequence

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cells, Items, Paragraph, Table, cell, table
from intelbench.reporting.formatting import escape
from intelbench.reporting.rows import Row, rows
from intelbench.results import usage
from intelbench.results.summaries import MEMORY_FIELDS, CohortSummary

_KINDS = ("parameters", "gradients", "optimizer_state", "activations", "temporaries")


def memory(summary: CohortSummary) -> list[Block]:
    """Predicted and measured peaks; nothing where the records hold no profile, nor a reason for it."""
    reasons = [f"No profile: {escape(reason)}" for reason in usage.profiles_absent(summary)]
    found = rows(usage.memory(summary))
    if not found:
        return [Items(reasons)] if reasons else []
    reasons += [f"{escape(row.architecture)}: {escape(row.probe_failure)}" for row in found if row.probe_failure]
    on_gpu = summary.cohort.spec.execution.device == "cuda"
    return [
        _peaks(found, "cuda_allocated_bytes" if on_gpu else "process_bytes"),
        Paragraph(_note(summary, on_gpu)),
        *([Items(reasons)] if reasons else []),
        *_torchsummary(found, summary),
    ]


def _peaks(found: Sequence[Row], against: str) -> Table:
    measured = [field for field in MEMORY_FIELDS if any(getattr(row, f"probe_{field}") is not None for row in found)]
    headers = ["Architecture", "Predicted peak", "Parameters", "Gradients", "Optimizer state", "Activations"]
    headers += ["Temporaries", "Predicted reserved"]
    headers += [f"Measured {formatting.memory_name(field)}" for field in measured] + ["Measured / predicted"]
    cells: Cells = []
    for row in found:
        probed, predicted = getattr(row, f"probe_{against}"), row.predicted_peak_bytes
        quotient = None if probed is None or not predicted else probed / predicted
        cells.append(
            [
                escape(row.architecture),
                cell(predicted, formatting.size),
                *(cell(getattr(row, f"predicted_{kind}_bytes"), formatting.size) for kind in _KINDS),
                cell(row.predicted_reserved_bytes, formatting.size),
                *(cell(getattr(row, f"probe_{field}"), formatting.size) for field in measured),
                cell(quotient, formatting.ratio),
            ]
        )
    return table(headers, cells)


def _note(summary: CohortSummary, on_gpu: bool) -> str:
    batch_size = " or ".join(map(str, summary.cohort.batch_sizes))
    note = (
        f"For a training step of {batch_size} images. **Predicted**: from the sizes of the tensors of two steps, for a "
        "GPU; what lives at the moment of the peak, and what PyTorch's caching allocator reserves for it. Not covered: "
        "workspaces of cuDNN and cuBLAS, the CUDA context, fused kernels, compiled graphs. **Measured**: the peak of "
        "a real step, the optimizer's state included, in a process of its own"
    )
    return note + (
        ", to compare with the predicted peak." if on_gpu else
        " that returns at once what it frees; above its memory before the network was built, and with the libraries' "
        "own buffers. The main table has the peak of the run itself, which keeps what it frees for the next step."
    )  # fmt: skip


def _torchsummary(found: Sequence[Row], summary: CohortSummary) -> list[Block]:
    conditions, num_classes = summary.cohort.spec.conditions, len(summary.data.class_names)
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.published_bytes, formatting.mebibytes),
            cell(row.torchsummary_bytes, formatting.mebibytes),
            cell(row.predicted_peak_bytes, formatting.mebibytes),
        ]
        for row in found
    ]
    headers = ["MB (2²⁰ bytes)", "Published parity", "The same as trained", "Predicted peak"]
    note = (
        "What was published as the memory of ResNet-152, Wide ResNet-101-2 and Inception-v3 (1343.71, 1481.65 and "
        "333.30 MB) is torchsummary's estimate for one image: the outputs of all modules, twice, with 1000 classes at "
        f"300 px. **The same as trained**: {num_classes:,} classes at {conditions.image_size} px. It is neither the "
        "peak of memory nor proportional to it."
    )
    return [table(headers, cells), Paragraph(note)]
