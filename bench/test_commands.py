"""What a user waits for at the command line."""

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
from intelbench.reporting.report import build
from tests.synthetic import ARCHITECTURES, Study, synthetic_runs

PEAK_BYTES = 10**9
"""Of a process that reports on records."""

_COMMAND = """
import sys
from intelbench.cli.main import main
try:
    main()
finally:
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""


def report(folder: Path) -> int:
    """Make a report as the command does; the peak memory of its first process, in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, "report", folder], capture_output=True, text=True, check=True
    )
    return 1024 * int(done.stderr)


def read_files(folders: Sequence[Path]) -> None:
    """Read records as they are, with numpy, and do nothing with them."""
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
    """`intelbench report` on 1,000 records takes no more than twice the time of reading their files, on 10,000 no
    more than that time, on one processor, and 1 GB.

    Every tenth file is read in a pair, and its time counts tenfold. 10,000 records take minutes to write:
    `pytest bench -m slow`.
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
    """A report of 5 architectures, 6 seeds and 3,000 test images, with 10,000 resamples, takes no more than 40 times
    the time of reading its records, which is 20 s where that takes half a second.
    """
    folders = synthetic_runs(tmp_path, ARCHITECTURES, range(comparison.size(6)), Study(num_test=3000, num_steps=200))
    comparison.cost(timed(lambda: build(tmp_path)), timed(lambda: read_files(folders)), at_most=40)


@pytest.mark.allowance(seconds=12)
def test_help(comparison: Comparison) -> None:
    """`intelbench --help` takes no more than 2.5 times the time of starting Python and importing click."""

    def python(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)

    comparison.cost(
        timed(lambda: python("-m", "intelbench", "--help")), timed(lambda: python("-c", "import click")), at_most=2.5
    )
