"""Plug-in files: Python files that add to the registries."""

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from intelbench.errors import UserError
from intelbench.paths import is_file, shown_path
from intelbench.plugins.guard import plugin_errors_as_user_errors
from intelbench.plugins.imports import PluginImports
from intelbench.plugins.providers import provider_of_file
from intelbench.plugins.registry import Registry


@dataclass(frozen=True)
class _Loaded:
    """A plug-in file as it was when it was loaded."""

    provider: str
    files: Mapping[str, Path]
    """Files of the modules that its provider covers, by their names."""
    imports: PluginImports

    def is_current(self, path: Path) -> bool:
        """Return whether the plug-in file and those of its modules have the content that was loaded."""
        try:
            return provider_of_file(path.name, path.read_bytes(), self.files) == self.provider
        except OSError:
            return False

    def forget(self) -> None:
        """Take what the file has registered and imported away."""
        self.imports.deactivate()
        for registry in Registry.every:
            registry.entries = {
                name: entry for name, entry in registry.entries.items() if entry.imports is not self.imports
            }


_LOADED: dict[str, _Loaded] = {}
"""Loaded plug-in files, by the name of their module."""


def load_plugins(paths: Iterable[str | Path]) -> None:
    """Run plug-in files one after the other, as `load_plugin` does."""
    for path in paths:
        load_plugin(Path(path))


def load_plugin(path: Path) -> list[str]:
    """Run a plug-in file and return the names that it registered, of all kinds.

    It can import modules of its folder, now and later. The provider of what it registers is the file with a digest of
    it and of all modules of its folder that it imports (see `intelbench.plugins.imports`). A file that is loaded is
    loaded again if one of these was edited since, as in a notebook.

    Raises:
        UserError: the file is missing, fails, ends the program, or registers nothing.
    """
    if not is_file(path):
        problem = "is not a file" if os.path.lexists(path) else "no such file"
        raise UserError(f"plug-in {shown_path(path)}: {problem}")
    if path.suffix != ".py":
        raise UserError(f"plug-in {path}: not a Python file; its name must end in .py")
    name = f"intelbench_plugin_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        if (loaded := _LOADED.get(name)) is None or loaded.is_current(path):
            return []
        loaded.forget()
    before = {id(registry): dict(registry.entries) for registry in Registry.every}
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    imports = PluginImports(path.resolve().parent)
    try:
        source = path.read_bytes()
        with plugin_errors_as_user_errors(f"plug-in {path}", str(path)), imports.recorded():
            # Not by an import, which may run the bytecode that it keeps of an older version of the file.
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102 - what a plug-in is for
        new = [
            (registry, each)
            for registry in Registry.every
            for each in registry.entries
            if each not in before.get(id(registry), registry.built_in)
        ]
        if not new:
            raise UserError(
                "registers nothing; decorate a function or class, for example with @intelbench.architecture(NAME)"
            )
        files = imports.files(name, source)
        provider = provider_of_file(path.name, source, files)
    except BaseException as error:
        sys.modules.pop(name, None)  # so that a second attempt is one
        imports.deactivate()
        for registry in Registry.every:
            registry.entries = dict(before.get(id(registry), registry.built_in))
        named = f"plug-in {path}: "
        if isinstance(error, UserError) and not str(error).startswith(named):
            raise UserError(f"{named}{error}") from error
        raise
    _LOADED[name] = _Loaded(provider, files, imports)
    for registry, each in new:
        entry = registry.entries[each]
        registry.entries[each] = replace(entry, provider=provider, plugin=path.absolute(), imports=imports)
    return [each for _, each in new]
