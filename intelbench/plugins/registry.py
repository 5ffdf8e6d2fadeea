"""A registry: a dict of named values that built-in code, entry points and plug-in files add to."""

import functools
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib import metadata
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar, cast

from intelbench.errors import UserError, kind_of, one_of, shortened
from intelbench.plugins.guard import plugin_errors_as_user_errors, source_file
from intelbench.plugins.imports import PluginImports, own_modules
from intelbench.plugins.providers import BUILT_IN, file_of, provider_of, provider_of_entry_point

_NAME = re.compile(r"\w[\w.+-]{0,99}")
"""A name is typed in a shell and is part of file names; it has no prefix such as `torchvision:`."""
_REQUIRED = (Parameter.KEYWORD_ONLY, Parameter.empty)

Value = TypeVar("Value")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


@dataclass(frozen=True, kw_only=True)
class Entry(Generic[Value]):
    """A registered value and where it comes from."""

    name: str
    """Its first name; others are aliases."""
    value: Value
    provider: str
    function: Callable[..., Any]
    """A function or class of the code that provides it."""
    plugin: Path | None = None
    """The plug-in file that registered it."""
    imports: PluginImports | None = None


class Registry(Generic[Value]):
    """Values of one kind by name. A duplicate name raises; an unknown name is answered with the nearest known ones.

    Entry points of the group `intelbench.KINDs` are loaded when their name is first asked for.
    """

    every: ClassVar[list["Registry[Any]"]] = []
    """All registries; a plug-in file can add to several."""

    def __init__(
        self,
        kind: str,
        built_in: Mapping[str, Value] | None = None,
        *,
        provider: str = BUILT_IN,
        allows_spaces: bool = False,
    ) -> None:
        self.kind = kind
        self._allows_spaces = allows_spaces
        self.group = f"intelbench.{kind}s"
        self.built_in: Mapping[str, Entry[Value]] = {
            name: Entry(name=name, value=value, provider=provider, function=Registry)
            for name, value in (built_in or {}).items()
        }
        self.entries = dict(self.built_in)
        Registry.every.append(self)

    def add(self, value: Value, *names: str, function: Callable[..., Any]) -> Value:
        """Register a value under its name and aliases. A notebook cell that is run again replaces its earlier entry.

        `function` is a function or class of the code that provides the value.

        Raises:
            UserError: a name is taken, or has characters that a name cannot have.
        """
        for name in names:
            written = name.replace(" ", "_") if self._allows_spaces and isinstance(name, str) else name
            if not isinstance(written, str) or not _NAME.fullmatch(written):
                spaces = " spaces," if self._allows_spaces else ""
                raise UserError(
                    f"{self.kind} {name!r:.100}: a name is 1 to 100 letters, digits,{spaces} '_', '-', '.' and '+'; "
                    "choose another"
                )
            if name in self.entries and not _is_run_again(self.entries[name].function, function):
                raise UserError(
                    f"{self.kind} {name!r} is registered already, by {self.entries[name].provider}; choose another name"
                )
        entry = Entry(name=names[0], value=value, provider=provider_of(function), function=function)
        replaced = [self.entries[name] for name in names if name in self.entries]
        kept = {name: each for name, each in self.entries.items() if name in names or each not in replaced}
        self.entries = kept | dict.fromkeys(names, entry)
        return value

    def decorator(self, name: str) -> Callable[[Decorated], Decorated]:
        """Return a decorator that registers a function or class, which is the value itself, under a name."""

        def register(decorated: Decorated) -> Decorated:
            self.add(cast("Value", decorated), name, function=decorated)
            return decorated

        return register

    def find(self, name: str) -> Entry[Value] | None:
        """Return the entry of that name, or `None` if there is none; load the entry point of that name.

        Raises:
            UserError: the entry point fails or registers no value of that name.
        """
        if name not in self.entries and (point := self.entry_points().get(name)):
            self._load(point)
        return self.entries.get(name)

    def require(self, name: str, key: str = "") -> Entry[Value]:
        """Return the entry of that name, which messages say is the value of a key.

        Raises:
            UserError: the name is not known; or as `find`.
        """
        entry = self.find(name)
        if entry is None:
            title = f"{key}:" if key else self.kind
            raise UserError(f"{title} {shortened(repr(name))} is not known. {one_of(name, self.providers())}")
        return entry

    def get(self, name: str) -> Value:
        """Return the value of that name; raise a `UserError` as `require` does."""
        return self.require(name).value

    def providers(self) -> dict[str, str]:
        """Return the provider of every name, aliases excluded; entry points are named without loading them."""
        loaded = {name: entry.provider for name, entry in self.entries.items() if name == entry.name}
        points = self.entry_points().items()
        return loaded | {name: provider_of_entry_point(point) for name, point in points if name not in loaded}

    def plugin_files(self, names: Iterable[str] | None = None) -> list[str]:
        """Return the plug-in files that have registered the values of some names, or any value, each once."""
        entries = self.entries.values() if names is None else map(self.find, names)
        return list(dict.fromkeys(str(entry.plugin) for entry in entries if entry and entry.plugin))

    def require_loadable(self, names: Iterable[str]) -> None:
        """Check that another process can load the values of some names.

        Raises:
            UserError: a value is in no file of plug-ins, and no entry point leads to it.
        """
        for name in names:
            entry = self.find(name)
            if entry is None or entry.plugin or entry.provider == BUILT_IN or entry.name in self.built_in:
                continue
            if not {name, entry.name} & self.entry_points().keys():
                raise UserError(
                    f"{self.kind} {entry.name!r}: registered in {file_of(entry.provider) or entry.provider}, which the "
                    "processes of runs do not load. Expected a plug-in file or an entry point. Try a file of its own, "
                    "with --plugin FILE.py, or `plugins` in Python"
                )

    def entry_points(self) -> dict[str, metadata.EntryPoint]:
        """Return the installed entry points of this kind by name."""
        changed = tuple((path, _modified(path)) for path in sys.path)
        return {point.name: point for point in _installed(self.group, changed)}

    def describe(self, entry: Entry[Value]) -> str:
        """Return whose code an entry is, as messages about it begin."""
        return f"{f'plug-in {entry.plugin}' if entry.plugin else entry.provider}: {self.kind} {entry.name!r}"

    def guarded(self, entry: Entry[Value]) -> AbstractContextManager[None]:
        """Run a block that calls the code of an entry; whatever it raises is a `UserError` that names the entry."""
        if entry.imports:
            entry.imports.activate()
        return plugin_errors_as_user_errors(self.describe(entry), source_file(entry.function))

    def _load(self, point: metadata.EntryPoint) -> None:
        provider = provider_of_entry_point(point)
        modules, before = set(sys.modules), set(self.entries)
        with plugin_errors_as_user_errors(f"{provider}: {self.kind} {point.name!r}"):
            value = point.load()
        loaded = own_modules(modules)
        for name in self.entries.keys() - before:
            entry = self.entries[name]
            self.entries[name] = replace(entry, provider=provider_of(entry.function, loaded))
        registered = self.entries.get(point.name)
        if registered is None or (value is not registered.value and value is not registered.function):
            raise UserError(
                f"{provider}: entry point {point.name!r} must lead to the value that was registered with "
                f"@intelbench.{self.kind}({point.name!r}); it leads to {kind_of(value)}"
            )


def takes_name(decorator: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Make a function that returns a decorator refuse to be the decorator itself, as in `@meter` without parentheses.

    Raises:
        UserError: the first argument is a function or class.
    """

    @functools.wraps(decorator)
    def checked(*arguments: Arguments.args, **options: Arguments.kwargs) -> Returned:
        if arguments and callable(arguments[0]):
            name, *others = signature(decorator).parameters.values()
            required = [each.name for each in others if (each.kind, each.default) == _REQUIRED]
            given = ", ".join([f'"{name.name.upper()}"', *(f"{each}=..." for each in required)])
            raise UserError(
                f"@intelbench.{decorator.__name__}: no {name.name}. Expected one in parentheses. "
                f"Try @intelbench.{decorator.__name__}({given})"
            )
        return decorator(*arguments, **options)

    return checked


@functools.lru_cache(maxsize=32)
def _installed(group: str, _: tuple[tuple[str, int | None], ...]) -> metadata.EntryPoints:
    """Return the installed entry points of a group, which are read once for each state of the import path.

    That takes 5 ms where 100 packages are installed, and one report asks 30 times.
    """
    return metadata.entry_points(group=group)


def _modified(path: str) -> int | None:
    """Return when a folder of the import path was changed, as by an installation; `None` if there is none."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None


def _is_run_again(earlier: Callable[..., Any], later: Callable[..., Any]) -> bool:
    """Return whether two functions or classes are one definition in a notebook cell or a script that was run twice."""

    def definition(function: Callable[..., Any]) -> tuple[object, object, str | None]:
        file = source_file(function)
        name = getattr(function, "__qualname__", None)
        return getattr(function, "__module__", None), name, file if Path(file).is_file() else None

    return definition(earlier) == definition(later) and later.__module__ == "__main__"
