"""The canonical fields of conditions and recipes, from which digests are made."""

from collections.abc import Mapping
from functools import cache

import msgspec

from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe

_FIRST_FIELDS = frozenset({
    "image_size", "validation_fraction", "test_fraction", "precision", "memory_format", "fused_optimizer",
    "deterministic", "evaluation_points", "training_evaluation_images", "warmup_steps", "budget", "recipe",
    "optimizer", "learning_rate", "schedule", "warmup_fraction", "betas", "weight_decay", "label_smoothing",
    "batch_size", "crop_scale", "crop_ratio", "flip", "zero_init_residual", "own_initialization",
    "name", "description", "architectures", "seeds", "data",
})  # fmt: skip
"""Fields of `Recipe`, `Conditions` and `Suite` that are always written, because the first records have them."""


def canonical_fields(value: Conditions | Recipe) -> dict[str, object]:
    """Return the fields of a suite, of conditions or of a recipe, in order.

    Fields that were added after the first records are left out where they have their default value. So a new field
    changes no digest of an old record, no name of its run, and no report on it.
    """
    added = _added_fields(type(value))
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    return {
        name: canonical_fields(field) if isinstance(field, Recipe) else field
        for name, field in fields.items()
        if name not in added or field != added[name]
    }


@cache
def _added_fields(kind: type[Conditions | Recipe]) -> Mapping[str, object]:
    """Return the defaults of the fields that were added after the first records."""
    return {field.name: _default(field) for field in msgspec.structs.fields(kind) if field.name not in _FIRST_FIELDS}


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
