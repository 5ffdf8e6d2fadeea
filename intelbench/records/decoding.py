"""What is accepted where a file written by hand was not: msgspec's message, and what it leaves out."""

import re

from msgspec import inspect


def explain(message: str, root: type) -> str:
    """Add to msgspec's message, which names the place and what was wrong, what is accepted there."""
    place = re.search(r" - at `\$\.([^`]+)`$", message)
    info: inspect.Type = inspect.type_info(root)
    for key in re.findall(r"[^.\[\]]+", place[1]) if place else ():
        if isinstance(info, inspect.VarTupleType):
            info = info.item_type
        else:
            info = next((field.type for field in _fields(info) if field.encode_name == key), info)
    accepted: list[object] = []
    if "unknown field" in message:
        accepted = [field.encode_name for field in _fields(info)]
    else:
        accepted = [value for each in _alternatives(info) for value in each]
    readable = re.sub(r" - at `\$\.?(.*)`$", r", at key `\1`", message)
    return readable + (f"; accepted: {', '.join(map(str, accepted))}" if accepted else "")


def _alternatives(info: inspect.Type) -> list[tuple[object, ...]]:
    """The values that a type lists, and in words the numbers that it takes beside them; of a plain number, nothing."""
    if isinstance(info, inspect.LiteralType):
        return [info.values]
    if not isinstance(info, inspect.UnionType) or not any(isinstance(e, inspect.LiteralType) for e in info.types):
        return []
    numbers = [("a number",) for each in info.types if isinstance(each, inspect.FloatType | inspect.IntType)]
    return [*(each.values for each in info.types if isinstance(each, inspect.LiteralType)), *numbers]


def _fields(info: inspect.Type) -> tuple[inspect.Field, ...]:
    return info.fields if isinstance(info, inspect.StructType) else ()
