"""A profile reads well, hides nothing, and comes back from JSON and CSV as it was."""

import io

import msgspec
import pandas as pd

from intelbench.records.profiles import (
    ArchitectureProfile,
    MeasuredMemory,
    PeakMemory,
    PredictedMemory,
    Profile,
    TorchsummaryEstimate,
)
from intelbench.reporting.formatting import ABSENT
from intelbench.reporting.profile import as_csv, as_json, as_markdown

GIB = 2**30
PREDICTED = PredictedMemory(
    batch_size=32,
    peak_bytes=15 * GIB,
    reserved_bytes=16 * GIB,
    parameters_bytes=1 * GIB,
    gradients_bytes=2 * GIB,
    optimizer_state_bytes=3 * GIB,
    activations_bytes=4 * GIB,
    temporaries_bytes=5 * GIB,
)
ESTIMATE = TorchsummaryEstimate(activations_bytes=2**20, parameters_bytes=2**21, input_bytes=2**19, num_calls=7)
FULL = ArchitectureProfile(
    architecture="net",
    provider="intelbench",
    num_parameters=58_156_102,
    num_trainable_parameters=12_294,
    forward_macs_per_image=11.514e9,
    training_flops_per_image=69.0e9,
    torchsummary=ESTIMATE,
    published=ESTIMATE,
    num_parameters_1000_classes=60_192_808,
    memory=(PREDICTED,),
    largest_batch={8: 0, 80: 1234},
    measured=(),
    absent={"measured": "no GPU"},
)
UNTRACEABLE = msgspec.structs.replace(
    FULL,
    architecture="<odd>",
    forward_macs_per_image=None,
    training_flops_per_image=None,
    torchsummary=None,
    published=None,
    memory=(),
    largest_batch={},
    absent={"memory": "it looks | at its pixels"},
)


def profile_of(
    *architectures: ArchitectureProfile, gpu: str | None = None, failures: dict[str, str] | None = None
) -> Profile:
    """What `intelbench profile` hands over."""
    return Profile(
        image_size=224,
        num_classes=6,
        precision="bf16",
        optimizer="sgd",
        frozen=True,
        torch="2.99",
        torchvision="0.99",
        gpu=gpu,
        architectures=architectures,
        failures=failures or {},
    )


def row_of(text: str, start: str) -> list[str]:
    """Cells of the only table row that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_figure_is_there() -> None:
    """Each under its own heading, in units that people read."""
    text = as_markdown(profile_of(FULL))
    assert "sgd, the heads alone, the backbone frozen" in text
    assert "224 px, 6 classes, bf16" in text
    overview, largest, breakdown = (line for line in text.splitlines() if line.startswith("| net  "))
    for cell in ("58,156,102", "12,294", "11.514", "69.000", "15.0 GiB"):
        assert cell in overview
    assert ["none", "1,234"] == [cell.strip() for cell in largest.strip("|").split("|")][1:]
    assert ["32", "1.00 GiB", "2.00 GiB", "3.00 GiB", "4.00 GiB", "5.00 GiB", "15.0 GiB", "16.0 GiB"] == [
        cell.strip() for cell in breakdown.strip("|").split("|")
    ][1:]
    assert ["1.00", "2.00", "0.50", "3.50"] == row_of(text, "net, published parity: 1000 classes at 300 px")[1:]
    assert "not measured: no GPU" in text


def test_what_cannot_be_traced_says_so() -> None:
    """Dashes and the reason, and nothing that breaks the page."""
    text = as_markdown(profile_of(UNTRACEABLE, FULL))
    assert "&lt;odd&gt;: no memory: it looks &#124; at its pixels" in text or "it looks \\| at its pixels" in text
    assert "<odd>" not in text


def test_an_architecture_without_a_profile_has_a_row_that_says_why() -> None:
    """Of dashes, with the reason below it; also where nothing else could be profiled."""
    failures = {"too|small": "it needs images of 75 px"}
    for profile in (profile_of(FULL, failures=failures), profile_of(failures=failures)):
        text = as_markdown(profile)
        assert {ABSENT} == set(row_of(text, "too")[-4:])
        assert "75 px" in text
        assert profile == msgspec.json.decode(as_json(profile), type=Profile)
        (row,) = pd.read_csv(io.StringIO(as_csv(profile))).query("architecture == 'too|small'").to_dict("records")
        assert "it needs images of 75 px" == row["absent"]


def test_the_published_estimate_is_shown_where_there_is_one() -> None:
    """A network without one has no row for it."""
    text = as_markdown(profile_of(msgspec.structs.replace(FULL, published=None, absent={"published": "never"})))
    assert "published parity" not in text
    assert "never" not in text


def test_measured_figures_stand_beside_the_predicted() -> None:
    """Those of the GPU, and why one is missing."""
    peak = PeakMemory(
        process_bytes=None,
        cuda_allocated_bytes=7 * GIB,
        cuda_reserved_bytes=9 * GIB,
        nvml_process_bytes=None,
        absent={"nvml_process_bytes": "NVML does not list this process"},
        cublas_workspace_bytes=GIB // 2,
    )
    bigger = msgspec.structs.replace(PREDICTED, batch_size=128)
    measured = msgspec.structs.replace(
        FULL,
        memory=(PREDICTED, bigger),
        measured=(
            MeasuredMemory(batch_size=32, peak=peak),
            MeasuredMemory(batch_size=128, peak=None, failure="does not fit"),
        ),
        absent={},
    )
    text = as_markdown(profile_of(measured, gpu="NVIDIA Card"))
    assert "Measured on NVIDIA Card" in text
    small, large = [line for line in text.splitlines() if line.startswith("| net  ")][2:]
    for cell in ("7.00 GiB", "512 MiB", "9.00 GiB", "NVML does not list this process"):
        assert cell in small
    assert 4 == large.count("does not fit")


def test_json_is_the_whole_profile() -> None:
    """Nothing is lost on the way."""
    profile = profile_of(FULL, UNTRACEABLE)
    assert profile == msgspec.json.decode(as_json(profile), type=Profile)


def test_csv_has_a_row_for_each_batch_size() -> None:
    """In base units."""
    frame = pd.read_csv(io.StringIO(as_csv(profile_of(FULL, UNTRACEABLE))))
    assert [("net", 32, 15 * GIB, 3_670_016)] == list(
        frame[["architecture", "batch_size", "peak_bytes", "torchsummary_bytes"]]
        .iloc[:1]
        .itertuples(index=False, name=None)
    )
    assert ("<odd>", "it looks | at its pixels") == tuple(frame.iloc[1][["architecture", "absent"]])
