"""Threads, determinism and precision of arithmetic, set once at the start of the process of a run."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import torch

from intelbench.config.conditions import Conditions
from intelbench.profiling.device import device_for
from intelbench.records.types import Execution

MEMORY_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

Autocast = Callable[[], AbstractContextManager[None]]


def configure(conditions: Conditions, execution: Execution) -> torch.device:
    """Apply threads, determinism and float32 arithmetic to this process, and return the device."""
    torch.set_num_threads(execution.threads)
    # fp32 means float32, never TF32. The old flag is set first because it changes the new ones; if they disagreed with
    # it, PyTorch would raise when a plug-in or a compiled convolution reads it.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined] # an attribute of the module's class
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined] # its own default is tf32
    torch.backends.cudnn.benchmark = not conditions.deterministic  # the fastest kernel may differ between runs
    # warn_only, because architectures without a deterministic kernel are compared too.
    torch.use_deterministic_algorithms(conditions.deterministic, warn_only=True)
    # This debugging aid writes every new tensor twice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # as above
    device = device_for(execution)
    device.activate()
    return device.torch_device


def compute_dtype(conditions: Conditions) -> torch.dtype:
    """Return the type in which convolutions and matrix products are computed."""
    return _AUTOCAST.get(conditions.precision, torch.float32)


def autocast(conditions: Conditions, device: torch.device) -> Autocast:
    """Return a context manager that computes matrix products and convolutions in the precision of the suite."""
    dtype = _AUTOCAST.get(conditions.precision)
    return partial(torch.autocast, device.type, dtype=dtype, enabled=dtype is not None)
