"""What must be set before the process of a run starts."""

import os
import platform
import subprocess
import sys

import pytest

from intelbench.profiling.variables import process_variables


def test_variables_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """They replace those of this process, which keeps its own; the rest is passed on."""
    monkeypatch.setenv("SOMETHING_ELSE", "kept")
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    variables = process_variables(threads=3)
    assert not {"CUDA_LAUNCH_BLOCKING", "NVIDIA_TF32_OVERRIDE"} & set(variables)
    expected = {
        "SOMETHING_ELSE": "kept",
        "OMP_NUM_THREADS": "3",
        "GOMP_SPINCOUNT": "10000",
        "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=-1:glibc.malloc.hugetlb=1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }
    assert expected == {name: variables[name] for name in expected}
    assert "77" == os.environ["OMP_NUM_THREADS"] == os.environ["PYTHONHASHSEED"]
    assert "77" == process_variables(threads=None)["OMP_NUM_THREADS"]


def test_what_a_user_tells_the_allocator_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """In front of what a run adds."""
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    tunables = process_variables(threads=1)["GLIBC_TUNABLES"]
    assert tunables.startswith("glibc.malloc.arena_max=2:glibc.malloc.mmap_max=0:")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this system's allocator is not glibc's")
def test_a_run_gets_freed_memory_back_without_page_faults() -> None:
    """100 MB written a second time are already there; the environment acts at the start of a process."""
    count_faults = """if True:
        import resource
        faults = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            bytearray(b"x") * 100_000_000
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        print(faults[-1])
    """
    found = subprocess.run(
        [sys.executable, "-c", count_faults], env=process_variables(threads=1), capture_output=True, check=True
    )
    assert int(found.stdout) < 100
