"""When two records speak of the same thing: digests of what decides a result, and the name a run gets from them."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from intelbench.records.types import Conditions, Environment, Execution, Recipe, RunRecord, RunSpec

_FIRST_FIELDS = frozenset({
    "image_size", "validation_fraction", "test_fraction", "precision", "memory_format", "fused_optimizer",
    "deterministic", "evaluation_points", "training_evaluation_images", "warmup_steps", "budget", "recipe",
    "optimizer", "learning_rate", "schedule", "warmup_fraction", "betas", "weight_decay", "label_smoothing",
    "batch_size", "crop_scale", "crop_ratio", "flip", "zero_init_residual", "own_initialization",
    "name", "description", "architectures", "seeds", "data",
})  # fmt: skip
"""Fields of `Recipe`, `Conditions` and `Suite` that are always said, because the first records said them."""


def digest(value: Any) -> str:
    """Hexadecimal digest (128 bits) of a value that msgspec can encode; equal values give equal digests."""
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=16).hexdigest()


def settled(value: Conditions | Recipe) -> dict[str, object]:
    """A suite's, conditions' or recipe's fields in order; one that came after the first records, where it is not its
    default, which is what those did.

    So a new field changes no digest of an old record, no name of its run, and no report on it.
    """
    later = _later_fields(type(value))
    found = {name: getattr(value, name) for name in value.__struct_fields__}
    return {
        name: settled(each) if isinstance(each, Recipe) else each
        for name, each in found.items()
        if name not in later or each != later[name]
    }


@cache
def _later_fields(kind: type[Conditions | Recipe]) -> Mapping[str, object]:
    """Defaults of the fields that came after the first records."""
    return {field.name: _default(field) for field in msgspec.structs.fields(kind) if field.name not in _FIRST_FIELDS}


def comparison_digest(spec: RunSpec) -> str:
    """Equal for runs whose accuracies may be compared: as many of the same images, and the same conditions or the same
    suite's own.
    """
    few = filter(None, [spec.images_per_class])
    if spec.suite_conditions:
        return digest((_encoded(spec.suite_conditions), spec.data.digest, "own recipes", *few))
    return digest((_encoded(spec.conditions), spec.data.digest, *few))


def machine_digest(record: RunRecord) -> str:
    """Equal for runs whose times and memory may be compared: same machine, libraries and way of executing."""
    return digest((record.environment.fingerprint, _execution(record.spec)))


def run_id(spec: RunSpec, environment: Environment) -> str:
    """Name of the run's folder: readable first, then what makes it unique, so that the same run has the same name."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", spec.architecture)
    identity = (
        spec.architecture, spec.provider, spec.seed, comparison_digest(spec), _execution(spec), environment.fingerprint,
        *filter(None, [spec.weights, spec.suite_conditions and _encoded(spec.conditions)]),
    )  # fmt: skip
    few = f"-n{spec.images_per_class}" if spec.images_per_class else ""
    return f"{readable}-s{spec.seed}{few}-{digest(identity)[:10]}"


def facts(spec: RunSpec, environment: Environment) -> dict[str, object]:
    """All that decides whether two runs may be compared, conditions, images, execution and machine, by dotted key."""
    found: dict[str, object] = {}
    _flatten("conditions", msgspec.to_builtins(spec.conditions), found)
    found["data.source"] = spec.data.source
    found["data.digest"] = spec.data.digest
    found["images_per_class"] = spec.images_per_class or "all"
    _flatten("execution", _comparable(spec.execution), found)
    for name in environment.__struct_fields__:
        if msgspec.structs.replace(environment, **{name: object()}).fingerprint != environment.fingerprint:
            found[f"environment.{name}"] = getattr(environment, name)
    return found


def facts_of_run(spec: RunSpec, environment: Environment) -> dict[str, object]:
    """All that decides the bits of a run: its `facts`, the code of its architecture, and the weights it starts from."""
    weights = spec.weights.sha256 if spec.weights else "none"
    return {"architecture": spec.provider, "weights": weights, **facts(spec, environment)}


def changes(before: dict[str, object], now: dict[str, object]) -> str:
    """What differs between two such dictionaries, in words; empty where nothing does."""
    return ", ".join(
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key) and key != "data.source"  # the same images may lie elsewhere
    )


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _encoded(conditions: Conditions) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(settled(conditions)))


def _execution(spec: RunSpec) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(_comparable(spec.execution)))


def _comparable(execution: Execution) -> dict[str, object]:
    """What of the execution decides speed and bits: not which of several equal GPUs it was."""
    found: dict[str, object] = msgspec.to_builtins(execution)
    del found["device_index"]
    return found


def _flatten(prefix: str, value: object, into: dict[str, object]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _flatten(f"{prefix}.{key}", item, into)
    else:
        into[prefix] = value
