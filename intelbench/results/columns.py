"""Tables whose columns are declared once: a name, the type of the values, and their value for an item."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from intelbench.errors import UserError
from intelbench.statistics.estimates import Estimate

Row = dict[str, Any]
Item = TypeVar("Item")
P = ParamSpec("P")


@dataclass(frozen=True)
class Columns(Generic[Item]):
    """A column, or several that are computed together, such as an estimate and the ends of its interval."""

    types: Mapping[str, type]
    """Type of the values by name: `str`, `int`, `float`, `bool` or `list`. An absent value is `None`."""
    row: Callable[[Item], Row]
    """Returns the values of an item by name."""


def column(name: str, type_: type, value: Callable[[Item], object]) -> Columns[Item]:
    """Return one column."""
    return Columns({name: type_}, lambda item: {name: value(item)})


def fields(type_: type, value: Callable[[Item], object], *names: str) -> Columns[Item]:
    """Return a column for each of these attributes of a value; all are absent where the value is `None`."""
    return Columns(dict.fromkeys(names, type_), lambda item: attributes(value(item), *names))


def estimate(name: str, value: Callable[[Item], Estimate | None]) -> Columns[Item]:
    """Return the three columns of an estimate."""
    types = dict.fromkeys((name, f"{name}_low", f"{name}_high"), float)
    return Columns(types, lambda item: estimate_columns(name, value(item)))


class Table(Generic[P, Item]):
    """A function that returns a row for each item: its values by the name of their column."""

    def __init__(self, items: Callable[P, Iterable[Item]], columns: Callable[[], Sequence[Columns[Item]]]) -> None:
        self._items = items
        self._columns = columns
        self.__doc__ = items.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> list[Row]:
        """Return the rows."""
        self.types()  # refuses a name that two columns have
        columns = self._columns()
        return [
            {name: value for each in columns for name, value in each.row(item).items()}
            for item in self._items(*args, **kwargs)
        ]

    def types(self) -> dict[str, type]:
        """Return the type of the values of each column by name.

        Raises:
            UserError: a metric has the name of another column.
        """
        types: dict[str, type] = {}
        for each in self._columns():
            if twice := sorted({*types, "cohort"} & each.types.keys()):  # CSV and frames begin with the cohort
                raise UserError(f"metric {twice[0]!r}: a table has another column of this name; choose another name")
            types |= each.types
        return types


def table(
    columns: Callable[[], Sequence[Columns[Item]]],
) -> Callable[[Callable[P, Iterable[Item]]], Table[P, Item]]:
    """Make a function of items return rows with these columns."""
    return lambda items: Table(items, columns)


def attributes(value: object, *names: str, prefix: str = "") -> Row:
    """Return attributes of a value as columns, named with a prefix; all are `None` where the value is."""
    return {prefix + name: None if value is None else getattr(value, name) for name in names}


def estimate_columns(name: str, estimate: Estimate | None) -> Row:
    """Return an estimate as three columns."""
    if estimate is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
