"""Published claims: TOML files, decoded strictly, that can be checked against records.

`docs/claims.md` documents the schema, and how verdicts are reached.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
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
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS, one_of_metrics

_BUILT_IN = resources.files("intelbench") / "claims" / "published.toml"

Relation = Literal["equal", "at_least", "at_most", "higher", "lower", "equivalent"]
Text = Annotated[str, Meta(min_length=1)]

_ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "LeakyReLU"}


def _weights(record: RunRecord) -> str:
    weights = record.spec.conditions.recipe.weights
    return "random" if weights == "none" else weights


def _backbone(record: RunRecord) -> str:
    recipe = record.spec.conditions.recipe
    frozen = recipe.freeze_backbone
    if recipe.frozen_fraction:
        return f"frozen for {100 * recipe.frozen_fraction:g} % of the budget, then trained"
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
"""Functions that return a condition of a record in words, as publications write it."""
REQUIREMENT = 1000
"""Number of runs from which a value is no measurement; no publication has as many of one network."""
_ARGUMENT = "recipe.optimizer_arguments."
"""Prefix of the conditions on keyword arguments of the optimizer."""


class Claim(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A published statement, and the measurement that would support it."""

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
    """Publication of the statement."""
    known: str = ""
    """Known facts about the statement that no run measures."""
    metric: str
    """Name of a metric."""
    relation: Relation
    """`equal`, `at_least` and `at_most` refer to `value`; `higher`, `lower` and `equivalent` to `others`."""
    architecture: Text
    others: Annotated[tuple[Text, ...], Meta(min_length=1)] | None = None
    """With `higher`, `lower` and `equivalent`: architectures for which it must hold; absent for every other one. With
    the rest: the one architecture of whose figure `value` is a multiple."""
    value: float | None = None
    """Value in the unit of the metric, shares as fractions; a factor where `others` is given."""
    tolerance: Annotated[float, Meta(ge=0)] = 0.0
    """Largest accepted distance from `value`, in its unit."""
    runs: Annotated[int, Meta(ge=1)] = 1
    """Number of training runs that `value` is the mean of; from `REQUIREMENT` on it is a requirement, which no run has
    shown: neither seeds nor images are a part of it."""
    margin: Annotated[float, Meta(ge=0)] | None = None
    """With `higher`, `lower` and `equivalent`: largest difference that does not matter, in the unit of the metric; of
    metrics that are compared by ratio a fraction; absent for that of `largest_equivalent`."""
    accuracy: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Validation accuracy of `steps_to_accuracy`."""
    classes: tuple[tuple[Text, Text], ...] = ()
    """Pairs of classes for `confusion`, in either order: each pair is confused more often than any other pair."""
    conditions: dict[str, Any] = {}
    """Required conditions of the runs: keys of `Conditions`, `data`, `execution`, `environment` and `IN_WORDS`."""

    def __post_init__(self) -> None:
        if METRICS.find(self.metric) is None:
            raise ValueError(f"`metric` {shortened(repr(self.metric))} is not known. {one_of_metrics(self.metric)}")
        _check_fields(self)
        for key, value in self.required.items():
            _check_condition(key, value)

    @property
    def comparative(self) -> bool:
        """Return whether the claim compares an architecture, or a pair of classes, with others."""
        return self.relation in ("higher", "lower", "equivalent")

    @property
    def is_requirement(self) -> bool:
        """Return whether the value is a requirement that nobody measured."""
        return self.runs >= REQUIREMENT

    @property
    def largest_equivalent(self) -> float:
        """Return the largest difference that does not matter: `margin`, or what is usual for the metric."""
        return _usual_margin(METRICS.get(self.metric)) if self.margin is None else self.margin

    @property
    def required(self) -> dict[str, Any]:
        """Return the conditions by dotted key, whether they were written with dotted keys or as nested tables."""
        return flattened(self.conditions)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    claim: Annotated[tuple[Claim, ...], Meta(min_length=1)]


def load_claims(path: Path | None = None) -> tuple[Claim, ...]:
    """Return the built-in published claims, or the claims in a TOML file of the user.

    Raises:
        UserError: as `read_text`, `parse_toml` and `convert`, or the file holds an id twice.
    """
    if path is None:
        return _decode(_BUILT_IN.read_text(encoding="utf-8"), "published.toml")
    return _decode(read_text("claims", path), printable(path))


@cache
def condition_keys() -> Mapping[str, Any]:
    """Return every key that `conditions` accepts, with the type of its value."""
    types: dict[str, Any] = dict.fromkeys(IN_WORDS, str)
    types |= _types("", Conditions) | _types("data.", DataFacts)
    return types | _types("execution.", Execution) | _types("environment.", Environment)


def differing_conditions(claim: Claim, records: Sequence[RunRecord]) -> dict[str, tuple[object, object]]:
    """Return the conditions of a claim that a record does not meet: dotted key -> value required, value of the record.

    Only the records of the architectures that the claim is about have to meet them.
    """
    differing = {}
    about_all = claim.comparative and claim.others is None and not claim.classes
    named = (claim.architecture, *(claim.others or ()))
    records = [record for record in records if not about_all and record.spec.architecture in named] or records
    for key, value in claim.required.items():
        required = msgspec.convert(value, _condition_type(key))
        if unmet := [actual for actual in map(_getter(key), records) if not _meets(key, required, actual)]:
            differing[key] = (required, unmet[0])
    return differing


def _types(prefix: str, group: type[Struct]) -> dict[str, Any]:
    """Return the types of the fields of a struct and of the structs in it, by dotted key."""
    types: dict[str, Any] = {}
    for field in msgspec.structs.fields(group):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            types |= _types(f"{prefix}{field.name}.", field.type)
        else:
            types[prefix + field.name] = field.type
    return types


def _meets(key: str, required: object, actual: object) -> bool:
    """Return whether the value of a record is the required one.

    A head may be described in part: the width of the features before it is the architecture's, and not every
    publication names the activation.
    """
    if key != "head" or required == actual:
        return required == actual
    parts = str(actual).split(", ")
    return all(any(word == part or word.endswith(f"-{part}") for part in parts) for word in str(required).split(", "))


def _getter(key: str) -> Callable[[RunRecord], object]:
    """Return the function that returns a record's value of a condition."""
    if key.startswith(_ARGUMENT):
        return lambda record: record.spec.conditions.recipe.optimizer_arguments.get(key.removeprefix(_ARGUMENT))
    groups = {"data": "spec.", "execution": "spec.", "environment": ""}
    return IN_WORDS.get(key) or attrgetter(groups.get(key.partition(".")[0], "spec.conditions.") + key)


def _usual_margin(metric: Metric) -> float:
    """Return 2 % for arithmetic and ratios, a point for shares, and else 0; confusions are shares of few images."""
    if metric.compared in ("exact", "ratio"):
        return 0.02
    return 0.01 if metric.change == "points" and metric.compared != "confusion" else 0.0


def _check_fields(claim: Claim) -> None:
    metric = METRICS.get(claim.metric)
    if not all(map(math.isfinite, (claim.tolerance, claim.value or 0, claim.margin or 0))):
        raise ValueError("`value`, `tolerance` and `margin` are finite numbers")
    if claim.comparative:
        _check_comparison(claim)
    elif claim.value is None:
        raise ValueError(f"relation `{claim.relation}` needs a `value`")
    elif claim.margin is not None:
        raise ValueError(f"relation `{claim.relation}` takes a `tolerance` and no `margin`")
    if not claim.comparative and claim.others is not None and len(claim.others) != 1:
        raise ValueError(f"with relation `{claim.relation}`, `others` is one architecture; got {len(claim.others)}")
    if claim.architecture in (claim.others or ()):
        raise ValueError(f"`others` holds {claim.architecture!r}, which is `architecture` itself")
    if claim.runs > 1 and metric.compared == "exact":
        raise ValueError(f"`runs` is for what runs measure; `{claim.metric}` is arithmetic")
    is_share = metric.unit == "share" and claim.others is None and claim.value is not None
    if is_share and not 0 <= (claim.value or 0) <= 1:
        raise ValueError(
            f"`value` of `{claim.metric}` is a fraction from 0 to 1; got {claim.value:g}; is it in percent?"
        )
    if (metric.at_accuracy is None) != (claim.accuracy is None):
        raise ValueError("`accuracy` belongs to metric `steps_to_accuracy`, which needs it")
    if (metric.compared == "confusion") != bool(claim.classes):
        raise ValueError("`classes` belongs to metric `confusion`, which needs it")
    if claim.classes and (claim.relation != "higher" or claim.others is not None):
        raise ValueError("metric `confusion` takes relation `higher` and no `others`: it compares pairs of classes")
    if len({frozenset(pair) for pair in claim.classes if pair[0] != pair[1]}) != len(claim.classes):
        raise ValueError("`classes` holds pairs of different classes, each once, in either order")


def _check_comparison(claim: Claim) -> None:
    if claim.value is not None or claim.tolerance or claim.runs > 1:
        raise ValueError(
            f"relation `{claim.relation}` takes neither `value`, `tolerance` nor `runs`; it refers to `others`"
        )
    is_fraction = METRICS.get(claim.metric).change != "difference" or METRICS.get(claim.metric).compared == "exact"
    if is_fraction and claim.largest_equivalent >= 1:
        raise ValueError(f"`margin` of `{claim.metric}` is a fraction below 1; got {claim.margin:g}; is it in percent?")
    if claim.relation == "equivalent" and not claim.largest_equivalent:
        raise ValueError(f"relation `equivalent` needs a `margin` above 0 for `{claim.metric}`")


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
    twice = sorted(name for name, count in Counter(claim.id for claim in claims).items() if count > 1)
    if twice:
        raise UserError(f"{origin}: key `id`: {', '.join(twice)} given more than once; every id is unique")
    return claims


def _which(fault: Fault, content: dict[str, Any]) -> str:
    """Return the id of the claim that is at fault, since people do not count claims from 0."""
    match fault.place:
        case ("claim", int(position), *_) if isinstance(content["claim"][position], dict):
            name = content["claim"][position].get("id")
            return f" (claim {shortened(repr(name))})" if isinstance(name, str) else ""
    return ""
