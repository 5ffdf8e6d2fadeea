"""Count the CPUs of this machine."""

import os


def num_processors() -> int:
    """Return the number of CPUs that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
