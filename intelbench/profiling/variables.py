"""Environment variables of the processes in which networks are trained and profiled. They act when a process starts."""

import os

_ALLOCATOR = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=-1:glibc.malloc.hugetlb=1"
"""Large tensors in the heap, which is never given back to the kernel and lies in huge pages where one may ask for them.

As it comes, glibc unmaps what a step frees, and the next step gets it back page by page: 14,000 to 30,000 page faults a
step, measured, a tenth to a fifth of its time. The peak of the process stays within 2 %.
"""
_REMOVED = ("CUDA_LAUNCH_BLOCKING", "NVIDIA_TF32_OVERRIDE")
"""Left over from debugging, the first makes every kernel wait for the one before; the second overrules the suite."""


def process_variables(threads: int | None) -> dict[str, str]:
    """Return the variables of this process with those changed on which the bits and the speed of a run depend.

    `threads` is the number of threads of every library that reads `OMP_NUM_THREADS`; `None` leaves that variable alone.
    """
    return {
        **{name: value for name, value in os.environ.items() if name not in _REMOVED},
        **({} if threads is None else {"OMP_NUM_THREADS": str(threads)}),
        # How long an idle thread spins before it sleeps: not at all (passive) made steps half as slow again, and the
        # default of 300,000 rounds burns a processor that somebody else may want.
        "GOMP_SPINCOUNT": "10000",
        "GLIBC_TUNABLES": ":".join(filter(None, (os.environ.get("GLIBC_TUNABLES"), _ALLOCATOR))),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS is deterministic only with a fixed workspace
        "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",  # the user's may let float32 be computed in bfloat16
        "PYTHONHASHSEED": "0",  # the order of a set of strings
        "PYTHONUNBUFFERED": "1",
    }
