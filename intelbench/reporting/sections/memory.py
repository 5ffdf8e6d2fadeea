"""Memory: predicted peaks by what fills them, measured ones, and the published kind of figure."""

from intelbench.reporting.document import Block, Cell, Column, Items, Paragraph, cell, table_of
from intelbench.reporting.formatting import MEMORY_KINDS, MEMORY_NAMES, escape, mebibytes, size
from intelbench.reporting.rows import ARCHITECTURE, Row, number
from intelbench.results import usage
from intelbench.results.summaries import MEMORY_FIELDS, CohortSummary

_PREDICTED = (
    ARCHITECTURE,
    number("Predicted peak", "predicted_peak_bytes", size),
    *(number(title, f"predicted_{field}", size) for field, title in MEMORY_KINDS.items()),
    number("Predicted reserved", "predicted_reserved_bytes", size),
)
_TORCHSUMMARY = (
    Column[Row]("MB (2²⁰ bytes)", ARCHITECTURE.show, is_number=False),
    number("Published parity", "published_bytes", mebibytes),
    number("The same as trained", "torchsummary_bytes", mebibytes),
    number("Predicted peak", "predicted_peak_bytes", mebibytes),
)


def memory(summary: CohortSummary) -> list[Block]:
    """Return predicted and measured peaks; nothing where the records hold no profile, nor a reason for it."""
    absent = sorted({record.profile_absent for record in summary.cohort.records if record.profile_absent})
    reasons = [f"No profile: {escape(reason)}" for reason in absent]
    architectures = list(usage.memory(summary))
    if not architectures:
        return [Items(reasons)] if reasons else []
    failures = {row["architecture"]: row["probe_failure"] for row in architectures}
    reasons += [f"{escape(name)}: {escape(failure)}" for name, failure in failures.items() if failure]
    is_on_gpu = summary.cohort.spec.execution.device == "cuda"
    probed = f"probe_{'cuda_allocated_bytes' if is_on_gpu else 'process_bytes'}"

    def quotient(row: Row) -> Cell:
        measured, predicted = row[probed], row["predicted_peak_bytes"]
        return cell(measured / predicted if measured is not None and predicted else None, "{:.3f}".format)

    columns = [
        *_PREDICTED,
        *(
            number(f"Measured {MEMORY_NAMES[field]}", f"probe_{field}", size)
            for field in MEMORY_FIELDS
            if any(row[f"probe_{field}"] is not None for row in architectures)
        ),
        Column("Measured / predicted", quotient),
    ]
    published = (
        "What was published as the memory of ResNet-152, Wide ResNet-101-2 and Inception-v3 (1343.71, 1481.65 and "
        "333.30 MB) is torchsummary's estimate for one image: the outputs of all modules, twice, with 1000 classes at "
        f"300 px. **The same as trained**: {len(summary.data.class_names):,} classes at "
        f"{summary.cohort.spec.conditions.image_size} px. It is neither the peak of memory nor proportional to it."
    )
    return [
        table_of(columns, architectures),
        Paragraph(_note(summary, is_on_gpu)),
        *([Items(reasons)] if reasons else []),
        table_of(_TORCHSUMMARY, architectures),
        Paragraph(published),
    ]


def _note(summary: CohortSummary, is_on_gpu: bool) -> str:
    gpus = summary.cohort.spec.execution.gpus
    batch_size = " or ".join(str(size // gpus) for size in summary.cohort.batch_sizes)
    each = f" on each of {gpus} devices, without the copies of gradients that they exchange" if gpus > 1 else ""
    note = (
        f"For a training step of {batch_size} images{each}. **Predicted**: from the sizes of the tensors of two steps, "
        "for a GPU; what lives at the moment of the peak, and what PyTorch's caching allocator reserves for it. Not "
        "covered: "
        "workspaces of cuDNN and cuBLAS, the CUDA context, fused kernels, compiled graphs. **Measured**: the peak of "
        "a real step, the optimizer's state included, in a process of its own"
    )
    return note + (
        ", to compare with the predicted peak." if is_on_gpu else
        " that returns at once what it frees; above its memory before the network was built, and with the libraries' "
        "own buffers. The main table has the peak of the run itself, which keeps what it frees for the next step."
    )  # fmt: skip
