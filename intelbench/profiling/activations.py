"""Measure the rectifiers of a network: dead units, share of positive outputs, mean output.

A unit is a channel of one call of ReLU or LeakyReLU. It is dead if its output is not above 0 for any image and position
(Lu et al., Dying ReLU and Initialization, 2020). With fewer images more units appear dead. A dead unit of LeakyReLU
still passes a gradient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

_RECTIFIERS = {
    F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_,
    F.leaky_relu, F.leaky_relu_,
}  # fmt: skip


_ZERO = torch.zeros(1)


class Activations(NamedTuple):
    """Statistics by site, in call order. A site is the n-th call of a rectifier in the forward pass of a module."""

    sites: tuple[str, ...]
    """Module and number of the call in the module: `layer1.0.relu 3` follows the addition of a residual block."""
    num_units: NDArray[np.int64]
    dead_share: NDArray[np.float64]
    """Share of units whose output was never above 0."""
    positive_share: NDArray[np.float64]
    """Share of outputs above 0."""
    mean: NDArray[np.float64]

    @classmethod
    def of(cls, parts: Sequence[Mapping[tuple[str, int], Site]]) -> Activations:
        """Return the statistics of the outputs that several processes have observed; without any, those of none."""
        merged: dict[tuple[str, int], Site] = {}
        for part in parts:
            for place, site in part.items():
                merged[place] = merged[place] + site if place in merged else site
        rows = np.array([site.read() for site in merged.values()]).reshape(-1, 4)
        num_units, dead_share, positive_share, mean = rows.T
        sites = tuple(f"{owner or 'network'} {call}" for owner, call in merged)
        return cls(sites, num_units.astype(np.int64), dead_share, positive_share, mean)


class ActivationProbe(TorchFunctionMode):
    """Observes the outputs of all calls of `relu` and `leaky_relu` in the block, by modules and by functions.

    Other activation functions, such as ReLU6, SiLU and GELU, are not observed.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self._hooks: list[RemovableHandle] = []
        self._owners: list[str] = []
        """Names of the modules whose forward pass is running, innermost last."""
        self._calls: Counter[str] = Counter()
        """Number of rectifier calls in this forward pass, by module."""
        self.sites: dict[tuple[str, int], Site] = {}
        """Sums of the outputs so far, by module and number of the call in it."""

    def __enter__(self) -> Self:
        """Register hooks that follow the forward pass from module to module."""
        for name, module in self._model.named_modules():
            self._hooks.append(module.register_forward_pre_hook(partial(self._began, name)))
            self._hooks.append(module.register_forward_hook(self._ended, always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call] # PyTorch's
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the hooks."""
        super().__exit__(*error)  # type: ignore[no-untyped-call] # PyTorch's
        for hook in self._hooks:
            hook.remove()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, and observe its result if it is a rectifier."""
        result = func(*args, **(kwargs or {}))
        if func in _RECTIFIERS:
            owner = self._owners[-1] if self._owners else ""
            self._calls[owner] += 1
            self.sites.setdefault((owner, self._calls[owner]), Site()).add(result)
        return result

    def _began(self, name: str, *_: object) -> None:
        if not self._owners:
            self._calls.clear()
        self._owners.append(name)

    def _ended(self, *_: object) -> None:
        self._owners.pop()


class Site:
    """Sums of the outputs of one call over all images, by unit, on the device of the outputs."""

    def __init__(self, num_outputs: int = 0, num_positive: Tensor = _ZERO, sum_: Tensor = _ZERO) -> None:
        self._num_outputs = num_outputs
        """Number of outputs of each unit."""
        self._num_positive = num_positive
        self._sum = sum_

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the sums on the CPU, since another process may have no such device."""
        return Site, (self._num_outputs, self._num_positive.cpu(), self._sum.cpu())

    def __add__(self, other: Site) -> Site:
        """Return the sums over the images of both."""
        num_outputs = self._num_outputs + other._num_outputs
        return Site(num_outputs, self._num_positive + other._num_positive, self._sum + other._sum)

    def add(self, output: Tensor) -> None:
        """Add the outputs of a batch. Units are the second dimension, or the last of three dimensions.

        The positions of an image are added in the dtype of the output, which rounds once and takes a fifth of the time
        of float32 on a CPU. float16 would overflow, so its sums are in float32.
        """
        output = output.detach()
        units = 2 if output.ndim == 3 else 1
        positions = [dimension for dimension in range(1, output.ndim) if dimension != units]
        dtype = torch.float32 if output.dtype == torch.float16 else None

        def by_unit(values: Tensor) -> Tensor:
            return (values.sum(positions, dtype=dtype) if positions else values).float().sum(0)

        # On a CPU, summing 0 and 1 in the dtype of the output takes a tenth of the time of booleans.
        self._num_positive = by_unit(torch.gt(output, 0, out=torch.empty_like(output))) + self._num_positive.to(
            output.device
        )
        self._sum = by_unit(output) + self._sum.to(output.device)
        self._num_outputs += output.numel() // output.shape[units]

    def read(self) -> tuple[float, float, float, float]:
        """Return the number of units, the share of dead units, the share of positive outputs, and the mean output."""
        return (
            len(self._num_positive),
            float((self._num_positive == 0).float().mean()),
            float(self._num_positive.mean()) / self._num_outputs,
            float(self._sum.mean()) / self._num_outputs,
        )
