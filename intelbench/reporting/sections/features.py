"""Stored features: what the backbone cost once, what each head cost, and the memory of both."""

from intelbench.reporting.document import Block, Paragraph, table_of
from intelbench.reporting.formatting import count, number_interval, significant, size
from intelbench.reporting.rows import ARCHITECTURE, estimate, number
from intelbench.results import usage
from intelbench.results.summaries import CohortSummary

_COLUMNS = (
    ARCHITECTURE,
    number("Images through the backbone", "num_images", count),
    number("Extraction (s)", "extraction_seconds", significant),
    estimate("Extraction (images/s)", "extracted_images_per_second", number_interval),
    number("Runs with extraction", "num_computed", count),
    number("Peak memory with extraction", "peak_bytes_computed", size),
    estimate("Head epoch (s)", "head_epoch_seconds", number_interval),
    number("Runs on stored features", "num_read", count),
    number("Peak memory on stored features", "peak_bytes_read", size),
    number("Other runs", "num_other", count),
)
_NOTE = (
    "What a frozen backbone makes of an image is computed once and kept, so the first run of an architecture pays for "
    "the backbone, and all others train a head alone. **Images through the backbone**: every stored view of the "
    "training images, and the images of each evaluation. **Extraction**: all of them, loading included; the budget "
    "counts those of the training images in every run. **Peak memory**: the largest of the runs that computed all "
    "features, and of those that read all of them, which never ran the backbone on more than two images. "
    "**Other runs** computed some of their features and read the rest, or were resumed, so they are in neither peak."
)


def features(summary: CohortSummary) -> list[Block]:
    """Return a table of the architectures whose heads were trained on features; nothing if there is none."""
    architectures = list(usage.features(summary))
    return [table_of(_COLUMNS, architectures), Paragraph(_NOTE)] if architectures else []
