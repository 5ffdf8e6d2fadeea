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
"""Fields of `Recipe`, `Conditions` and `Suite` that are always said, because the first records said them."""


def canonical_fields(value: Conditions | Recipe) -> dict[str, object]:
    """A suite's, conditions' or recipe's fields in order; one that came after the first records, where it is not its
    default, which is what those did.

    So a new field changes no digest of an old record, no name of its run, and no report on it.
    """
    later = _later_fields(type(value))
    found = {name: getattr(value, name) for name in value.__struct_fields__}
    return {
        name: canonical_fields(each) if isinstance(each, Recipe) else each
        for name, each in found.items()
        if name not in later or each != later[name]
    }


@cache
def _later_fields(kind: type[Conditions | Recipe]) -> Mapping[str, object]:
    """Defaults of the fields that came after the first records."""
    return {field.name: _default(field) for field in msgspec.structs.fields(kind) if field.name not in _FIRST_FIELDS}


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
