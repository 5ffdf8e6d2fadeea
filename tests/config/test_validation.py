"""What does not fit a type is described by its place, its value and what is accepted, in no words of msgspec."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
import tomli_w
from msgspec import Meta, Struct

from intelbench.config.conditions import Override, Suite
from intelbench.config.suites import load_suite
from intelbench.config.validation import PYTHON, TOML, Place, find_fault, json_fault
from intelbench.errors import UserError, one_of
from intelbench.results.claims import Claim, load_claims

MSGSPEC_WORDS = ("Expected `", "Object", "$.", "JSON", "struct", "unknown field", "required field", "enum value")
SUITE = {
    "name": "s", "architectures": ["a"], "seeds": [0], "budget": {"steps": 1}, "recipe": {}, "overrides": {"a": {}},
}  # fmt: skip
CLAIM = {"id": "c", "statement": "s", "source": "r", "metric": "churn", "relation": "lower", "architecture": "a"}
WRONG: list[Any] = [
    "x", "", 3, -1, 0, 1e300, float("nan"), float("inf"), True, [], [[]], [1, 2, 3], ["x", "x"], {}, {"x": 1}, [{}],
    10**18, "a\x1b[31m", datetime.date(1979, 5, 27), "x" * 5000,
]  # fmt: skip


def keys_of(struct: type[Struct], place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every key of a struct and of the structs in it, with its type."""
    for field in msgspec.structs.fields(struct):
        yield (*place, field.encode_name), field.type
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            yield from keys_of(field.type, (*place, field.encode_name))


SUITE_KEYS = dict([*keys_of(Suite), *keys_of(Override, ("overrides", "a"))])
CLAIM_KEYS = dict(keys_of(Claim))


def changed(table: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """A copy of a table with another value at a place; without the key, where the value is `None`."""
    table = msgspec.msgpack.decode(msgspec.msgpack.encode(table))
    holder = table
    for key in place[:-1]:
        holder = holder.setdefault(key, {})
    holder.pop(place[-1], None)
    if value is not None:
        holder[place[-1]] = value
    return table


def accepts(type_: Any, value: Any) -> bool:
    """Whether msgspec does."""
    try:
        msgspec.convert(value, type_, str_keys=True)
    except msgspec.ValidationError:
        return False
    return True


def refused(path: Path, content: dict[str, Any]) -> str:
    """The message about a file of this content; its name tells what it is."""
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_claims(path) if path.stem == "claims" else load_suite(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert message.isprintable()
    assert len(message.removeprefix(str(path))) < 1500
    assert not [each for each in MSGSPEC_WORDS if each in message.replace(str(path), "")], message
    return message


@pytest.mark.parametrize("place", SUITE_KEYS, ids=".".join)
def test_each_key_of_a_suite_is_refused_by_its_name(place: Place, tmp_path: Path) -> None:
    """With a value of a wrong type or out of bounds: the file, the key, and what is expected of it."""
    path, type_ = tmp_path / "suite.toml", SUITE_KEYS[place]
    wrong = [value for value in WRONG if not accepts(type_, value)]
    assert len(wrong) >= 8
    for value in wrong:
        message = refused(path, changed(SUITE, place, value))
        assert f"key `{'.'.join(place)}" in message
    assert any(f"Expected {TOML.expected(type_)}" in refused(path, changed(SUITE, place, value)) for value in wrong)


@pytest.mark.parametrize("place", CLAIM_KEYS, ids=".".join)
def test_each_key_of_a_claim_is_refused_by_its_name(place: Place, tmp_path: Path) -> None:
    """Of the second claim of a file, with its id, where it is given as text."""
    path, type_ = tmp_path / "claims.toml", CLAIM_KEYS[place]
    first = CLAIM | {"id": "first"}
    wrong = [value for value in WRONG if not accepts(type_, value)]
    assert len(wrong) >= 8
    for value in wrong:
        message = refused(path, {"claim": [first, changed(CLAIM, place, value)]})
        assert f"key `claim[1].{place[0]}" in message
        assert place == ("id",) or message.endswith(" (claim 'c')")


@pytest.mark.parametrize("key", [field.name for field in msgspec.structs.fields(Suite) if field.required])
def test_a_missing_key_of_a_suite_is_named(key: str, tmp_path: Path) -> None:
    """With what is expected there."""
    message = refused(tmp_path / "suite.toml", changed(SUITE, (key,), None))
    assert f"key `{key}`: missing. Expected {TOML.expected(SUITE_KEYS[(key,)])}" in message


@pytest.mark.parametrize("key", CLAIM)
def test_a_missing_key_of_a_claim_is_named(key: str, tmp_path: Path) -> None:
    """With its claim."""
    assert f"key `claim[0].{key}`: missing. Expected " in refused(
        tmp_path / "claims.toml", {"claim": [changed(CLAIM, (key,), None)]}
    )


@pytest.mark.parametrize("place", SUITE_KEYS, ids=".".join)
def test_an_unknown_key_names_the_nearest(place: Place, tmp_path: Path) -> None:
    """A letter too many in any key of a suite."""
    wrong = (*place[:-1], f"{place[-1]}x")
    message = refused(tmp_path / "suite.toml", changed(SUITE, wrong, 1))
    first, last = (f"key `{'.'.join(wrong)}`: not known", f"Try `{place[-1]}`")
    assert f"{first}. {last}. Expected one of: " in message or (
        f"{first}. Expected one of: " in message and message.endswith(f". {last}")
    )


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        (int, "a whole number"),
        (Annotated[int, Meta(ge=1)], "a whole number of at least 1"),
        (Annotated[int, Meta(ge=1, le=4096)], "a whole number from 1 to 4,096"),
        (Annotated[float, Meta(gt=0, lt=1)], "a number above 0 and below 1"),
        (Annotated[float, Meta(gt=0, le=1e30)] | None, "a number above 0 and at most 1e+30"),
        (Annotated[str, Meta(min_length=1)], "text of at least 1 character"),
        (Annotated[str, Meta(min_length=1, max_length=9, pattern="^a", description="with an a")],
         "text of 1 to 9 characters, with an a"),
        (bool, "true or false"),
        (Literal["a", "b", "c"], "'a', 'b' or 'c'"),
        (Literal["a", "b"] | Annotated[int, Meta(ge=1)], "'a', 'b' or a whole number of at least 1"),
        (Annotated[tuple[int, ...], Meta(min_length=1)], "an array of at least 1 item, each a whole number"),
        (Annotated[tuple[int, ...], Meta(max_length=2)], "an array of at most 2 items, each a whole number"),
        (tuple[int, float], "an array of 2 items: a whole number, a number"),
        (dict[str, int], "a table"),
        (Suite, "a table"),
    ],
)  # fmt: skip
def test_what_is_expected_is_said_in_words(type_: Any, words: str) -> None:
    """Of each kind of type, with its bounds."""
    assert words == TOML.expected(type_)


def test_python_has_words_of_its_own() -> None:
    """Of what was given, and of what is expected, also in a part of the value."""
    listed = Annotated[tuple[dict[str, int], ...], Meta(min_length=1)]
    assert "True or False or a list of at least 1 item, each a dict" == PYTHON.expected(bool | listed)
    assert "key `name`: None is not accepted. Expected text" in str(find_fault({"name": None}, Suite, words=PYTHON))
    said = str(find_fault({"name": "a", "seeds": [[]]}, Suite, words=PYTHON))
    assert "key `seeds[0]`: an empty list is not accepted. Expected a whole number" in said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": [1, 2]}, "key `name`: an array of 2 items is not accepted."),
        ({"name": {}}, "key `name`: a table is not accepted."),
        ({"name": None}, "key `name`: null is not accepted."),
        ({"name": True}, "key `name`: true is not accepted."),
        ({"name": 2**70}, "key `name`: a number beyond 2^64 is not accepted."),
        ({"name": "x" * 5000}, f"key `name`: '{'x' * 59}… is not accepted."),
        ({"a b\n": 1}, 'key `"a b\\n"`: not known.'),
        ([], "an empty array is not accepted. Expected a table"),
    ],
)
def test_a_value_is_shown_as_far_as_it_fits(value: object, said: str) -> None:
    """In TOML's words, in one line."""
    assert str(find_fault(value, Suite)).startswith(said)


@pytest.mark.parametrize(
    "changes",
    [{"metric": "x\n" * 5000}, {"conditions": {"x\n" * 5000: 1}}, {"others": ["x\n" * 5000]}, {"id": "x" * 5000}],
)
def test_what_a_claim_says_of_itself_is_one_short_line(changes: dict[str, Any], tmp_path: Path) -> None:
    """Whatever text it repeats."""
    architecture = {"architecture": changes["others"][0]} if "others" in changes else {}
    refused(tmp_path / "claims.toml", {"claim": [CLAIM | changes | architecture]})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": ', "it is cut short"),
        (b'{"a" 1}', "it is not JSON at byte 6"),
        (b'{"name": "\xff"}', "it is not UTF-8"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"1" + b"0" * 9000, "it holds a number that is too large"),
        (b'{"name": 3}', "key `name`: 3 is not accepted. Expected text of 1 to 4,096 characters"),
    ],
)
def test_json_is_refused_in_words(content: bytes, said: str) -> None:
    """What is no JSON at all, and what is other JSON than was expected."""
    assert json_fault(content, Suite).startswith(said)


def test_the_nearest_of_several_names_is_tried() -> None:
    """Where one is near."""
    assert "Expected one of: steps, epochs. Try `steps`" == one_of("step", ["steps", "epochs"])
    assert "Expected one of: steps, epochs" == one_of("zzz", ["steps", "epochs"])


def test_the_suggestion_comes_before_a_long_list() -> None:
    """Where nobody has to search for it."""
    many = [f"name{number}" for number in range(40)]
    assert one_of("nam7", many).startswith("Try `name7`. Expected one of: name0, name1, ")
    assert one_of("nam7", many).endswith(", name29 and 10 others")
    assert one_of("zzz", many).startswith("Expected one of: name0, ")
    assert "Expected one of: a, b. Try `c`, elsewhere" == one_of("zzz", ["a", "b"], "`c`, elsewhere")
