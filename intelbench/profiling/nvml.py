"""Call NVML, the library of NVIDIA's driver. No other module calls it."""

from collections.abc import Callable
from typing import Any

import torch

from intelbench.profiling.device import device_of

_BITS = 64
"""CPUs of one word of an answer about them."""


class Nvml:
    """A GPU in NVML.

    Raises:
        OSError: the GPU is not one of NVIDIA, or the library fails; the message says why.
    """

    def __init__(self, device: torch.device) -> None:
        import pynvml  # loads the driver's library

        self.library: Any = pynvml
        uuid = device_of(device).uuid
        self._call(pynvml.nvmlInit)
        try:
            self._handle = self._call(pynvml.nvmlDeviceGetHandleByUUID, f"GPU-{uuid}")
        except OSError:
            self._handle = self._call(pynvml.nvmlDeviceGetHandleByUUID, f"MIG-{uuid}")  # an instance of a GPU

    def ask(self, function: str, *arguments: object) -> Any:
        """Call a function of NVML with the GPU as its first argument.

        Raises:
            OSError: the GPU or the driver does not support the function.
        """
        return self._call(getattr(self.library, function), self._handle, *arguments)

    def ask_or_none(self, function: str, *arguments: object) -> Any:
        """Call a function of NVML with the GPU as its first argument; return `None` if it is not supported."""
        try:
            return self.ask(function, *arguments)
        except OSError:
            return None

    def watts(self, function: str) -> float | None:
        """Return the watts of a function that answers in milliwatts; `None` if it is not supported."""
        milliwatts = self.ask_or_none(function)
        return None if milliwatts is None else milliwatts / 1000

    def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        try:
            return function(*arguments)
        except self.library.NVMLError as error:
            raise OSError(f"NVML: {error}") from error


def driver_version() -> str | None:
    """Return the version of NVIDIA's driver; `None` if it is not installed."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None


def processors_near(device: torch.device, number: int) -> frozenset[int]:
    """Return which of the first `number` CPUs are near a GPU; empty if NVML does not tell."""
    try:
        words = Nvml(device).ask("nvmlDeviceGetCpuAffinity", (number + _BITS - 1) // _BITS)
    except OSError:
        return frozenset()
    return frozenset(place for place in range(number) if int(words[place // _BITS]) >> place % _BITS & 1)
