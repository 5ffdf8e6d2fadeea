"""The identity of runs: digests of what determines a result, and the name of a run."""

import hashlib
import re
from typing import Any

import msgspec

from intelbench.config.canonical import canonical_fields
from intelbench.config.conditions import Conditions
from intelbench.records.types import Environment, Execution, RunRecord, RunSpec


def digest(value: Any) -> str:
    """Return the hexadecimal digest (128 bits) of a value that msgspec can encode; equal values have equal digests."""
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=16).hexdigest()


def comparison_digest(spec: RunSpec) -> str:
    """Return a digest that is equal for runs whose accuracies can be compared.

    It covers data, number of training images, and conditions; with overrides, the conditions of the suite.
    """
    few = filter(None, [spec.images_per_class])
    if spec.suite_conditions:
        return digest((_encoded(spec.suite_conditions), spec.data.digest, "own recipes", *few))
    return digest((_encoded(spec.conditions), spec.data.digest, *few))


def machine_digest(record: RunRecord) -> str:
    """Return a digest that is equal for runs whose times and memory can be compared: machine, libraries, execution."""
    return digest((record.environment.fingerprint, _execution(record.spec)))


def run_id(spec: RunSpec, environment: Environment) -> str:
    """Return the name of the run's folder: a readable part, and a digest of what determines the run."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", spec.architecture)
    identity = (
        spec.architecture, spec.provider, spec.seed, comparison_digest(spec), _execution(spec), environment.fingerprint,
        *filter(None, [spec.weights, spec.suite_conditions and _encoded(spec.conditions)]),
    )  # fmt: skip
    few = f"-n{spec.images_per_class}" if spec.images_per_class else ""
    return f"{readable}-s{spec.seed}{few}-{digest(identity)[:10]}"


def facts(spec: RunSpec, environment: Environment) -> dict[str, object]:
    """Return what determines whether two runs can be compared, by dotted key: conditions, data, execution, machine."""
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
    """Return what determines the bits of a run: its `facts`, the code of its architecture, and its weights."""
    weights = spec.weights.sha256 if spec.weights else "none"
    return {"architecture": spec.provider, "weights": weights, **facts(spec, environment)}


def changes(before: dict[str, object], now: dict[str, object]) -> str:
    """Say which values differ between two dictionaries of facts; empty if none does."""
    return ", ".join(
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key) and key != "data.source"  # the images may have been moved
    )


def _encoded(conditions: Conditions) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(canonical_fields(conditions)))


def _execution(spec: RunSpec) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(_comparable(spec.execution)))


def _comparable(execution: Execution) -> dict[str, object]:
    """Return the part of the execution that determines speed and bits, which the index of the GPU is not."""
    found: dict[str, object] = msgspec.to_builtins(execution)
    del found["device_index"]
    return found


def _flatten(prefix: str, value: object, into: dict[str, object]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _flatten(f"{prefix}.{key}", item, into)
    else:
        into[prefix] = value
