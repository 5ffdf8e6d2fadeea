"""Run forward and backward passes, then restore the network and the random number generators."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from intelbench.architectures.generators import preserve_generators
from intelbench.profiling.device import Device

_ABSENT = object()
"""Stands for an attribute that a module does not have."""


@contextmanager
def restored(model: nn.Module, device: Device) -> Iterator[None]:
    """Run the block, then restore the buffers and attributes of the network, and the random number generators.

    The content of a list that is an attribute is not restored. The network has no gradients afterwards.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    attributes = Attributes(model)
    with preserve_generators(device):
        try:
            yield
        finally:
            for buffer, values in buffers:
                buffer.copy_(values)
            attributes.restore()
            model.zero_grad()


class Attributes:
    """The attributes and buffers of all modules of a network at one moment."""

    def __init__(self, model: nn.Module) -> None:
        self._before = [
            (module_name, attributes, dict(attributes))
            for module_name, module in model.named_modules()
            for attributes in (vars(module), module._buffers)
        ]

    def changed(self) -> list[str]:
        """Return the dotted names of the attributes that were set or deleted since that moment."""
        return [
            f"{module_name}.{name}".lstrip(".")
            for module_name, attributes, before in self._before
            for name in dict.fromkeys([*before, *attributes])
            if not _is_same(before.get(name, _ABSENT), attributes.get(name, _ABSENT))
        ]

    def restore(self) -> None:
        """Restore the attributes of every module."""
        if self.changed():
            for _, attributes, before in self._before:
                attributes.clear()
                attributes.update(before)


def _is_same(before: object, now: object) -> bool:
    """Return whether an attribute is the same object, or an equal number or text."""
    return before is now or (isinstance(before, int | float | str) and type(before) is type(now) and before == now)
