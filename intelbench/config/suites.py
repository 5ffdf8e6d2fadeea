"""Suites: TOML files decoded strictly, the built-in ones by name, and the overrides of the command line."""

import textwrap
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions, Suite
from intelbench.config.decoding import convert, parse_toml, read_text
from intelbench.config.recipe import Recipe, without_unused
from intelbench.errors import UserError, one_of, printable, shortened

_BUILT_IN = resources.files("intelbench") / "suites"
_FIRST_KEYS = ("name", "description", "data", "architectures", "seeds")
"""Keys that people look for first."""
_COLUMNS = 100
"""Width of comments."""


def built_in_suites() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _BUILT_IN.iterdir() if file.name.endswith(".toml"))


def load_suite(name_or_file: str) -> Suite:
    """Read a built-in suite by its name, or any suite from a TOML file.

    Raises:
        UserError: there is no such suite; or as `read_text`, `parse_toml` and `convert`.
    """
    if name_or_file in built_in_suites():
        return _decode(name_or_file, (_BUILT_IN / f"{name_or_file}.toml").read_text(encoding="utf-8"))
    path = Path(name_or_file)
    if path.suffix.lower() != ".toml":
        raise UserError(
            f"suite {shortened(repr(name_or_file))} is not known. {one_of(name_or_file, built_in_suites())}. "
            "Your own suite is a file that ends in .toml"
        )
    return _decode(printable(path), read_text("suite", path))


def conditions_of(suite: Suite, architecture: str) -> Conditions:
    """Return the conditions of an architecture: those of the suite, with the overrides of that architecture.

    Raises:
        msgspec.ValidationError: an override is not accepted; this cannot happen with a suite that was loaded.
    """
    if architecture not in suite.overrides:
        return suite.conditions
    return msgspec.convert(_overridden_conditions(suite, architecture), Conditions)


def _overridden_conditions(suite: Suite, architecture: str) -> dict[str, Any]:
    """Return the overridden conditions of an architecture as plain values, which are not validated."""
    changes, shared = suite.overrides[architecture], msgspec.to_builtins(suite.conditions)
    budget = msgspec.to_builtins(changes.budget or suite.budget)
    return {**shared, "budget": budget, "recipe": shared["recipe"] | changes.recipe}


def budgets(suite: Suite) -> list[Budget]:
    """Return the different budgets of the architectures."""
    return list(dict.fromkeys(conditions_of(suite, name).budget for name in suite.architectures))


def encode_suite(suite: Suite) -> str:
    """Return the suite as TOML that `load_suite` reads back to an equal value."""
    tables = msgspec.to_builtins(suite)
    tables["recipe"] = without_unused(tables["recipe"])
    for table, key in ((tables, "overrides"), (tables["recipe"], "optimizer_arguments")):
        if not table[key]:
            del table[key]
    if suite.keep_weights == "best":  # no part of an experiment, so a suite that says nothing about it is not longer
        del tables["keep_weights"]
    return tomli_w.dumps(_without_none(tables))


def encode_with_comments(suite: Suite, comments: Mapping[str, str]) -> str:
    """Return the suite as TOML for people, which `load_suite` reads back to an equal value.

    Keys that have their default and no comment are left out.

    `comments` are those above a key or a table, such as `seeds` or `recipe.weights`; that of `""` is at the top.
    """
    lines = _comment(comments.get("", ""))
    tables: dict[str, Any] = _without_none(msgspec.to_builtins(suite))
    keys = sorted(tables, key=lambda key: _FIRST_KEYS.index(key) if key in _FIRST_KEYS else len(_FIRST_KEYS))
    defaults = _defaults(Suite)
    for key in [key for key in keys if not isinstance(tables[key], dict)]:
        if key in comments or getattr(suite, key) != defaults.get(key):
            lines += _explained(f"{key} = {_inline(tables[key])}", comments.get(key, ""))
    for table in [key for key in keys if isinstance(tables[key], dict)]:
        values, known = tables[table], _defaults(Recipe) if table == "recipe" else {}
        if table == "budget":
            values = {unit: int(amount) if amount == int(amount) else amount for unit, amount in values.items()}
        entries: list[str] = []
        for key, value in values.items():
            comment = comments.get(f"{table}.{key}", "")
            if comment or key not in known or getattr(suite.recipe, key) != known[key]:
                entries += _explained(f"{_key(key)} = {_inline(value)}", comment)
        if entries:
            lines += ["", *_comment(comments.get(table, "")), f"[{table}]", *entries]
    return "".join(f"{line}\n" for line in lines)


def override(suite: Suite, *, budget: Budget | float | None = None, origin: str = "", **values: object) -> Suite:
    """Return the suite with the given values instead of its own.

    Args:
        suite: The suite.
        budget: A `Budget` is the budget of every architecture. A number multiplies the budget of each architecture, and
            the number of epochs in which a backbone is frozen.
        origin: Name or file of the suite, for messages; empty for the name.
        values: Other keys of `Suite`; `None` keeps the value of the suite.

    Raises:
        UserError: a value is not accepted in a suite; the message names its key.
    """
    given = dict(values)
    if isinstance(budget, Budget):
        overrides = {name: msgspec.structs.replace(each, budget=None) for name, each in suite.overrides.items()}
        given |= {"budget": budget, "overrides": overrides}
    if isinstance(budget, float):
        given |= _scaled(suite, budget)
    given = {key: value for key, value in given.items() if value is not None}
    origin = f"suite {origin or suite.name} with the options that were given"
    return _checked(origin, convert(origin, msgspec.to_builtins(suite) | msgspec.to_builtins(given), Suite))


def _scaled(suite: Suite, share: float) -> dict[str, object]:
    """Return all budgets and numbers of frozen epochs, multiplied by `share`, as plain values.

    A value may be too small to be accepted.
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
    """Validate the overrides as strictly as the shared recipe, and return the suite."""
    for name in suite.overrides:
        convert(origin, _overridden_conditions(suite, name), Conditions, ("overrides", name))
    return suite


def _defaults(struct: type[msgspec.Struct]) -> dict[str, object]:
    """Return the defaults of the fields that have one."""
    fields = msgspec.structs.fields(struct)
    return {
        field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        for field in fields
        if not field.required
    }


def _explained(line: str, comment: str) -> list[str]:
    """Return a line below its comment, apart from what is above; without a comment the line alone."""
    return ["", *_comment(comment), line] if comment else [line]


def _comment(text: str) -> list[str]:
    """Return lines of a comment; each line of the text is wrapped on its own."""
    return [
        f"# {line}".rstrip()
        for paragraph in text.splitlines()
        for line in textwrap.wrap(paragraph, _COLUMNS - 2, subsequent_indent="  " * paragraph.startswith(" ")) or [""]
    ]


def _inline(value: Any) -> str:
    """Return a value as TOML in one line."""
    if isinstance(value, dict):
        entries = ", ".join(f"{_key(key)} = {_inline(item)}" for key, item in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    return tomli_w.dumps({"_": value}).removeprefix("_ = ").removesuffix("\n")


def _key(name: str) -> str:
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")


def _without_none(value: object) -> dict[str, object]:
    """Drop keys without a value, since TOML has no null."""
    assert isinstance(value, dict)
    return {
        key: _without_none(item) if isinstance(item, dict) else item for key, item in value.items() if item is not None
    }
