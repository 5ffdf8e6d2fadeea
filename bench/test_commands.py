"""Time the commands that users wait for."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.comparison import Comparison, timed
from intelbench.records.store import RECORD_FILE, TRACES_FILE
from intelbench.records.types import RunRecord
from intelbench.reporting.report import write
from intelbench.results.study import read
from tests.synthetic import ARCHITECTURES, Study, synthetic_runs

PEAK_BYTES = 10**9
"""Upper bound of the peak memory of `intelbench report`."""

_COMMAND = """
import sys
from intelbench.launch import main
try:
    main()
finally:
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""


def report(folder: Path) -> int:
    """Run `intelbench report`, and return the peak memory of its first process in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, "report", folder], capture_output=True, text=True, check=True
    )
    return 1024 * int(done.stderr)


def read_files(folders: Sequence[Path]) -> None:
    """Read all bytes of records with numpy and msgspec."""
    for folder in folders:
        msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=RunRecord)
        with np.load(folder / TRACES_FILE) as archive:
            for name in archive.files:
                archive[name]


@pytest.mark.parametrize(
    ("seeds", "at_most"),
    [
        pytest.param(200, 2, id="200", marks=pytest.mark.allowance(seconds=50)),
        pytest.param(2000, 1, id="2000", marks=[pytest.mark.allowance(seconds=900), pytest.mark.slow]),
    ],
)
def test_report(comparison: Comparison, tmp_path: Path, seeds: int, at_most: float) -> None:
    """`intelbench report` takes at most twice the time of reading 1,000 records, and at most that of reading 10,000.

    It needs at most 1 GB. The reference reads every tenth record, and its time counts tenfold. Writing 10,000 records
    takes minutes, so that case needs `pytest bench -m slow`.
    """
    folders = synthetic_runs(tmp_path / "runs", ARCHITECTURES, range(comparison.size(seeds)))
    peaks = []

    def make_report() -> None:
        peaks.append(report(tmp_path))
        comparison.note = f"peak memory {max(peaks) / 1e6:.0f} MB"

    part = folders[::10]
    read_part = timed(lambda: read_files(part), times=len(folders) / len(part))
    comparison.cost(timed(make_report), read_part, at_most=at_most)
    assert max(peaks) <= PEAK_BYTES


@pytest.mark.allowance(seconds=35)
def test_evidence(comparison: Comparison, tmp_path: Path) -> None:
    """A report with 10,000 resamples takes at most 40 times the time of reading its records.

    The records are those of 5 architectures, 6 seeds and 3,000 test images. If reading takes half a second, the limit
    is 20 s.
    """
    folders = synthetic_runs(tmp_path, ARCHITECTURES, range(comparison.size(6)), Study(num_test=3000, num_steps=200))
    comparison.cost(timed(lambda: write(read(tmp_path)).figures), timed(lambda: read_files(folders)), at_most=40)


@pytest.mark.allowance(seconds=12)
def test_help(comparison: Comparison) -> None:
    """`intelbench --help` takes no more than 2.5 times the time of starting Python and importing click."""

    def python(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)

    comparison.cost(
        timed(lambda: python("-m", "intelbench", "--help")), timed(lambda: python("-c", "import click")), at_most=2.5
    )
