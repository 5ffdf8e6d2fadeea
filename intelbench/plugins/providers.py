"""Who provides a registered value: a name precise enough that an edited plug-in is another provider."""

import functools
import hashlib
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from intelbench.plugins.imports import with_named

BUILT_IN = "intelbench"
_IN_FILE = " sha256:"
"""Between the name of a file and its digest."""


def provider_of(function: Callable[..., Any], loaded: Mapping[str, Path] | None = None) -> str:
    """Name the module that defines `function`, with a digest of its file unless it is part of this package.

    With the modules that were `loaded` with it, the digest covers those and the ones of its package that they import.
    """
    while isinstance(function, functools.partial):
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__name__
    if module.partition(".")[0] == BUILT_IN:
        return BUILT_IN
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not (path := Path(file)).is_file():  # a notebook; `<stdin>`
        return module
    source = path.read_bytes()
    root = path.parents[module.count(".") + (path.name == "__init__.py")]
    modules = {} if loaded is None else with_named(loaded, module, source, root)
    return provider_of_file(path.name, source, {name: each for name, each in modules.items() if name != module})


def provider_of_file(name: str, source: bytes, modules: Mapping[str, Path]) -> str:
    """Name a file with a digest of its content and of the files of its modules."""
    digest = hashlib.sha256(source)
    for module, file in sorted(modules.items()):
        digest.update(f"\0{module}\0{hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return f"{name}{_IN_FILE}{digest.hexdigest()[:16]}"


def file_of(provider: str) -> str:
    """Return the name of the file of a provider; empty if the provider is no file."""
    file, mark, _ = provider.partition(_IN_FILE)
    return file if mark else ""


def provider_of_entry_point(point: metadata.EntryPoint) -> str:
    """Name the distribution of an entry point, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
