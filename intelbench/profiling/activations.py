"""Statistics of a network's rectifiers: dead units, share of positive outputs, mean output.

A unit is a channel of one call of ReLU or LeakyReLU. It is dead if it is above 0 for no image and no position (Lu et
al., Dying ReLU and Initialization, 2020). With fewer images more units appear dead. A dead unit of LeakyReLU still
passes a gradient.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

_RECTIFIERS = {
    F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_,
    F.leaky_relu, F.leaky_relu_,
}  # fmt: skip


class Activations(NamedTuple):
    """Statistics by site, in call order; a site is the n-th call of a rectifier in the forward pass of a module."""

    sites: tuple[str, ...]
    """Module and number of the call within it: `layer1.0.relu 3` follows the addition of a residual block."""
    num_units: NDArray[np.int64]
    dead_share: NDArray[np.float64]
    """Share of the site's units that were never above 0."""
    positive_share: NDArray[np.float64]
    """Share of outputs above 0."""
    mean: NDArray[np.float64]
    """Mean output."""


class ActivationProbe(TorchFunctionMode):
    """Context manager that observes the outputs of ReLU and LeakyReLU, modules and functions alike.

    It observes calls of `relu` and `leaky_relu`, but not of other functions such as ReLU6, SiLU and GELU.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self._hooks: list[RemovableHandle] = []
        self._owners: list[str] = []
        """Modules whose forward pass is running, innermost last."""
        self._calls: Counter[str] = Counter()
        """Number of rectifier calls in this forward pass, by module."""
        self._sites: dict[tuple[str, int], _Site] = {}

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
        """Call the function, and observe the result of a rectifier."""
        result = func(*args, **(kwargs or {}))
        if func in _RECTIFIERS:
            owner = self._owners[-1] if self._owners else ""
            self._calls[owner] += 1
            self._sites.setdefault((owner, self._calls[owner]), _Site()).add(result)
        return result

    def read(self) -> Activations:
        """Return the statistics of all outputs so far."""
        return Activations(
            sites=tuple(f"{owner or 'network'} {call}" for owner, call in self._sites),
            num_units=np.array([site.num_units for site in self._sites.values()], dtype=np.int64),
            dead_share=np.array([site.dead_share for site in self._sites.values()]),
            positive_share=np.array([site.positive_share for site in self._sites.values()]),
            mean=np.array([site.mean for site in self._sites.values()]),
        )

    def _began(self, name: str, *_: object) -> None:
        if not self._owners:
            self._calls.clear()
        self._owners.append(name)

    def _ended(self, *_: object) -> None:
        self._owners.pop()


class _Site:
    """Sums over the images that passed one call, by unit, on their device."""

    def __init__(self) -> None:
        self._num_outputs = 0
        """By unit."""
        self._num_positive = torch.zeros(1)
        self._sum = torch.zeros(1)

    def add(self, output: Tensor) -> None:
        """Add the outputs of a batch; units are the second dimension, or the last of three.

        The positions of an image are added in the dtype of the output: that rounds once, and takes a fifth of the time
        of float32 on a CPU. float16 would overflow.
        """
        output = output.detach()
        units = 2 if output.ndim == 3 else 1
        positions = [dimension for dimension in range(1, output.ndim) if dimension != units]
        dtype = torch.float32 if output.dtype == torch.float16 else None

        def by_unit(values: Tensor) -> Tensor:
            return (values.sum(positions, dtype=dtype) if positions else values).float().sum(0)

        # 0 and 1 in the output's own type take a CPU a tenth of the time of booleans.
        self._num_positive = by_unit(torch.gt(output, 0, out=torch.empty_like(output))) + self._num_positive.to(
            output.device
        )
        self._sum = by_unit(output) + self._sum.to(output.device)
        self._num_outputs += output.numel() // output.shape[units]

    @property
    def num_units(self) -> int:
        """Channels."""
        return len(self._num_positive)

    @property
    def dead_share(self) -> float:
        """Share of units never above 0."""
        return float((self._num_positive == 0).float().mean())

    @property
    def positive_share(self) -> float:
        """Share of outputs above 0."""
        return float(self._num_positive.mean()) / self._num_outputs

    @property
    def mean(self) -> float:
        """Mean output."""
        return float(self._sum.mean()) / self._num_outputs
