"""NVML, the library of NVIDIA's driver. Only this module calls it."""

from collections.abc import Callable
from typing import Any

import torch

from intelbench.profiling.device import device_of


class Nvml:
    """One GPU in NVML.

    Raises:
        OSError: the GPU is not NVIDIA's, or the library fails; the message says why.
    """

    def __init__(self, device: torch.device) -> None:
        import pynvml  # loads the driver's library

        self.library: Any = pynvml
        uuid = device_of(device).uuid
        self._call(pynvml.nvmlInit)
        try:
            self._handle = self._call(pynvml.nvmlDeviceGetHandleByUUID, f"GPU-{uuid}")
        except OSError:
            self._handle = self._call(pynvml.nvmlDeviceGetHandleByUUID, f"MIG-{uuid}")  # a part of a GPU

    def ask(self, function: str, *arguments: object) -> Any:
        """Call a function of NVML with the GPU as its first argument.

        Raises:
            OSError: the GPU or the driver does not support it.
        """
        return self._call(getattr(self.library, function), self._handle, *arguments)

    def ask_or_none(self, function: str, *arguments: object) -> Any:
        """Call a function of NVML with the GPU as its first argument; `None` if it is not supported."""
        try:
            return self.ask(function, *arguments)
        except OSError:
            return None

    def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        try:
            return function(*arguments)
        except self.library.NVMLError as error:
            raise OSError(f"NVML: {error}") from error


def driver_version() -> str | None:
    """Return the version of NVIDIA's driver; `None` without one."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None
