"""What a plug-in imports: it finds the files of its own folder, and its identity covers all that it brings in.

A plug-in's folder comes last on `sys.path`, so that a `random.py` in it does not shadow Python's. It stays there, since
a network may import when it is built or run.
"""

import ast
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import ClassVar

_INSTALLED = frozenset({"site-packages", "dist-packages"})


class PluginImports:
    """The folder that a plug-in file imports from, and the modules that it has imported.

    Those of one plug-in at a time are in place, so that two that have a `layers.py` each get their own.
    """

    _active: ClassVar["PluginImports | None"] = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: set[str] = set()
        self._modules: dict[str, ModuleType] = {}
        """Those of this plug-in, while another is active."""
        self._is_new_on_path = False
        self._earlier: set[str] = set()
        """Modules from before it was active."""

    def activate(self) -> None:
        """Put the folder and the modules of this plug-in in the place of those of another."""
        if PluginImports._active is self:
            return
        if PluginImports._active:
            PluginImports._active.deactivate()
        PluginImports._active = self
        self._earlier = set(sys.modules)
        sys.modules.update(self._modules)
        self._is_new_on_path = str(self._folder) not in sys.path
        if self._is_new_on_path:
            sys.path.append(str(self._folder))

    def deactivate(self) -> None:
        """Take the folder and the modules away, and keep the modules for the next time."""
        if PluginImports._active is not self:
            return
        later = own_modules(self._earlier)
        self._names |= {name for name, file in later.items() if file.is_relative_to(self._folder)}
        self._modules = {name: sys.modules.pop(name) for name in self._names if name in sys.modules}
        if self._is_new_on_path:
            with suppress(ValueError):  # the plug-in has removed it itself
                sys.path.remove(str(self._folder))
        PluginImports._active = None

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Run the block, and count what it imports as the plug-in's."""
        self.activate()
        before = set(sys.modules)
        try:
            yield
        finally:
            self._names |= own_modules(before).keys()

    def files(self, main: str, source: bytes) -> dict[str, Path]:
        """Return the files of the plug-in's modules by name, without its main module."""
        loaded = {name: file for name in self._names if (file := _own_file(sys.modules.get(name)))}
        return with_named(loaded, main, source, self._folder)


def own_modules(before: set[str]) -> dict[str, Path]:
    """Return the files of the modules imported since that are neither Python's nor installed nor intelbench's."""
    return {
        name: file
        for name, module in sys.modules.copy().items()
        if name not in before and (file := _own_file(module)) is not None
    }


def with_named(loaded: Mapping[str, Path], main: str, source: bytes, folder: Path) -> dict[str, Path]:
    """Add the modules in `folder` that the main module, or any other one, names in an import, wherever that is.

    An import inside a function is carried out only when a network is built, which is after its identity is needed. Not
    found are modules outside the folder that are imported only then, and what is imported by a name that is computed.
    """
    files = dict(loaded)
    unread = [(main, source, False), *((name, *_content(file)) for name, file in loaded.items())]
    while unread:
        for name in _named(*unread.pop()):
            for module, file in _in_folder(name, folder):
                if module != main and module not in files:
                    files[module] = file
                    unread.append((module, *_content(file)))
    return files


def _named(module: str, source: bytes, is_package: bool) -> Iterator[str]:
    """Yield the name of every module that the source of a module may import, and of some attributes."""
    package = module if is_package else module.rpartition(".")[0]
    with suppress(SyntaxError, ValueError):  # of a file that is not Python's, or not yet
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                with suppress(ImportError):  # it leads out of the package
                    base = resolve_name("." * node.level + (node.module or ""), package)
                    yield from (f"{base}.{alias.name}" for alias in node.names)


def _in_folder(name: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the modules that importing a dotted name executes, as far as they are in the folder."""
    parts = name.split(".")
    spec = getattr(sys.modules.get(parts[0]), "__spec__", None)
    if spec is not None and spec.origin is not None and not Path(spec.origin).is_relative_to(folder):
        return  # another one of that name comes first
    for depth in range(1, len(parts) + 1):
        path = folder.joinpath(*parts[:depth])
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file() and _is_own(file):
                yield ".".join(parts[:depth]), file
                break


def _content(file: Path) -> tuple[bytes, bool]:
    """Return the bytes of a module's file, and whether it is a package."""
    return file.read_bytes(), file.name == "__init__.py"


def _own_file(module: ModuleType | None) -> Path | None:
    spec = getattr(module, "__spec__", None)
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    file = Path(spec.origin)
    return file if file.is_file() and _is_own(file) else None


def _is_own(file: Path) -> bool:
    return not _INSTALLED & set(file.parts) and not any(file.is_relative_to(folder) for folder in _foreign_folders())


@cache
def _foreign_folders() -> tuple[Path, ...]:
    """Return the folders of Python's own modules and of intelbench."""
    return (*(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")), Path(__file__).parents[1])
