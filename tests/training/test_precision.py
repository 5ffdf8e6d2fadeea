"""Precision, threads and determinism are set once and are what the suite says."""

from collections.abc import Iterator

import pytest
import torch

from intelbench.records.types import Budget, Conditions, Execution, Recipe
from intelbench.training import precision
from intelbench.training.precision import autocast, compute_dtype, configure

CPU = torch.device("cpu")


def conditions(**changes: object) -> Conditions:
    """Conditions with these changes."""
    return Conditions(budget=Budget(steps=1), recipe=Recipe(), **changes)  # type: ignore[arg-type]


@pytest.fixture
def restored() -> Iterator[None]:
    """Put the process's settings back."""
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    deterministic, precision = torch.are_deterministic_algorithms_enabled(), torch.backends.fp32_precision
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.fp32_precision = precision
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.parametrize(
    ("has_avx512_bf16", "has_amx", "expected"),
    [(False, False, "fp32"), (True, False, "bf16"), (False, True, "bf16")],
)
def test_bf16_is_fastest_where_the_processor_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, has_avx512_bf16: bool, has_amx: bool, expected: str
) -> None:
    """On x86; elsewhere PyTorch's own library is asked."""
    monkeypatch.setattr(precision.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_amx)
    assert expected == precision.fastest_precision("cpu")
    monkeypatch.setattr(precision.platform, "machine", lambda: "arm64")
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert ("bf16" if has_bf16 else "fp32") == precision.fastest_precision("cpu")


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("deterministic", [True, False])
def test_settings_are_applied(deterministic: bool) -> None:
    """Threads, determinism as a wish and not as a demand, and no TF32."""
    device = configure(conditions(deterministic=deterministic), Execution(device="cpu", threads=2, workers=0))
    assert CPU == device
    assert 2 == torch.get_num_threads()
    assert deterministic == torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert "ieee" == torch.backends.fp32_precision
    assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_autocast_computes_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    """Matrix products inside the context, each time it is opened, and not outside."""
    assert dtype == compute_dtype(conditions(precision=precision))
    cast = autocast(conditions(precision=precision), CPU)
    matrix = torch.ones(2, 2)
    for _ in range(2):
        with cast():
            assert dtype == (matrix @ matrix).dtype
        assert torch.float32 == (matrix @ matrix).dtype
