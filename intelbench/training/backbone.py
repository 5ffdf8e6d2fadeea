"""The backbone of a network, which is everything but its heads: frozen, or trained with them."""

import math

from torch import nn

from intelbench.architectures.surgery import freeze_backbone
from intelbench.config.recipe import Recipe
from intelbench.data.stream import InputKind
from intelbench.training.budget import ROUNDING


class Backbone:
    """Freezes the backbone of a network at the steps at which the recipe says so.

    The number of the step, or the share of the budget that is spent, decides whether the backbone is frozen. So a
    resumed run continues as if it had not been interrupted.
    """

    def __init__(
        self,
        model: nn.Module,
        heads: tuple[str, ...] = (),
        frozen_steps: float = 0,
        frozen_fraction: float = 0.0,
    ) -> None:
        """Freeze the backbone in the first `frozen_steps`, and in the first `frozen_fraction` of the budget."""
        self.heads = heads
        """Names of the modules that are trained in every step."""
        self.model = model
        self._frozen_steps = frozen_steps
        self._frozen_fraction = frozen_fraction
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.frozen = False
        self.model.train()
        if self.always_frozen:  # so that the optimizer does not get parameters that are never trained
            self.set_step(0, 0.0)

    @classmethod
    def of(cls, model: nn.Module, heads: tuple[str, ...], recipe: Recipe, steps_per_epoch: int) -> "Backbone":
        """Return the backbone of a network that is trained with this recipe."""
        match recipe.freeze_backbone:
            case "never":
                return cls(model, heads, frozen_fraction=recipe.frozen_fraction)
            case "always":
                return cls(model, heads, math.inf)
            case epochs:
                return cls(model, heads, round(epochs * steps_per_epoch))

    def set_step(self, step: int, done: float) -> None:
        """Freeze or unfreeze the backbone for a step, counted from 0, before which `done` of the budget is spent."""
        frozen = step < self._frozen_steps or done < self._frozen_fraction - ROUNDING
        if frozen and not self.frozen:
            freeze_backbone(self.model, self.heads)
        elif self.frozen and not frozen:
            self.model.train()
            for parameter in self._trained:
                parameter.requires_grad_(True)
        self.frozen = frozen

    def replay(self, num_frozen_steps: int) -> None:
        """Freeze the backbone in this number of first steps, which a recorded run has observed."""
        self._frozen_steps, self._frozen_fraction = num_frozen_steps, 0.0

    @property
    def always_frozen(self) -> bool:
        """Return whether the backbone is frozen in all steps."""
        return self._frozen_steps == math.inf

    def network_for(self, kind: InputKind) -> nn.Module:
        """Return the module that takes this kind of input: the network for images, its only head for features."""
        return self.model if kind == "images" else self.model.get_submodule(self.heads[0])

    def after_training(self) -> "Backbone":
        """Return the backbone for more steps after the last one: frozen in all of them if it is frozen now."""
        return Backbone(self.model, self.heads, math.inf if self.frozen else 0)
