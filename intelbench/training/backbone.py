"""All of a network but its heads: frozen, or trained with them."""

import math

from torch import nn

from intelbench.architectures.surgery import freeze_backbone
from intelbench.config.recipe import Recipe
from intelbench.data.stream import InputKind


class Backbone:
    """Knows at which steps a network's backbone is frozen, and makes the network so.

    Whether it is frozen depends on the number of the step alone, so that a run that was interrupted goes on as it would
    have.
    """

    def __init__(self, model: nn.Module, heads: tuple[str, ...] = (), frozen_steps: float = 0) -> None:
        self.heads = heads
        """Names of the modules that train always."""
        self.model = model
        """The network itself."""
        self._frozen_steps = frozen_steps
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._frozen = False
        self.model.train()
        if self.always_frozen:  # an optimizer need not know of what never trains
            self.begin(0)

    @classmethod
    def of(cls, model: nn.Module, heads: tuple[str, ...], recipe: Recipe, steps_per_epoch: int) -> "Backbone":
        """The backbone of a run: frozen for as many steps as the recipe says."""
        match recipe.freeze_backbone:
            case "never":
                return cls(model, heads)
            case "always":
                return cls(model, heads, math.inf)
            case epochs:
                return cls(model, heads, round(epochs * steps_per_epoch))

    def begin(self, step: int) -> None:
        """Freeze or unfreeze the backbone for this step, counted from 0."""
        frozen = self.frozen_at(step)
        if frozen and not self._frozen:
            freeze_backbone(self.model, self.heads)
        elif self._frozen and not frozen:
            self.model.train()
            for parameter in self._trained:
                parameter.requires_grad_(True)
        self._frozen = frozen

    def frozen_at(self, step: int) -> bool:
        """Whether it is frozen at this step, counted from 0."""
        return step < self._frozen_steps

    @property
    def frozen(self) -> bool:
        """Whether it is frozen now."""
        return self._frozen

    @property
    def always_frozen(self) -> bool:
        """Whether it never trains."""
        return self._frozen_steps == math.inf

    def trained_on(self, kind: InputKind) -> nn.Module:
        """Return the network, which takes images, or its only head, which takes features."""
        return self.model if kind == "images" else self.model.get_submodule(self.heads[0])

    def frozen_share(self, num_steps: int) -> float:
        """Share of the first so many steps at which the backbone is frozen."""
        return min(1.0, self._frozen_steps / num_steps)

    def as_left(self) -> "Backbone":
        """The backbone for further steps after the last one: frozen for all of them, or for none."""
        return Backbone(self.model, self.heads, math.inf if self._frozen else 0)
