"""Mistakes: the test images that every architecture gets wrong."""

from collections import Counter
from collections.abc import Sequence

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Gallery, GalleryImage, Paragraph
from intelbench.results import mistakes as results
from intelbench.results.mistakes import SharedMistake
from intelbench.results.summaries import CohortSummary

MAX_IMAGES = 60


def mistakes(summary: CohortSummary) -> list[Block]:
    """Return the images that every architecture gets wrong, and of which classes; nothing without a finished run."""
    if not summary.finished:
        return []
    shared = results.shared(summary)
    if shared is None:
        return [Paragraph("The runs did not read the same test images, so none can be compared.")]
    if not shared:
        return [Paragraph("None: every test image is right in at least half of the runs of some architecture.")]
    images = [_image(mistake, summary.data.class_names) for mistake in shared[:MAX_IMAGES]]
    description = "Images that every architecture gets wrong"
    return [Paragraph(_answer(shared, summary)), Gallery(description, images, summary.data.digest)]


def _answer(shared: Sequence[SharedMistake], summary: CohortSummary) -> str:
    numbers, names = Counter(mistake.label for mistake in shared), summary.data.class_names
    by_class = formatting.listed(f"{formatting.escape(names[label])} {n:,}" for label, n in sorted(numbers.items()))
    share = formatting.percent(len(shared) / summary.data.num_test)
    num_runs = sum(len(architecture.runs) for architecture in summary.finished)
    said = "what it was predicted as, and with what confidence"
    if num_runs > 1:
        said = (
            f"as what it was predicted in how many of all {num_runs:,} runs, and the mean confidence of the runs that "
            "got it wrong"
        )
    shown = f" The {MAX_IMAGES} that most runs get wrong are shown." if len(shared) > MAX_IMAGES else ""
    return (
        f"**{len(shared):,} of {plural(summary.data.num_test, 'test image')} ({share})** are misclassified "
        f"in more than half of the runs of each architecture; by true class: {by_class}. Said of each image: its true "
        f"class, {said}.{shown}"
    )


def _image(mistake: SharedMistake, class_names: Sequence[str]) -> GalleryImage:
    names = list(map(formatting.printable, class_names))
    return GalleryImage(
        image_id=mistake.image_id,
        name=formatting.printable(mistake.image_id.rpartition("/")[2]),
        label=names[mistake.label],
        predicted=", ".join(
            f"{number}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{names[wrong]}" for wrong, number in mistake.predicted
        ),
        confidence=formatting.percent(mistake.confidence, 0),
    )
