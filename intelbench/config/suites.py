"""Suites: TOML files decoded strictly, the built-in ones by name, and the overrides of the command line."""

import difflib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w

from intelbench.config.budget import Budget
from intelbench.config.canonical import canonical_fields
from intelbench.config.conditions import Conditions, Suite
from intelbench.config.decoding import convert, parse_toml, read_text
from intelbench.errors import UserError, printable, shortened

_BUILT_IN = resources.files("intelbench") / "suites"


def built_in_suites() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _BUILT_IN.iterdir() if file.name.endswith(".toml"))


def load_suite(name_or_file: str) -> Suite:
    """Read a built-in suite by its name, or any suite from a TOML file.

    Raises:
        UserError: no such suite, or as `read_text`, `parse_toml` and `convert`.
    """
    if name_or_file in built_in_suites():
        return _decode(name_or_file, (_BUILT_IN / f"{name_or_file}.toml").read_text(encoding="utf-8"))
    path = Path(name_or_file)
    if path.suffix != ".toml":
        near = difflib.get_close_matches(name_or_file, built_in_suites(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(
            f"suite {shortened(repr(name_or_file))} is not known; {hint}Built in: {', '.join(built_in_suites())}. "
            "Your own suite is a file that ends in .toml"
        )
    return _decode(printable(path), read_text("suite", path))


def conditions_of(suite: Suite, architecture: str) -> Conditions:
    """Under which an architecture of that name runs: the suite's conditions, with what is its own in their place.

    Raises:
        msgspec.ValidationError: what is its own is not accepted there; never of a suite that was loaded.
    """
    if architecture not in suite.overrides:
        return suite.conditions
    return msgspec.convert(_overridden_conditions(suite, architecture), Conditions)


def _overridden_conditions(suite: Suite, architecture: str) -> dict[str, Any]:
    """The conditions of an architecture that has its own, as plain values that may not be accepted."""
    replaced, shared = suite.overrides[architecture], msgspec.to_builtins(suite.conditions)
    budget = msgspec.to_builtins(replaced.budget or suite.budget)
    return {**shared, "budget": budget, "recipe": shared["recipe"] | replaced.recipe}


def budgets(suite: Suite) -> list[Budget]:
    """Of the architectures, each amount once."""
    return list(dict.fromkeys(conditions_of(suite, name).budget for name in suite.architectures))


def encode_suite(suite: Suite) -> str:
    """The suite as a TOML file that `load_suite` reads back to an equal value."""
    return tomli_w.dumps(_without_none(msgspec.to_builtins(canonical_fields(suite))))


def override(
    suite: Suite,
    *,
    architectures: tuple[str, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    data: str | None = None,
    budget: Budget | float | None = None,
    image_size: int | None = None,
    precision: str | None = None,
    images_per_class: tuple[int | Literal["all"], ...] | None = None,
) -> Suite:
    """The effective suite: the given values in place of its own.

    A budget is that of every architecture. A number is a share of what each has; frozen epochs are as many fewer.

    Raises:
        UserError: one of them is not accepted in a suite; the message names its key.
    """
    given: dict[str, object] = {
        "architectures": architectures,
        "seeds": seeds,
        "data": data,
        "image_size": image_size,
        "precision": precision,
        "images_per_class": images_per_class,
    }
    if isinstance(budget, Budget):
        overrides = {name: msgspec.structs.replace(each, budget=None) for name, each in suite.overrides.items()}
        given |= {"budget": budget, "overrides": overrides}
    if isinstance(budget, float):
        given |= _scaled(suite, budget)
    given = {key: value for key, value in given.items() if value is not None}
    origin = f"suite {suite.name}, with what was given in its place"
    return _checked(origin, convert(origin, msgspec.to_builtins(suite) | msgspec.to_builtins(given), Suite))


def _scaled(suite: Suite, share: float) -> dict[str, object]:
    """That share of every budget, and of the epochs for which a backbone is frozen, the shared ones and the own ones.

    Plain values, of which one may be too small to be accepted.
    """

    def part(budget: Budget) -> dict[str, float]:
        counted = budget.unit in ("steps", "images")
        return {budget.unit: max(1, round(budget.amount * share)) if counted else budget.amount * share}

    def fewer(recipe: dict[str, Any]) -> dict[str, Any]:
        frozen = recipe.get("freeze_backbone")
        return recipe | ({"freeze_backbone": frozen * share} if isinstance(frozen, int | float) else {})

    overrides = {
        name: {"recipe": fewer(each.recipe)} | ({"budget": part(each.budget)} if each.budget else {})
        for name, each in suite.overrides.items()
    }
    return {"budget": part(suite.budget), "recipe": fewer(msgspec.to_builtins(suite.recipe)), "overrides": overrides}


def _decode(name: str, text: str) -> Suite:
    origin = f"suite {name}"
    return _checked(origin, convert(origin, parse_toml(origin, text), Suite))


def _checked(origin: str, suite: Suite) -> Suite:
    """The suite, whose own recipes are as strictly held to what a recipe takes as the shared one."""
    for name in suite.overrides:
        convert(origin, _overridden_conditions(suite, name), Conditions, ("overrides", name))
    return suite


def _without_none(value: object) -> dict[str, object]:
    """TOML has no null: an absent value is an absent key."""
    assert isinstance(value, dict)
    return {
        key: _without_none(item) if isinstance(item, dict) else item for key, item in value.items() if item is not None
    }
