"""Why a value does not fit a type, in words for the person who wrote the value.

msgspec decides what is accepted. Its messages speak of structs, regular expressions and JSON paths, so users never see
them: this module searches the value for its first fault and describes that.
"""

import difflib
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct, inspect

from intelbench.errors import one_of, plural, printable, shortened

_MAX_VALUE = 60
"""Characters of a value or key that a message repeats."""
_MAX_MESSAGE = 1200
"""Characters of the message of a struct's own validation."""
_MISSPELT = 0.85
"""Similarity of two keys, as difflib measures it, from which on one counts as the other, misspelt."""
NOT_CONVERTED = msgspec.ValidationError, UnicodeEncodeError
"""What msgspec raises for a value that does not fit; the second for a text that is not UTF-8 in place of a word."""
_MSGSPEC_PLACE = re.compile(r" - at `[^`]*`$")

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Words:
    """What messages call values: as the file or the language calls them in which they were written."""

    array: str
    table: str
    absent: str
    false: str
    true: str

    def expected(self, type_: Any) -> str:
        """Describe the values that a type accepts: `a whole number from 8 to 4,096`."""
        return self._described(inspect.type_info(type_))

    def shown(self, value: object) -> str:
        """Write a value, shortened to fit in a line."""
        if value is None or isinstance(value, bool):
            return {None: self.absent, False: self.false, True: self.true}[value]
        if isinstance(value, dict):
            return f"a {self.table}"
        if isinstance(value, list | tuple):
            return f"{self._array} of {plural(len(value), 'item')}" if value else f"an empty {self.array}"
        if isinstance(value, int) and abs(value) >= 2**64:
            return "a number beyond 2^64"
        return shortened(repr(value) if isinstance(value, str) else str(value), _MAX_VALUE)

    @property
    def _array(self) -> str:
        return f"{'an' if self.array.startswith('a') else 'a'} {self.array}"

    def _described(self, info: inspect.Type) -> str:
        match info:
            case inspect.Metadata(type=inner, extra_json_schema={"description": words}):
                return f"{self._described(inner)}, {words}"
            case inspect.UnionType() | inspect.LiteralType():
                return _either(self._alternatives(info))
            case inspect.BoolType():
                return f"{self.true} or {self.false}"
            case inspect.IntType():
                return "a whole number" + _bounds(info)
            case inspect.FloatType():
                return "a number" + _bounds(info)
            case inspect.StrType():
                return "text" + _lengths(info.min_length, info.max_length, "character")
            case inspect.VarTupleType():
                lengths = _lengths(info.min_length, info.max_length, "item")
                return f"{self._array}{lengths}, each {self._described(info.item_type)}"
            case inspect.TupleType():
                items = ", ".join(map(self._described, info.item_types))
                return f"{self._array} of {len(info.item_types)} items: {items}"
        return f"a {self.table}"

    def _alternatives(self, info: inspect.Type) -> list[str]:
        """Describe each alternative of a type, without the absent one, which stands for a value that is not given."""
        match info:
            case inspect.UnionType(types=alternatives):
                return [words for alternative in alternatives for words in self._alternatives(alternative)]
            case inspect.LiteralType(values=values):
                return [self.shown(value) for value in values]
            case inspect.NoneType():
                return []
        return [self._described(info)]


TOML = Words("array", "table", "null", "false", "true")
"""JSON has the same, and the `null` that TOML lacks."""
PYTHON = Words("list", "dict", "None", "False", "True")


@dataclass(frozen=True)
class Fault:
    """The first fault of a value."""

    place: Place
    """Keys and positions from the outermost table to the fault; empty for the value itself."""
    fault: str

    def __str__(self) -> str:
        """Return one line with the place as a dotted key, such as ``key `recipe.crop_scale[0]`: ...``."""
        return f"key `{dotted(self.place)}`: {self.fault}" if self.place else self.fault


def find_fault(value: object, type_: Any, place: Place = (), words: Words = TOML) -> Fault:
    """Find the first fault of a value that msgspec does not convert to a type.

    Args:
        value: Plain dicts, lists, numbers and texts, at `place` of a file.
        type_: The type that was expected.
        place: Keys from the outermost table of the file.
        words: What the message calls values.
    """
    return _fault(value, type_, place, type_, words)


def json_fault(content: bytes, type_: Any) -> str:
    """Say why msgspec does not decode JSON as a type."""
    try:
        content.decode()  # msgspec's own error depends on its version
        return str(find_fault(msgspec.json.decode(content), type_))
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except RecursionError:
        return "it is nested too deeply"
    except msgspec.ValidationError:
        return "it holds a number that is too large"
    except msgspec.DecodeError as error:
        position = re.search(r"\(byte (\d+)\)", str(error))
        return f"it is not JSON at byte {int(position[1]) + 1}" if position else "it is cut short"


def dotted(place: Place) -> str:
    """Write a place as TOML writes keys: `overrides."a b".recipe.betas[0]`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in place]
    return "".join(parts).removeprefix(".")


def fits(value: object, type_: Any) -> bool:
    """Return whether msgspec converts a value to a type."""
    try:
        msgspec.convert(value, type_, str_keys=True)
    except NOT_CONVERTED:
        return False
    return True


def _fault(value: object, type_: Any, place: Place, root: Any, words: Words) -> Fault:
    """Describe the fault of a value that does not fit; the innermost one if it is in a part of the value."""
    form = _alternative(type_, value)
    is_table = isinstance(value, dict) and isinstance(form, type) and issubclass(form, Struct)
    if is_table and (unknown := _unknown_key(value, form)) is not None:
        return Fault((*place, unknown), f"not known. {_near(unknown, form, root)}")
    for key, part, type_of_part in _parts(value, form):
        if not fits(part, type_of_part):
            return _fault(part, type_of_part, (*place, key), root, words)
    if is_table:
        return _fault_of_table(value, form, place, words)
    if isinstance(value, dict) and get_origin(form) is dict:
        wrong = next(key for key, part in value.items() if not fits({key: part}, form))
        return Fault((*place, wrong), f"not accepted as a key. Expected {words.expected(get_args(form)[0])}")
    said = f"{words.shown(value)} is not accepted. Expected {words.expected(type_)}{_nearest(value, type_)}"
    return Fault(place, said)


def _unknown_key(table: Any, struct: type[Struct]) -> str | None:
    """Return the first key that a struct without additional keys does not have."""
    if not struct.__struct_config__.forbid_unknown_fields:
        return None
    return next((key for key in table if key not in struct.__struct_encode_fields__), None)


def _fault_of_table(table: Any, struct: type[Struct], place: Place, words: Words) -> Fault:
    """Describe the fault of a table whose keys are known and whose values fit: a missing key, or a contradiction."""
    for field in msgspec.structs.fields(struct):
        if field.required and field.encode_name not in table:
            return Fault((*place, field.encode_name), f"missing. Expected {words.expected(field.type)}")
    try:
        msgspec.convert(table, struct, str_keys=True)
    except msgspec.ValidationError as error:  # the message of the struct's own `__post_init__`
        return Fault(place, printable(shortened(_MSGSPEC_PLACE.sub("", str(error)), _MAX_MESSAGE)))
    raise AssertionError(f"{struct.__name__} accepts the table")


def _parts(value: object, type_: Any) -> Iterator[tuple[str | int, object, Any]]:
    """Yield key or position, value and type of each part of a table or an array that has the form of the type."""
    arguments = get_args(type_)
    if isinstance(value, dict) and isinstance(type_, type) and issubclass(type_, Struct):
        for field in msgspec.structs.fields(type_):
            if field.encode_name in value:
                yield field.encode_name, value[field.encode_name], field.type
    elif isinstance(value, dict) and get_origin(type_) is dict:
        for key, part in value.items():
            yield key, part, arguments[1]
    elif isinstance(value, list | tuple) and get_origin(type_) is tuple:
        if arguments[-1] is Ellipsis:
            arguments = (arguments[0],) * len(value)
        if len(arguments) == len(value):
            yield from ((position, part, arguments[position]) for position, part in enumerate(value))


def _alternative(type_: Any, value: object) -> Any:
    """Return the type without its bounds; of alternatives, the table or array if the value is one."""
    if get_origin(type_) is Annotated:
        return _alternative(get_args(type_)[0], value)
    if get_origin(type_) not in (Union, types.UnionType):
        return type_
    forms = (Struct, dict) if isinstance(value, dict) else (tuple,)
    for each in get_args(type_):
        bare = _alternative(each, value)
        kind = get_origin(bare) or bare
        if isinstance(kind, type) and issubclass(kind, forms):
            return bare
    return type_


def _near(unknown: str, struct: type[Struct], root: Any) -> str:
    """List the keys of a table, and suggest the table that has the unknown key.

    Another usual name of a key of the same table comes first, and then a similar key: `step` in a budget means `steps`.
    """
    keys = struct.__struct_encode_fields__
    if usual := _other_names(struct).get(unknown):
        return one_of(unknown, keys, f"`{usual}`")
    elsewhere = next((place for name, place in _keys(root, ()) if name == unknown), None)
    if elsewhere is None or difflib.get_close_matches(unknown, keys, cutoff=_MISSPELT):
        return one_of(unknown, keys)
    above = ", above the first [table]" if len(elsewhere) == 1 else ""
    return one_of(unknown, keys, f"`{dotted(elsewhere)}`{above}")


def _keys(type_: Any, place: Place) -> Iterator[tuple[str, Place]]:
    """Yield the keys of a struct and of the structs in it, by every usual name."""
    if isinstance(type_, type) and issubclass(type_, Struct):
        for field in msgspec.structs.fields(type_):
            yield field.encode_name, (*place, field.encode_name)
            yield from _keys(field.type, (*place, field.encode_name))
        for name, key in _other_names(type_).items():
            yield name, (*place, *key.split("."))


def _other_names(struct: type[Struct]) -> Mapping[str, str]:
    """Return the keys of a table by the names that they have elsewhere, which its struct lists in `other_names`."""
    return getattr(struct, "other_names", {})


def _nearest(value: object, type_: Any) -> str:
    """Suggest the word nearest to a text, of the words that a type lists."""
    info = inspect.type_info(type_)
    listed = [each for each in (getattr(info, "types", None) or [info]) if isinstance(each, inspect.LiteralType)]
    words = [word for each in listed for word in each.values if isinstance(word, str)]
    near = difflib.get_close_matches(value, words, n=1) if isinstance(value, str) else []
    return f". Try {near[0]!r}" if near else ""


def _either(alternatives: list[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(alternatives[:-1]), alternatives[-1])))


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" from {_number(info.ge)} to {_number(info.le)}"
    lower = [f"of at least {_number(info.ge)}"] if info.ge is not None else []
    lower += [f"above {_number(info.gt)}"] if info.gt is not None else []
    upper = [f"at most {_number(info.le)}"] if info.le is not None else []
    upper += [f"below {_number(info.lt)}"] if info.lt is not None else []
    return " " + " and ".join(lower + upper) if lower + upper else ""


def _lengths(least: int | None, most: int | None, unit: str) -> str:
    if least and most is not None:
        return f" of {least:,} to {plural(most, unit)}"
    if most is not None:
        return f" of at most {plural(most, unit)}"
    return f" of at least {plural(least, unit)}" if least else ""


def _number(bound: float) -> str:
    return f"{int(bound):,}" if float(bound).is_integer() and bound < 2**64 else f"{bound:g}"


def _key(name: str) -> str:
    """Write a key as TOML does."""
    name = shortened(printable(name), _MAX_VALUE)
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'
