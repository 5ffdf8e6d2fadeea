"""Set the environment variables of processes that train and profile networks. Libraries read them at their start."""

import os

_ALLOCATOR = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=-1:glibc.malloc.hugetlb=1"
"""Keep large tensors in the heap, with huge pages where possible, and never return the heap to the kernel.

By default glibc unmaps the memory that a step frees, and the next step gets it back page by page: 14,000 to 30,000 page
faults a step were measured, which take a tenth to a fifth of its time. The peak of the process stays within 2 %.
"""
_REMOVED = ("CUDA_LAUNCH_BLOCKING", "NVIDIA_TF32_OVERRIDE")
"""Variables of debugging: the first makes every kernel wait for the previous one, the second overrides the suite."""


def process_variables(threads: int | None) -> dict[str, str]:
    """Return the variables of this process, changed where the bits or the speed of a run depend on them.

    A process that was started with them gets the same ones. `OMP_NUM_THREADS`, which several libraries read, is kept if
    `threads` is `None`.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "").removesuffix(_ALLOCATOR).rstrip(":")
    return {
        **{name: value for name, value in os.environ.items() if name not in _REMOVED},
        **({} if threads is None else {"OMP_NUM_THREADS": str(threads)}),
        # Rounds that an idle thread spins before it sleeps. Without spinning (passive) steps took 1.5 times as long;
        # the default of 300,000 rounds takes CPU time from other processes.
        "GOMP_SPINCOUNT": "10000",
        "GLIBC_TUNABLES": ":".join(filter(None, (tunables, _ALLOCATOR))),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS is deterministic only with a fixed workspace
        "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",  # other modes may compute float32 in bfloat16
        "PYTHONHASHSEED": "0",  # fixes the order of a set of strings
        "PYTHONUNBUFFERED": "1",
    }
