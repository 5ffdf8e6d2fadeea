"""When two records speak of the same thing: digests of what decides a result, and the name a run gets from them."""

import hashlib
import re
from typing import Any

import msgspec

from intelbench.records.types import Environment, RunRecord, RunSpec


def digest(value: Any) -> str:
    """Hexadecimal digest (128 bits) of a value that msgspec can encode; equal values give equal digests."""
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=16).hexdigest()


def comparison_digest(spec: RunSpec) -> str:
    """Equal for runs whose accuracies may be compared: same conditions, same images."""
    return digest((spec.conditions, spec.data.digest))


def machine_digest(record: RunRecord) -> str:
    """Equal for runs whose times and memory may be compared: same machine, libraries and way of executing."""
    return digest((record.environment.fingerprint, record.spec.execution))


def run_id(spec: RunSpec, environment: Environment) -> str:
    """Name of the run's folder: readable first, then what makes it unique, so that the same run has the same name."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", spec.architecture)
    identity = (
        spec.architecture, spec.provider, spec.seed, comparison_digest(spec), spec.execution, environment.fingerprint
    )  # fmt: skip
    return f"{readable}-s{spec.seed}-{digest(identity)[:10]}"
