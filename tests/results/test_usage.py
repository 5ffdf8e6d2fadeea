"""What runs made of the machine: figures from the records, flags by stated bounds, reasons for what is absent."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.records.profiles import MeasuredMemory
from intelbench.records.store import write_run
from intelbench.records.types import Execution
from intelbench.results import usage
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from tests.reporting.rendered import build
from tests.synthetic import Study, failure, synthetic_run, synthetic_runs
from tests.synthetic_traces import OTHERS_RATE

CPU = Study()
GPU = Study(execution=Execution(device="cuda", threads=2, workers=1), gpu="NVIDIA H100 80GB HBM3")


def summary_of(folder: Path, study: Study = CPU, names: tuple[str, ...] = ("a", "b")) -> CohortSummary:
    """Of two seeds of each."""
    synthetic_runs(folder, names, [0, 1], study)
    (summary,) = read(folder).cohorts
    return summary


def section(text: str, title: str) -> str:
    """Of a report."""
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_utilization_is_achieved_over_peak(tmp_path: Path) -> None:
    """FLOPs of an image x images a second, over the peak that the same process measured."""
    summary = summary_of(tmp_path)
    for architecture in summary.finished:
        for run in architecture.runs:
            flops = run.measurements.training_flops_per_image
            assert flops is not None
            achieved = flops * 32 / np.median(run.warm_total_seconds)
            assert run.achieved_flops_per_second == pytest.approx(achieved)
            assert run.reference_kernels is not None
            peak = max(
                1.5e10 / run.reference_kernels.shortest["convolution"], 9e9 / run.reference_kernels.shortest["matmul"]
            )
            assert run.utilization == pytest.approx(achieved / peak)
    assert all(0 < row["utilization"] < 1 for row in list(usage.compute(summary)))
    assert all(row["stated_utilization"] is None for row in list(usage.compute(summary)))


def test_the_peak_of_an_architecture_is_the_mean_over_its_runs(tmp_path: Path) -> None:
    """As what it achieved and the utilization are, so that the three columns of a row belong together."""
    summary = summary_of(tmp_path)
    for architecture, row in zip(summary.finished, usage.compute(summary), strict=True):
        peaks = [run.peak_flops_per_second for run in architecture.runs]
        assert peaks[0] != peaks[1]
        assert row["measured_peak_flops_per_second"] == pytest.approx(np.mean(peaks))


def test_a_known_gpu_has_a_stated_peak(tmp_path: Path) -> None:
    """In the precision of the runs, in columns of its own; an unknown device has no such column."""
    summary = summary_of(tmp_path / "gpu", GPU)
    for row in list(usage.compute(summary)):
        assert 66.9e12 == row["stated_peak_flops_per_second"]
        assert row["achieved_flops_per_second"] / 66.9e12 == pytest.approx(row["stated_utilization"])
    assert "Data-sheet peak" in section(build(tmp_path / "gpu", full=True).text, "Arithmetic throughput")
    synthetic_runs(tmp_path / "cpu")
    text = section(build(tmp_path / "cpu", full=True).text, "Arithmetic throughput")
    assert "Data-sheet peak" not in text
    assert "No data sheet is known for Example CPU" in text


def test_quiet_runs_are_said_to_be_quiet(tmp_path: Path) -> None:
    """And nothing is flagged."""
    summary = summary_of(tmp_path)
    assert not any(found.reasons for found in summary.disturbances)
    assert "None of 4 runs was disturbed" in build(tmp_path, full=True).text


def test_disturbed_runs_are_flagged_with_the_reason(tmp_path: Path) -> None:
    """Another process during one run, a slower machine in another; the first paragraph says so, and what it did."""
    study = Study(disturbed=[("a", 1)], far_apart=[("b", 0)], slowed=[("b", 0)])
    summary = summary_of(tmp_path, study, ("a", "b", "c", "d"))
    found = {(row["architecture"], row["seed"]): row["disturbed_by"] for row in list(usage.contention(summary))}
    assert {("a", 1): "others", ("b", 0): "exchange"} == {key: reason for key, reason in found.items() if reason}
    first = build(tmp_path, full=True).text.split("\n\n")[2]
    assert "**2 of 8 runs were disturbed** by other processes and slower exchange between threads: " in first
    assert "beyond the noise, the median step was more than 5 % longer in 2." in first


@pytest.mark.parametrize("kind", ["far_apart", "slowed"])
def test_neither_a_cause_nor_an_effect_alone_is_a_disturbance(tmp_path: Path, kind: str) -> None:
    """A slow reference kernel that changed no step is not flagged, nor are longer steps without any cause."""
    summary = summary_of(tmp_path, Study(**{kind: [("b", 0)]}), ("a", "b", "c", "d"))
    assert not any(found.reasons for found in summary.disturbances)


def test_steps_lost_are_those_of_a_budget_in_seconds(tmp_path: Path) -> None:
    """A step loses 0.9 s, at least 0.6, for each processor second taken from it; other budgets lose no steps."""
    conditions = Conditions(budget=Budget(seconds=20), recipe=Recipe(), image_size=64)
    summary = summary_of(tmp_path / "seconds", Study(conditions=conditions, disturbed=[("a", 1)]))
    found = {(row["architecture"], row["seed"]): row for row in list(usage.contention(summary))}
    disturbed = found["a", 1]
    assert 60 * (1 / (1 - 0.9 * OTHERS_RATE) - 1) == pytest.approx(disturbed["steps_lost"])
    assert 60 * (1 / (1 - 0.6 * OTHERS_RATE) - 1) == pytest.approx(disturbed["steps_lost_low"])
    assert "more than 5 % more steps within the budget" in build(tmp_path / "seconds", full=True).text
    steps = summary_of(tmp_path / "steps", Study(disturbed=[("a", 1)]))
    assert all(row["steps_lost"] is None for row in list(usage.contention(steps)))
    assert "Steps lost |" not in build(tmp_path / "steps", full=True).text


def test_what_the_kernel_does_not_tell_is_absent(tmp_path: Path) -> None:
    """A dash, no zero and no flag."""
    record, traces = synthetic_run("a", 0, Study())
    assert record.measurements is not None
    assert record.measurements.contention is not None
    contention = msgspec.structs.replace(
        record.measurements.contention, others_cpu_seconds=None, stolen_cpu_seconds=None
    )
    measurements = msgspec.structs.replace(record.measurements, contention=contention)
    write_run(tmp_path, msgspec.structs.replace(record, measurements=measurements), traces)
    (summary,) = read(tmp_path).cohorts
    (row,) = list(usage.contention(summary))
    assert [None, None, None] == [row["others_share"], row["stolen_share"], row["disturbed_by"]]
    (line,) = (
        line
        for line in section(build(tmp_path, full=True).text, "Disturbances by other work").splitlines()
        if line.startswith("| a")
    )
    assert ["–", "–"] == [cell.strip() for cell in line.strip("|").split("|")][2:4]


def test_predicted_stands_beside_measured(tmp_path: Path) -> None:
    """The probe's peak over the prediction; on a GPU that of the tensors, on a CPU that of the process."""
    for study, field in ((Study(), "process_bytes"), (GPU, "cuda_allocated_bytes")):
        folder = tmp_path / study.execution.device
        for row in list(usage.memory(summary_of(folder, study))):
            kinds = ("parameters", "gradients", "optimizer_state", "activations", "temporaries")
            assert row["predicted_peak_bytes"] == sum(row[f"predicted_{kind}_bytes"] for kind in kinds)
            assert 15 * 2**20 == row[f"probe_{field}"] - row["predicted_peak_bytes"]
        text = section(build(folder, full=True).text, "Predicted and measured memory")
        assert "1.025" in text


def test_a_network_that_failed_keeps_its_prediction(tmp_path: Path) -> None:
    """Out of memory is where it is wanted most."""
    synthetic_runs(tmp_path, ["a", "b"], [0], Study(failures={("b", 0): failure()}))
    (summary,) = read(tmp_path).cohorts
    assert ["a", "b"] == [row["architecture"] for row in list(usage.memory(summary))]


def test_a_probe_that_failed_says_why(tmp_path: Path) -> None:
    """Below the table, escaped; and so does a network that could not be profiled at all."""
    record, traces = synthetic_run("a", 0, Study())
    assert record.profile is not None
    lost = (MeasuredMemory(batch_size=32, peak=None, failure="does <not> fit"),)
    profile = msgspec.structs.replace(record.profile, measured=lost)
    write_run(tmp_path, msgspec.structs.replace(record, profile=profile), traces)
    record, traces = synthetic_run("b", 0, Study())
    write_run(tmp_path, msgspec.structs.replace(record, profile=None, profile_absent="it *hangs*"), traces)
    text = section(build(tmp_path, full=True).text, "Predicted and measured memory")
    assert "- a: does &lt;not&gt; fit" in text
    assert "- No profile: it \\*hangs\\*" in text


def test_energy_is_counted_or_absent_with_a_reason(tmp_path: Path) -> None:
    """Joules by run and by image on a GPU with a counter; elsewhere the reason and no number."""
    for row in list(usage.energy(summary_of(tmp_path / "gpu", GPU))):
        assert row["joules"] == pytest.approx(250 * row["seconds"])
        assert row["joules_per_image"] == pytest.approx(row["joules"] / (60 * 32))
        assert 70 == row["idle_watts"]
    assert "| Joules an image" in " ".join(section(build(tmp_path / "gpu", full=True).text, "Energy").split())
    summary_of(tmp_path / "cpu")
    text = section(build(tmp_path / "cpu", full=True).text, "Energy")
    assert "Not measured: the kernel shows no RAPL counter. It is never estimated." == text.strip()


def test_steps_of_the_run_itself_have_no_overhead(tmp_path: Path) -> None:
    """There is nothing to compare them with, and no column."""
    assert {None} == {row["overhead"] for row in list(usage.step_breakdown(summary_of(tmp_path)))}
    text = section(build(tmp_path, full=True).text, "Step breakdown")
    assert "the last steps of each run" in text
    assert "overhead (%)" not in text


def test_looking_costs_what_the_step_grew_by(tmp_path: Path) -> None:
    """The median instrumented step against the median timed one."""
    summary = summary_of(tmp_path, GPU)
    assert "Profiling overhead (%)" in section(build(tmp_path, full=True).text, "Step breakdown")
    for row, architecture in zip(list(usage.step_breakdown(summary)), summary.finished, strict=True):
        timed = np.median(architecture.total_seconds)
        assert row["overhead"] == pytest.approx(row["step_with_data_wait_seconds"] / timed - 1)
        assert 16 == row["num_steps"]


def test_few_steps_have_no_tail(tmp_path: Path) -> None:
    """The 95th percentile of 16 steps would be the largest."""
    summary_of(tmp_path)
    (line, _) = (
        line
        for line in section(build(tmp_path, full=True).text, "Step breakdown").splitlines()
        if line.startswith(("| a ", "| b "))
    )
    assert "–" == [cell.strip() for cell in line.strip("|").split("|")][-2]


def test_runs_that_found_only_some_features_are_counted(tmp_path: Path) -> None:
    """So are those that were resumed: every run is in one number, and neither of them in a peak of memory."""
    for seed in range(4):
        record, traces = synthetic_run("a", seed, Study(features=True))
        measured = record.measurements
        if seed == 2:
            some = msgspec.structs.replace(measured.features, num_stored_images=7)
            measured = msgspec.structs.replace(measured, features=some)
        if seed == 3:
            measured = msgspec.structs.replace(measured, resumed_after=(3,))
        write_run(tmp_path, msgspec.structs.replace(record, measurements=measured), traces)
    (summary,) = read(tmp_path).cohorts
    (row,) = list(usage.features(summary))
    counted = {name: row[name] for name in ("num_runs", "num_computed", "num_read", "num_other")}
    assert {"num_runs": 4, "num_computed": 1, "num_read": 1, "num_other": 2} == counted
