"""A registry, as a notebook uses it: cells are run again, and errors name the cell."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from intelbench.architectures.registry import ARCHITECTURES, architecture
from intelbench.config.recipe import Recipe
from intelbench.errors import UserError
from intelbench.orchestration.plugin_files import plugins_of_run
from intelbench.plugins.registry import Registry

CELL = "@registry.decorator('mine')\ndef mine(value):\n    return value / 0\n"


@pytest.fixture
def registry() -> Registry[Any]:
    """A registry that no plug-in file adds to."""
    made: Registry[Any] = Registry("thing")
    Registry.every.remove(made)
    return made


def run_cell(
    registry: Registry[Any], source: str = CELL, file: str = "<ipython-input-1-0>", module: str = "__main__"
) -> Any:
    """Execute source as a notebook does, and return its function."""
    names: dict[str, Any] = {"__name__": module, "registry": registry}
    exec(compile(source, file, "exec"), names)
    return names.get("mine")


def test_a_cell_that_is_run_again_replaces_its_entry(registry: Registry[Any]) -> None:
    """Also after it was edited, so that the notebook compiles it under another name; the place in the order stays."""
    run_cell(registry)
    run_cell(registry, CELL.replace("mine", "other"))
    edited = run_cell(registry, CELL.replace("/ 0", "/ 1"), "<ipython-input-2-0>")
    assert edited is registry.get("mine")
    assert ["mine", "other"] == list(registry.entries)


def test_a_class_in_a_cell_can_be_run_again(registry: Registry[Any]) -> None:
    """With all of its names: an alias that it no longer has is free."""
    source = "class Mine:\n    def read(self): pass\nregistry.add(Mine, {}, function=Mine)\n"
    run_cell(registry, source.format("'mine', 'short'"))
    run_cell(registry, source.format("'mine'"))
    assert ["mine"] == list(registry.entries)


def test_other_duplicates_are_refused(registry: Registry[Any], tmp_path: Path) -> None:
    """Another function of a notebook, the same name in two files, and a name of a module."""
    run_cell(registry)
    with pytest.raises(UserError, match="thing 'mine' is registered already"):
        run_cell(registry, CELL.replace("def mine", "def another"))
    registry.entries = {}
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in files:
        file.write_text(CELL)
    run_cell(registry, file=str(files[0]))
    run_cell(registry, file=str(files[0]))
    with pytest.raises(UserError, match="thing 'mine' is registered already"):
        run_cell(registry, file=str(files[1]))
    registry.entries = {}
    run_cell(registry, module="a")
    with pytest.raises(UserError, match="thing 'mine' is registered already"):
        run_cell(registry, module="a")


def fail(registry: Registry[Any]) -> None:
    with registry.guarded(registry.entries["mine"]):
        registry.get("mine")(1)


def test_an_error_says_where(registry: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file, or in the notebook's cell by the name that its tracebacks have."""
    run_cell(registry, file="folder/mine.py")
    with pytest.raises(
        UserError, match=r"thing 'mine': failed with ZeroDivisionError: division by zero \(mine\.py:3\)$"
    ):
        fail(registry)
    run_cell(registry)
    with pytest.raises(UserError, match=r"division by zero \(<ipython-input-1-0>:3\)$"):
        fail(registry)
    compiler = SimpleNamespace(format_code_name=lambda file: ("Cell", "In[3]") if "ipython" in file else None)
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(compile=compiler))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    with pytest.raises(UserError, match=r"division by zero \(Cell In\[3\], line 3\)$"):
        fail(registry)


def test_a_run_needs_values_that_its_process_can_load(registry: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of plug-in files and packages; one of a notebook or a script is refused with what to do."""
    registry.require_loadable(["unknown"])
    run_cell(registry)
    message = (
        r"^thing 'mine' is registered by __main__.*, which the process of a run does not load. Expected a plug-in file."
        r" .*--plugin FILE.py, or `plugins` in Python$"
    )
    for names in (["mine"], None):
        with pytest.raises(UserError, match=message):
            registry.require_loadable(names)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "entry_points", lambda: {"mine": None})
        registry.require_loadable(["mine"])
    registry.entries["mine"] = replace(registry.entries["mine"], plugin=Path("mine.py"))
    registry.require_loadable(["mine"])
    Registry("odd", {"built": 1}, provider="torch").require_loadable()
    Registry.every.pop()


def test_a_run_refuses_an_architecture_of_a_notebook() -> None:
    """Instead of a process of the run that does not know the name, and suggests others."""
    architecture("of_a_cell")(lambda request: None)
    try:
        with pytest.raises(UserError, match=r"^architecture 'of_a_cell' is registered by test_registry.py "):
            plugins_of_run("of_a_cell", Recipe())
    finally:
        del ARCHITECTURES.entries["of_a_cell"]
