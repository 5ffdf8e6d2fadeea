"""What decides the bits and the speed of arithmetic, set once at the start of a run's process."""

import platform
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

from intelbench.records.types import Conditions, Execution, Precision

MEMORY_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

Autocast = Callable[[], AbstractContextManager[None]]


def fastest_precision(device: str) -> Precision:
    """Return bf16 for a device that has instructions for it, else fp32.

    A CPU without them converts back and forth: a step of ResNet-18 (76 px, 16 images, one thread of an EPYC with AVX2)
    took 8.2 s in bf16 and 0.76 s in fp32.
    """
    if torch.device(device).type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    elif platform.machine() in ("x86_64", "AMD64"):
        has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        has_bf16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return "bf16" if has_bf16 else "fp32"


def configure(conditions: Conditions, execution: Execution) -> torch.device:
    """Apply threads, determinism and float32 arithmetic to this process, and return the device."""
    torch.set_num_threads(execution.threads)
    # fp32 means float32: no TF32 behind its name.
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined] # an attribute of the module's class
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined] # its own default is tf32
    torch.backends.cudnn.benchmark = False
    # warn_only, because an architecture without a deterministic kernel is still to be compared.
    torch.use_deterministic_algorithms(conditions.deterministic, warn_only=True)
    # A debugging aid that writes every new tensor twice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # as above
    return torch.device(execution.device)


def compute_dtype(conditions: Conditions) -> torch.dtype:
    """Type in which convolutions and matrix products are computed."""
    return _AUTOCAST.get(conditions.precision, torch.float32)


def autocast(conditions: Conditions, device: torch.device) -> Autocast:
    """A context that runs matrix products and convolutions in the suite's precision."""
    dtype = _AUTOCAST.get(conditions.precision)

    def context() -> AbstractContextManager[None]:
        return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)

    return context
