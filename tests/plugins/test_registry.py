"""A registry, as a notebook uses it: cells are run again, and errors name the cell."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import intelbench
from intelbench.config.recipe import Recipe
from intelbench.errors import UserError
from intelbench.orchestration.plugin_files import plugins_of_run
from intelbench.plugins.registry import Registry
from intelbench.profiling.meters import METERS, meter
from intelbench.training.optimizer import OPTIMIZERS, optimizer
from tests.command import REPOSITORY

CELL = "@registry.decorator('mine')\ndef mine(value):\n    return value / 0\n"


@pytest.fixture
def registry() -> Registry[Any]:
    """A registry that no plug-in file adds to."""
    made: Registry[Any] = Registry("thing")
    Registry.every.remove(made)
    return made


def run_cell(
    registry: Registry[Any] | SimpleNamespace,
    source: str = CELL,
    file: str = "<ipython-input-1-0>",
    module: str = "__main__",
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


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        *((kind, '"NAME"') for kind in ("architecture", "engine", "listener", "meter", "optimizer", "source")),
        *((kind, '"NAME"') for kind in ("tracker", "transform")),
        ("metric", '"NAME", heading=..., definition=..., better=...'),
        ("section", '"TITLE"'),
    ],
)
def test_a_decorator_without_parentheses_is_refused(kind: str, form: str) -> None:
    """With the form that it has; it would register nothing."""
    with pytest.raises(UserError) as raised:
        getattr(intelbench, kind)(lambda value: value)
    assert str(raised.value).endswith(f"Try @intelbench.{kind}({form})")


def test_code_from_standard_input_can_register() -> None:
    """As a notebook can, although Python names a file `<stdin>`, which does not exist."""
    source = "from intelbench.plugins.registry import Registry\nregistry = Registry('thing')\n" + CELL
    code = source + "print(registry.entries['mine'].provider)\n"
    done = subprocess.run(
        [sys.executable, "-"], input=code, capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert ("__main__\n", "") == (done.stdout, done.stderr)


def test_what_the_processes_of_runs_cannot_load_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optimizer or a meter of a notebook is in no file; what is built in needs none."""
    for kind, decorator, registered in (("optimizer", optimizer, OPTIMIZERS), ("meter", meter, METERS)):
        with monkeypatch.context() as patched:
            patched.setattr(registered, "entries", dict(registered.entries))
            assert () == plugins_of_run("resnet101", Recipe())
            run_cell(SimpleNamespace(decorator=decorator))
            with pytest.raises(UserError, match=rf"^{kind} 'mine': registered in __main__.* Try a file of its own"):
                plugins_of_run("resnet101", Recipe(optimizer="mine" if kind == "optimizer" else "adam"))


def test_a_run_needs_values_that_its_process_can_load(registry: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of plug-in files and packages; one of a notebook or a script is refused with what to do."""
    registry.require_loadable(["unknown"])
    run_cell(registry)
    message = (
        r"^thing 'mine': registered in __main__.*, which the processes of runs do not load. .* or `plugins` in Python$"
    )
    with pytest.raises(UserError, match=message):
        registry.require_loadable(["mine"])
    with monkeypatch.context() as patch:
        patch.setattr(registry, "entry_points", lambda: {"mine": None})
        registry.require_loadable(["mine"])
    registry.entries["mine"] = replace(registry.entries["mine"], plugin=Path("mine.py"))
    registry.require_loadable(["mine"])
    Registry("odd", {"built": 1}, provider="torch").require_loadable(["built"])
    Registry.every.pop()
