"""Precision, threads and determinism are set once, as the suite says."""

from collections.abc import Iterator

import pytest
import torch

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.records.types import Execution
from intelbench.training.precision import autocast, compute_dtype, configure
from tests.fake_cuda import install

CPU = torch.device("cpu")


def conditions(**changes: object) -> Conditions:
    """Return conditions with these changes."""
    return Conditions(budget=Budget(steps=1), recipe=Recipe(), **changes)  # type: ignore[arg-type]


@pytest.fixture
def restored() -> Iterator[None]:
    """Restore the settings of the process after the test."""
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    deterministic, precision = torch.are_deterministic_algorithms_enabled(), torch.backends.fp32_precision
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.fp32_precision = precision
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("deterministic", [True, False])
def test_settings_are_applied(deterministic: bool) -> None:
    """Determinism gives warnings instead of errors, TF32 is off, and cuDNN benchmarks kernels unless deterministic."""
    device = configure(conditions(deterministic=deterministic), Execution(device="cpu", threads=2, workers=0))
    assert CPU == device
    assert 2 == torch.get_num_threads()
    assert deterministic == torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert "ieee" == torch.backends.fp32_precision
    assert deterministic != torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32  # reading it raises where old and new settings disagree
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_autocast_computes_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    """Matrix products have the precision inside the context, each time it is entered, and not outside."""
    assert dtype == compute_dtype(conditions(precision=precision))
    cast = autocast(conditions(precision=precision), CPU)
    matrix = torch.ones(2, 2)
    for _ in range(2):
        with cast():
            assert dtype == (matrix @ matrix).dtype
        assert torch.float32 == (matrix @ matrix).dtype


def test_a_run_is_on_its_own_gpu(monkeypatch: pytest.MonkeyPatch, restored: None) -> None:
    """PyTorch's current GPU is the one with the index of the run."""
    fake = install(monkeypatch, tensors_on_cpu=False)
    execution = Execution(device="cuda", threads=1, workers=0, device_index=1)
    assert torch.device("cuda:1") == configure(conditions(), execution)
    assert 1 == fake.current
