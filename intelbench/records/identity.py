"""The identity of runs: digests of what determines a result, and the name of a run."""

import hashlib
import re
from functools import cache
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct

from intelbench.config.decoding import flattened
from intelbench.records.types import Environment, Execution, RunRecord, RunSpec, Weights


def digest(value: Any) -> str:
    """Return the hexadecimal digest (128 bits) of a value that msgspec can encode; equal values have equal digests."""
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=16).hexdigest()


def record_digest(record: RunRecord) -> str:
    """Return a digest of all that a record holds."""
    return digest(msgspec.to_builtins(record, str_keys=True))


def comparison_digest(spec: RunSpec) -> str:
    """Return a digest that is equal for runs whose accuracies can be compared.

    It covers data, number of training images, what differs between seeds, and conditions; with overrides, the
    conditions of the suite.
    """
    conditions = canonical_fields(spec.suite_conditions or spec.conditions)
    has_overrides = spec.suite_conditions is not None
    varied = () if spec.vary == "all" else (spec.vary, spec.fixed_seed)
    data = spec.data.comparable_digest
    plugins = *varied, *spec.transform_providers
    return digest((conditions, has_overrides, spec.optimizer_provider, data, spec.images_per_class, *plugins))


def machine_digest(record: RunRecord) -> str:
    """Return a digest that is equal for runs whose times and memory can be compared: machine, libraries, execution."""
    return digest((record.environment.fingerprint, _execution_fields(record.spec.execution)))


def run_id(spec: RunSpec, environment: Environment) -> str:
    """Return the name of the run's folder: a readable part, and a digest of what determines the run."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", spec.architecture)
    identity = (
        spec.architecture, spec.provider, spec.seed, comparison_digest(spec), canonical_fields(spec.conditions),
        _weights_fields(spec.weights), _execution_fields(spec.execution), environment.fingerprint,
    )  # fmt: skip
    few = f"-n{spec.images_per_class}" if spec.images_per_class else ""
    varied = "" if spec.vary == "all" else f"-{spec.vary}"
    return f"{readable}-s{spec.seed}{few}{varied}-{digest(identity)[:10]}"


def facts(spec: RunSpec, environment: Environment) -> dict[str, object]:
    """Return what determines whether two runs can be compared, by dotted key: conditions, data, execution, machine."""
    tables = {
        "conditions": msgspec.to_builtins(spec.conditions),
        "optimizer": spec.optimizer_provider,
        **({"transforms": list(spec.transform_providers)} if spec.transform_providers else {}),
        "data": {"source": spec.data.source, "digest": spec.data.comparable_digest},
        "images_per_class": spec.images_per_class or "all",
        "vary": spec.vary if spec.fixed_seed is None else f"{spec.vary}, the others keep seed {spec.fixed_seed}",
        "execution": _without_index(msgspec.to_builtins(spec.execution)),
        "environment": machine_facts(environment),
    }
    return flattened(tables)


def machine_facts(environment: Environment) -> dict[str, object]:
    """Return the fields of an environment that its fingerprint covers."""
    return {
        name: value
        for name, value in msgspec.structs.asdict(environment).items()
        if msgspec.structs.replace(environment, **{name: object()}).fingerprint != environment.fingerprint
    }


def facts_of_run(spec: RunSpec, environment: Environment) -> dict[str, object]:
    """Return what determines the bits of a run: its `facts`, the code of its architecture, and its weights."""
    weights = spec.weights.sha256 if spec.weights else "none"
    return {"architecture": spec.provider, "weights": weights, **facts(spec, environment)}


def changes(before: dict[str, object], now: dict[str, object]) -> str:
    """Describe the values that differ between two dictionaries of facts; empty if they are equal."""
    return ", ".join(
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key) and key != "data.source"  # the images may have been moved
    )


def canonical_fields(value: Struct) -> dict[str, object]:
    """Return the fields of a struct and of the structs in it for a digest, without fields that have default values.

    A field that is added later therefore does not change the digests of older records.
    """
    return {
        name: canonical_fields(content) if isinstance(content, Struct) else content
        for name, default in _defaults(type(value)).items()
        if (content := getattr(value, name)) != default
    }


@cache
def _defaults(struct: type[Struct]) -> dict[str, object]:
    """Return the default value of each field of a struct, by name."""
    return {
        field.name: field.default if field.default_factory is NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(struct)
    }


def _weights_fields(weights: Weights | None) -> dict[str, object] | None:
    """Return the fields of weights that determine a run, so without what their publishers say about them."""
    if weights is None:
        return None
    return {name: getattr(weights, name) for name in ("file", "sha256", "normalization")}


def _execution_fields(execution: Execution) -> dict[str, object]:
    return _without_index(canonical_fields(execution))


def _without_index(fields: dict[str, object]) -> dict[str, object]:
    """Return the fields of an execution that determine speed and bits, so without the index of the GPU."""
    return {name: value for name, value in fields.items() if name != "device_index"}
