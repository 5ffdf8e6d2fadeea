"""The registry is global; each test gets a copy of it and of the loaded plug-ins."""

import sys
from collections.abc import Iterator

import pytest

from intelbench.architectures import registry


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test register and load what it likes."""
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("intelbench_plugin_"):
            del sys.modules[name]
