"""The section on identical batches says what is the suite's and what is the network's in the preparation of images."""

from msgspec.structs import replace

from intelbench.records.types import IMAGENET_NORMALIZATION, Normalization, Preprocessing, Weights
from intelbench.reporting.sections.identical_batches import identical_batches
from tests.reporting.rendered import rendered
from tests.synthetic import Summarize

OWN_FILE = Weights(file="mine.pth", sha256="ab" * 32, normalization=IMAGENET_NORMALIZATION)
OF_A_HUB = Weights(
    file="timm/vit.augreg_in1k/model.safetensors",
    sha256="cd" * 32,
    normalization=Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    preprocessing=Preprocessing(image_size=384, crop_fraction=0.95, interpolation="bicubic"),
    licence="cc-by-nc-4.0",
)


def section(summarize: Summarize, **weights: Weights) -> str:
    """The section on two architectures with these weights, at 64 px."""
    return "\n".join(rendered(identical_batches(summarize(["a", "b"], weights=weights))))


def test_without_pretrained_weights_nothing_is_said(summarize: Summarize) -> None:
    """All networks have one normalisation."""
    assert "Normalisation" not in section(summarize)


def test_resize_and_crop_are_the_suites_and_normalisation_is_the_networks(summarize: Summarize) -> None:
    """The publisher's own evaluation, and the licence, are next to it."""
    text = section(summarize, a=OWN_FILE, b=OF_A_HUB)
    assert "bilinearly to a shorter side of 73 px, of which the central 64 × 64 px are the input" in text
    assert "Normalisation is the network's own" in text
    (row,) = (line for line in text.splitlines() if "vit.augreg_in1k" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert ["384 px, 95.0 %, bicubic", "cc-by-nc-4.0"] == cells[-2:]
    (row,) = (line for line in text.splitlines() if "mine.pth" in line)
    assert ["–", "–"] == [cell.strip() for cell in row.strip("|").split("|")][-2:]


def test_columns_that_would_be_empty_are_left_out(summarize: Summarize) -> None:
    """A file of one's own has no publisher."""
    text = section(summarize, a=OWN_FILE)
    assert "Publisher" not in text
    assert "Licence" not in text
    licensed = section(summarize, a=replace(OF_A_HUB, preprocessing=None))
    assert "Publisher" not in licensed
    assert "Licence of the weights" in licensed
