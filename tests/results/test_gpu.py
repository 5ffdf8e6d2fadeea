"""Whether the GPU of a run was quiet follows from what its driver told."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from intelbench.records.store import Traces
from intelbench.records.types import Execution, RunSpec
from intelbench.reporting.sections.gpu import gpu as gpu_section
from intelbench.results import usage
from intelbench.results.gpu import read_gpu
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from tests import synthetic
from tests.reporting.rendered import rendered
from tests.synthetic import Study, synthetic_runs

QUIET = {
    "gpu_step": np.array([0, 3]),
    "gpu_sm_clock_megahertz": np.array([1750.0, 1760.0]),
    "gpu_temperature_celsius": np.array([50.0, 61.0]),
    "gpu_power_watts": np.array([400.0, 410.0]),
    "gpu_clock_event_reasons": np.array([0, 4]),
    "gpu_foreign_processes": np.array([0, 0]),
}
GPU = Study(execution=Execution(device="cuda", threads=2, workers=1), gpu="NVIDIA H100 80GB HBM3")


def summary_of(folder: Path) -> CohortSummary:
    """Three seeds of one architecture on a GPU."""
    synthetic_runs(folder, ["resnet101"], [0, 1, 2], GPU)
    (summary,) = read(folder).cohorts
    return summary


@pytest.mark.parametrize(
    ("changes", "others", "expected"),
    [
        ({}, [1755.0, None], []),
        ({}, [], []),
        ({}, [2000.0, 1900.0, 1940.0], []),
        ({}, [2000.0], ["clock"]),
        ({"gpu_clock_event_reasons": np.array([0, 0x20])}, [], ["heat"]),
        ({"gpu_clock_event_reasons": np.array([0x40, 0])}, [], ["heat"]),
        ({"gpu_foreign_processes": np.array([0, 1])}, [2000.0], ["foreign", "clock"]),
    ],
)
def test_a_run_is_flagged(changes: Traces, others: list[float | None], expected: list[str]) -> None:
    """For heat, for a process of somebody else, and for a clock below nine tenths of the others'."""
    found = read_gpu({**QUIET, **changes})
    assert found is not None
    assert expected == found.reasons(others)


def test_readings_are_summed_up() -> None:
    """Medians of clock and power, the highest temperature, the share of moments at the power limit."""
    found = read_gpu(QUIET)
    assert found is not None
    assert {
        "sm_clock_megahertz": 1755.0,
        "temperature_celsius": 61.0,
        "power_watts": 405.0,
        "power_limited_share": 0.5,
        "heat_limited_share": 0.0,
        "foreign_processes": 0,
    } == asdict(found)


def test_what_was_not_read_is_absent() -> None:
    """And flags no run."""
    found = read_gpu({"gpu_step": np.array([0])})
    assert found is not None
    assert {None} == set(asdict(found).values())
    assert [] == found.reasons([1000.0])
    assert read_gpu({}) is None is read_gpu({"gpu_step": np.empty(0)})


@pytest.mark.parametrize(
    "changes",
    [
        {"gpu_power_watts": np.array([400.0])},
        {"gpu_power_watts": np.array([400.0, np.nan])},
        {"gpu_foreign_processes": np.array(["0", "0"])},
    ],
)
def test_damaged_readings_are_refused(changes: Traces) -> None:
    """By the name of the array."""
    with pytest.raises(ValueError, match=next(iter(changes))):
        read_gpu({**QUIET, **changes})


def test_the_report_has_a_section_where_a_gpu_was_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run by run, with the flagged ones in its first line; without readings there is no section."""
    summary = summary_of(tmp_path / "unwatched")
    assert [] == gpu_section(summary) == list(usage.gpu(summary))
    make = synthetic.traces_of

    def watched(num_steps: int, spec: RunSpec, place: int, study: Study) -> Traces:
        hot = {"gpu_clock_event_reasons": np.array([0, 0x40])} if spec.seed == 1 else {}
        return {**make(num_steps, spec, place, study), **QUIET, **hot}

    monkeypatch.setattr(synthetic, "traces_of", watched)
    summary = summary_of(tmp_path / "watched")
    answer, table, note = rendered(gpu_section(summary))
    assert answer.startswith("**1 of 3 runs had a GPU that was not quiet**: a clock slowed down for heat.")
    flagged = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if "heat" in line]
    assert [["resnet101", "1", "1,755", "61.0", "405", "0.0", "–", "0", "a clock slowed down for heat"]] == flagged
    assert "NVML" in note
    assert ["heat"] == [row["flagged_for"] for row in list(usage.gpu(summary)) if row["flagged_for"]]
