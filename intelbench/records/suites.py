"""Suites: TOML files decoded strictly, the built-in ones by name, and the overrides of the command line."""

import difflib
from importlib import resources
from pathlib import Path

import msgspec
import tomli_w

from intelbench.errors import UserError
from intelbench.records.decoding import decode_toml, explain, read_text
from intelbench.records.identity import settled
from intelbench.records.types import Budget, Suite

_BUILT_IN = resources.files("intelbench") / "suites"


def built_in_suites() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _BUILT_IN.iterdir() if file.name.endswith(".toml"))


def load_suite(name_or_file: str) -> Suite:
    """Read a built-in suite by its name, or any suite from a TOML file.

    Raises:
        UserError: no such suite, or as `read_text` and `decode_toml`.
    """
    if name_or_file in built_in_suites():
        text = (_BUILT_IN / f"{name_or_file}.toml").read_text(encoding="utf-8")
        return decode_toml(f"suite {name_or_file}", text, Suite)
    path = Path(name_or_file)
    if path.suffix != ".toml":
        near = difflib.get_close_matches(name_or_file, built_in_suites(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(
            f"suite {name_or_file!r} is not known; {hint}Built in: {', '.join(built_in_suites())}. "
            "Your own suite is a file that ends in .toml"
        )
    return decode_toml(f"suite {path}", read_text("suite", path), Suite)


def encode_suite(suite: Suite) -> str:
    """The suite as a TOML file that `load_suite` reads back to an equal value."""
    return tomli_w.dumps(_without_none(msgspec.to_builtins(settled(suite))))


def override(
    suite: Suite,
    *,
    architectures: tuple[str, ...] | None = None,
    seeds: tuple[int, ...] | None = None,
    data: str | None = None,
    budget: Budget | None = None,
) -> Suite:
    """The effective suite: the given values in place of its own.

    Raises:
        UserError: one of them is not accepted in a suite; the message names its key.
    """
    changes = {"architectures": architectures, "seeds": seeds, "data": data, "budget": budget}
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return msgspec.convert(msgspec.to_builtins(suite) | msgspec.to_builtins(given), Suite)
    except msgspec.ValidationError as error:
        raise UserError(
            f"suite {suite.name}, with what was given in its place: {explain(str(error), Suite)}"
        ) from error


def _without_none(value: object) -> dict[str, object]:
    """TOML has no null: an absent value is an absent key."""
    assert isinstance(value, dict)
    return {
        key: _without_none(item) if isinstance(item, dict) else item for key, item in value.items() if item is not None
    }
