"""Published claims: TOML files decoded strictly into what can be checked against records.

`docs/CLAIMS.md` documents the schema for whoever writes such a file, and how verdicts are reached.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from intelbench.config.conditions import Conditions
from intelbench.config.decoding import convert, flattened, parse_toml, read_text
from intelbench.config.recipe import ArgumentValue
from intelbench.config.validation import Fault, dotted, find_fault
from intelbench.errors import UserError, one_of, printable, shortened
from intelbench.records.types import DataFacts, Environment, Execution, RunRecord
from intelbench.results.metrics import METRICS

_BUILT_IN = resources.files("intelbench") / "claims" / "published.toml"

Relation = Literal["equal", "at_least", "at_most", "higher", "lower"]
Text = Annotated[str, Meta(min_length=1)]


_ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "LeakyReLU"}


def _weights(record: RunRecord) -> str:
    chosen = record.spec.conditions.recipe.weights
    return "random" if chosen == "none" else chosen


def _backbone(record: RunRecord) -> str:
    frozen = record.spec.conditions.recipe.freeze_backbone
    if isinstance(frozen, str):
        return {"never": "trained", "always": "frozen"}[frozen]
    return f"frozen for {frozen:g} epochs, then trained"


def _head(record: RunRecord) -> str:
    head = record.spec.conditions.recipe.head
    if head.kind == "linear":
        return "one linear layer"
    widths = "-".join(map(str, (*head.widths, len(record.spec.data.class_names))))
    return f"{widths}, {_ACTIVATIONS[head.activation]}, dropout {head.dropout:g}"


IN_WORDS: Mapping[str, Callable[[RunRecord], str]] = {"weights": _weights, "backbone": _backbone, "head": _head}
"""Conditions that are said of a record in words, as publications say them."""
_ARGUMENT = "recipe.optimizer_arguments."
"""Prefix of the conditions on keyword arguments of the optimizer."""


class Claim(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One statement that somebody published, and what would have to be measured for it to hold."""

    id: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
            max_length=60,
            description="small letters and digits with single hyphens between them, as in `wrn-parameters`",
        ),
    ]
    """Unique in its file."""
    statement: Text
    source: Text
    """Where it was published."""
    known: str = ""
    """What is known about it apart from any run."""
    metric: str
    """The name of a metric."""
    relation: Relation
    """`equal`, `at_least` and `at_most` refer to `value`; `higher` and `lower` to `others`."""
    architecture: Text
    others: Annotated[tuple[Text, ...], Meta(min_length=1)] | None = None
    """With `higher` and `lower`: those that must all be surpassed, every other one where absent. With the other
    relations: the one architecture of whose figure `value` is a multiple."""
    value: float | None = None
    """In the unit of the metric, shares as fractions; a factor where `others` is given."""
    tolerance: Annotated[float, Meta(ge=0)] = 0.0
    """How far from `value` still counts, in its unit."""
    accuracy: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Validation accuracy that `steps_to_accuracy` waits for."""
    classes: tuple[tuple[Text, Text], ...] = ()
    """Pairs of classes for `confusion`, in either order: each is claimed to be confused more often than any other."""
    conditions: dict[str, Any] = {}
    """Required of the runs: dotted keys of `Conditions`, `data`, `execution`, `environment` and `IN_WORDS`."""

    def __post_init__(self) -> None:
        if METRICS.find(self.metric) is None:
            known = one_of(self.metric, METRICS.providers())
            raise ValueError(f"`metric` {shortened(repr(self.metric))} is not known. {known}")
        _check_relation(self)
        _check_extras(self)
        for key, value in self.required.items():
            _check_condition(key, value)

    @property
    def comparative(self) -> bool:
        """Whether it compares architectures, or pairs of classes, by which is higher."""
        return self.relation in ("higher", "lower")

    @property
    def required(self) -> dict[str, Any]:
        """The conditions by dotted key, whether they were written so or as nested tables."""
        return flattened(self.conditions)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    claim: Annotated[tuple[Claim, ...], Meta(min_length=1)]


def load_claims(path: Path | None = None) -> tuple[Claim, ...]:
    """Read the built-in published claims, or those of a TOML file of the user's own.

    Raises:
        UserError: as `read_text`, `parse_toml` and `convert`, or the file holds an id twice.
    """
    if path is None:
        return _decode(_BUILT_IN.read_text(encoding="utf-8"), "published.toml")
    return _decode(read_text("claims", path), printable(path))


def condition_keys() -> dict[str, Any]:
    """Every key that `conditions` accepts, with the type of its value."""
    groups: dict[str, type[Struct]] = {
        "": Conditions,
        "data.": DataFacts,
        "execution.": Execution,
        "environment.": Environment,
    }
    found: dict[str, Any] = dict.fromkeys(IN_WORDS, str)
    for prefix, group in groups.items():
        found |= _types(prefix, group)
    return found


def differing_conditions(claim: Claim, records: Sequence[RunRecord]) -> dict[str, tuple[object, object]]:
    """Conditions of a claim that some record does not meet: dotted key -> value required, value of that record.

    Where architectures have recipes of their own, the others' do not matter.
    """
    found = {}
    every = claim.comparative and claim.others is None and not claim.classes
    named = (claim.architecture, *(claim.others or ()))
    records = [each for each in records if not every and each.spec.architecture in named] or records
    for key, value in claim.required.items():
        required = msgspec.convert(value, _condition_type(key))
        for held in map(_getter(key), records):
            if not _meets(key, required, held):
                found[key] = (required, held)
                break
    return found


def _types(prefix: str, group: type[Struct]) -> dict[str, Any]:
    """The fields of a struct and of those in it, by dotted key."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(group):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            found |= _types(f"{prefix}{field.name}.", field.type)
        else:
            found[prefix + field.name] = field.type
    return found


def _meets(key: str, required: object, held: object) -> bool:
    """Whether a record holds what is required.

    A head may be described in part: the width of the features before it is the architecture's, and not every
    publication names the activation.
    """
    if key != "head" or required == held:
        return required == held
    parts = str(held).split(", ")
    return all(any(part == each or part.endswith(f"-{each}") for each in parts) for part in str(required).split(", "))


def _getter(key: str) -> Callable[[RunRecord], object]:
    """What gives a record's value of a condition."""
    if key.startswith(_ARGUMENT):
        return lambda record: record.spec.conditions.recipe.optimizer_arguments.get(key.removeprefix(_ARGUMENT))
    groups = {"data": "spec.", "execution": "spec.", "environment": ""}
    return IN_WORDS.get(key) or attrgetter(groups.get(key.partition(".")[0], "spec.conditions.") + key)


def _check_relation(claim: Claim) -> None:
    metric = METRICS.get(claim.metric)
    if claim.comparative and (claim.value is not None or claim.tolerance):
        raise ValueError(f"relation `{claim.relation}` takes neither `value` nor `tolerance`; it refers to `others`")
    if not claim.comparative and claim.value is None:
        raise ValueError(f"relation `{claim.relation}` needs a `value`")
    if not claim.comparative and claim.others is not None and len(claim.others) != 1:
        raise ValueError(f"with relation `{claim.relation}`, `others` is one architecture; got {len(claim.others)}")
    if claim.architecture in (claim.others or ()):
        raise ValueError(f"`others` holds {claim.architecture!r}, which is `architecture` itself")
    if not math.isfinite(claim.tolerance) or not math.isfinite(claim.value or 0):
        raise ValueError("`value` and `tolerance` are finite numbers")
    is_share = metric.unit == "share" and claim.others is None and claim.value is not None
    if is_share and not 0 <= (claim.value or 0) <= 1:
        raise ValueError(
            f"`value` of `{claim.metric}` is a fraction from 0 to 1; got {claim.value:g}; is it in percent?"
        )


def _check_extras(claim: Claim) -> None:
    metric = METRICS.get(claim.metric)
    if (metric.at_accuracy is None) != (claim.accuracy is None):
        raise ValueError("`accuracy` belongs to metric `steps_to_accuracy`, which needs it")
    if (metric.compared == "confusion") != bool(claim.classes):
        raise ValueError("`classes` belongs to metric `confusion`, which needs it")
    if claim.classes and (claim.relation != "higher" or claim.others is not None):
        raise ValueError("metric `confusion` takes relation `higher` and no `others`: it compares pairs of classes")
    if len({frozenset(pair) for pair in claim.classes if pair[0] != pair[1]}) != len(claim.classes):
        raise ValueError("`classes` holds pairs of different classes, each once, in either order")


def _check_condition(key: str, value: object) -> None:
    accepted = _condition_type(key)
    if accepted is None:
        raise ValueError(f"`conditions` has the unknown key `{shortened(key)}`. {one_of(key, condition_keys())}")
    try:
        msgspec.convert(value, accepted)
    except msgspec.ValidationError as error:
        fault = find_fault(value, accepted, tuple(key.split(".")))
        raise ValueError(f"condition `{dotted(fault.place)}`: {fault.fault}") from error


def _condition_type(key: str) -> Any:
    """Return the type of a condition's value; `None` if the key is not known."""
    return ArgumentValue if key.startswith(_ARGUMENT) else condition_keys().get(key)


def _decode(text: str, name: str) -> tuple[Claim, ...]:
    origin = f"claims {name}"
    content = parse_toml(origin, text)
    claims = convert(origin, content, _File, more=lambda fault: _which(fault, content)).claim
    twice = sorted(name for name, number in Counter(claim.id for claim in claims).items() if number > 1)
    if twice:
        raise UserError(f"{origin}: key `id`: {', '.join(twice)} given more than once; every id is unique")
    return claims


def _which(fault: Fault, content: dict[str, Any]) -> str:
    """The id of the claim that is at fault, since people do not count claims from 0."""
    match fault.place:
        case ("claim", int(position), *_) if isinstance(content["claim"][position], dict):
            name = content["claim"][position].get("id")
            return f" (claim {shortened(repr(name))})" if isinstance(name, str) else ""
    return ""
