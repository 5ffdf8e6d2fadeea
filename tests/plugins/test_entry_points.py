"""An installed package adds values of every kind by entry points, which are loaded when their name is asked for."""

import sys
from pathlib import Path

import pytest

from intelbench.data.sources import SOURCES
from intelbench.errors import UserError
from intelbench.orchestration.engines import ENGINES
from intelbench.orchestration.listeners import LISTENERS
from intelbench.plugins.registry import Registry
from intelbench.profiling.meters import METERS
from intelbench.results.metrics import METRICS
from intelbench.training.optimizer import OPTIMIZERS

PLUGINS = {
    "engine.py": (ENGINES, "nice", "Nice"),
    "listener.py": (LISTENERS, "log", "Log"),
    "meter.py": (METERS, "processor", "Processor"),
    "optimizer.py": (OPTIMIZERS, "lion", "Lion"),
    "metric.py": (METRICS, "top2_accuracy", "top2_accuracy"),
    "source.py": (SOURCES, "table", "Table"),
}
"""Registry, name and attribute of a plug-in file of each kind."""


def install(site: Path, plugin: str, group: str, *points: str) -> str:
    """Write a distribution with a plug-in file as its only module, and return the name of that module."""
    module = f"installed_{plugin.removesuffix('.py')}"
    (site / "extras-1.2.dist-info").mkdir(parents=True)
    (site / f"{module}.py").write_text(Path(__file__).with_name(plugin).read_text("utf-8"))
    (site / "extras-1.2.dist-info" / "METADATA").write_text("Name: extras\nVersion: 1.2\n")
    lines = [point.format(module=module) for point in points]
    (site / "extras-1.2.dist-info" / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    return module


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_package_adds_a_value_of_each_kind(plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listed with its distribution; its module is imported on demand; a wrong target is an error."""
    registry: Registry[object]
    registry, name, attribute = PLUGINS[plugin]
    points = (f"{name} = {{module}}:{attribute}", f"wrong = {{module}}:{name}_")
    module = install(tmp_path, plugin, registry.group, *points)
    monkeypatch.syspath_prepend(tmp_path)
    assert "extras 1.2" == registry.providers()[name]
    assert module not in sys.modules
    entry = registry.find(name)
    assert entry is not None
    assert entry.provider.startswith(f"{module}.py sha256:")
    assert getattr(sys.modules[module], attribute) in (entry.value, entry.function)
    with pytest.raises(UserError, match=f"^extras 1.2: {registry.kind} 'wrong': failed with "):
        registry.find("wrong")
    del sys.modules[module]
