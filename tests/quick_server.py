"""The program of the servers that tests share: runs that start there time reference kernels that take a moment."""

from intelbench.orchestration import forkserver
from intelbench.profiling import reference_kernels

KERNEL_SIZES = ((2, 16, 8), 64)
"""Sizes of the kernels; those of users, `reference_kernels._CPU_SIZES`, take longer than a small run."""


def main() -> None:
    """Serve until the parent has ended."""
    reference_kernels._CPU_SIZES = KERNEL_SIZES
    forkserver.main()
