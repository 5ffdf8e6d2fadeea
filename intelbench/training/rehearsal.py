"""Passes that are carried out without a step: the network and the generators are afterwards as before."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from intelbench.architectures.generators import Generators, preserve_generators
from intelbench.profiling.device import Device

_ABSENT = object()
"""In place of an attribute that a module does not have."""


@contextmanager
def unchanged(model: nn.Module, device: Device) -> Iterator[None]:
    """Run the block, which may carry out passes, then let the network and the generators be as before it.

    Buffers get their values back, and modules the attributes that they had; what is in a list of theirs may have
    changed. The network has no gradients afterwards.
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
    """What the modules of a network hold: buffers, and whatever else is an attribute of theirs."""

    def __init__(self, model: nn.Module) -> None:
        self._before = [
            (module_name, place, dict(place))
            for module_name, module in model.named_modules()
            for place in (vars(module), module._buffers)
        ]

    def changed(self) -> list[str]:
        """Return the dotted names of the attributes that were set since, deleted ones included."""
        return [
            f"{module_name}.{name}".lstrip(".")
            for module_name, place, before in self._before
            for name in dict.fromkeys([*before, *place])
            if not _is_same(before.get(name, _ABSENT), place.get(name, _ABSENT))
        ]

    def restore(self) -> None:
        """Give every module its attributes back."""
        if self.changed():
            for _, place, before in self._before:
                place.clear()
                place.update(before)


def drawn_on_the_host() -> tuple[object, ...]:
    """Return the states of the generators that are not a GPU's."""
    state = Generators().state_dict()
    return state["cpu"].tolist(), state["random"], state["numpy"]


def _is_same(before: object, now: object) -> bool:
    """Whether an attribute is the same object, or an equal number or text."""
    return before is now or (isinstance(before, int | float | str) and type(before) is type(now) and before == now)
