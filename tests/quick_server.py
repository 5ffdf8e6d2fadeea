"""The program of the servers that tests share: runs that start there time reference kernels that take a moment."""

from intelbench.orchestration import forkserver
from intelbench.profiling import calibration

KERNEL_SIZES = ((2, 16, 8), 64)
"""Sizes of the kernels, as `calibration._CPU_SIZES` describes them. Those of users take longer than a small run."""


def main() -> None:
    """Serve until the parent has ended."""
    calibration._CPU_SIZES = KERNEL_SIZES
    forkserver.main()
