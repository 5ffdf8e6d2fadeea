"""When two records speak of the same thing: digests of what decides a result, and the name a run gets from them."""

import hashlib
import re
from typing import Any

import msgspec

from intelbench.config.canonical import canonical_fields
from intelbench.config.conditions import Conditions
from intelbench.records.types import Environment, Execution, RunRecord, RunSpec


def digest(value: Any) -> str:
    """Hexadecimal digest (128 bits) of a value that msgspec can encode; equal values give equal digests."""
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=16).hexdigest()


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


def _encoded(conditions: Conditions) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(canonical_fields(conditions)))


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
