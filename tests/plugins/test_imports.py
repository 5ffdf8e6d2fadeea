"""A plug-in imports the files next to it, shadows nothing, and is another network when one of them is edited."""

import hashlib
import random
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from intelbench.architectures import registry
from intelbench.architectures.registry import ModelRequest, contained_unless_built_in, find
from intelbench.errors import UserError
from intelbench.plugins.imports import PluginImports
from intelbench.plugins.loading import load_plugin

REQUEST = ModelRequest(num_classes=3, image_size=32)
MAIN = """
from torch import nn
import layers
from nets.blocks import SIZE
from intelbench import architecture

@architecture("mine")
def mine(request):
    import late
    return nn.Linear(layers.WIDTH, request.num_classes + late.EXTRA)
"""
FILES = {
    "mine.py": MAIN,
    "layers.py": "import elsewhere\nWIDTH = 8\n",
    "late.py": "def size():\n    from nets import later\nEXTRA = 0\n",
    "nets/__init__.py": "",
    "nets/blocks.py": "from .sizes import SIZE\n",
    "nets/sizes.py": "SIZE = 3\n",
    "nets/later.py": "import spaces.inner",
    "spaces/inner.py": "",
    "unrelated.py": "import layers\n",
    "random.py": "raise ValueError('shadows')\n",
    "torch/__init__.py": "raise ValueError('shadows')\n",
}


@pytest.fixture(autouse=True)
def own_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Modules and paths of the test's plug-ins end with the test; `elsewhere` is a module outside their folders."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "elsewhere.py").write_text("HERE = True\n")
    monkeypatch.syspath_prepend(tmp_path / "path")
    yield
    if PluginImports._active:
        PluginImports._active.deactivate()


def write(folder: Path, **edited: str) -> Path:
    """A plug-in with what it imports, in a folder; `edited` is appended to the file of that stem."""
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + edited.get(file.stem, ""))
    return folder / "mine.py"


def provider_of(path: Path) -> str:
    """Load a plug-in as the only one."""
    registry.ARCHITECTURES.entries.pop("mine", None)
    load_plugin(path)
    return find("mine")[1]


def test_files_next_to_a_plugin_are_imported(tmp_path: Path) -> None:
    """When it is loaded and when a network is built; nothing of the folder shadows Python or PyTorch."""
    load_plugin(write(tmp_path / "a"))
    assert str(tmp_path / "a") == sys.path[-1]
    assert 8 == find("mine")[0].network(REQUEST).in_features
    assert random is import_module("random")
    assert "site-packages" in str(import_module("torch").__file__)


def test_the_same_files_in_another_folder_are_the_same_network(tmp_path: Path) -> None:
    """The digest is of names and contents, not of places."""
    assert provider_of(write(tmp_path / "a")) == provider_of(write(tmp_path / "b"))


@pytest.mark.parametrize("stem", ["mine", "layers", "blocks", "sizes", "late", "later", "inner"])
def test_an_edited_module_is_another_network(tmp_path: Path, stem: str) -> None:
    """Imported when it is loaded or only inside a function; by name, relatively, or from a package."""
    before = provider_of(write(tmp_path / "a"))
    assert before != provider_of(write(tmp_path / "b", **{stem: "\nEDITED = True\n"}))


@pytest.mark.parametrize("stem", ["unrelated", "random"])
def test_what_is_not_imported_does_not_count(tmp_path: Path, stem: str) -> None:
    """A file that no module names, or whose name is that of another module."""
    before = provider_of(write(tmp_path / "a"))
    assert before == provider_of(write(tmp_path / "b", **{stem: "\nEDITED = True\n"}))


def test_a_module_from_elsewhere_counts(tmp_path: Path) -> None:
    """Such as one that PYTHONPATH leads to."""
    before = provider_of(write(tmp_path / "a"))
    (tmp_path / "path" / "elsewhere.py").write_text("HERE = 'edited'\n")
    assert before != provider_of(write(tmp_path / "b"))


def test_a_file_alone_is_the_digest_of_itself(tmp_path: Path) -> None:
    """As in records from before modules counted; installed packages are not part of it."""
    path = tmp_path / "alone" / "mine.py"
    path.parent.mkdir()
    path.write_text("import PIL.Image\nfrom intelbench import architecture\narchitecture('mine')(print)\n")
    assert f"mine.py sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}" == provider_of(path)


def test_two_plugins_have_modules_of_their_own(tmp_path: Path) -> None:
    """Of one name, imported early or late; whichever is built, in any order."""
    for name, width in (("one", 4), ("two", 5)):
        path = write(tmp_path / name, layers=f"WIDTH = {width}\n", late=f"EXTRA = {width}\n")
        path.write_text(MAIN.replace('"mine"', f'"{name}"'))
        load_plugin(path)
    for name, width in (("one", 4), ("two", 5), ("one", 4)):
        with contained_unless_built_in(name):
            network = find(name)[0].network(REQUEST)
        assert (width, 3 + width) == (network.in_features, network.out_features)


def test_a_plugin_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither its folder on the path nor its modules; a second attempt imports them again."""
    path = write(tmp_path / "a", mine="1 / 0\n")
    before = list(sys.path)
    with pytest.raises(UserError, match="ZeroDivisionError"):
        load_plugin(path)
    assert before == sys.path
    assert "layers" not in sys.modules
    path.write_text(MAIN)
    assert ["mine"] == load_plugin(path)


def test_a_folder_that_is_on_the_path_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the user's."""
    path = write(tmp_path / "a")
    monkeypatch.syspath_prepend(tmp_path / "a")
    load_plugin(path)
    assert 1 == sys.path.count(str(tmp_path / "a"))
    PluginImports._active.deactivate()
    assert 1 == sys.path.count(str(tmp_path / "a"))


def test_an_edited_module_of_an_entry_point_is_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a package that is installed for editing: all its modules count that the architecture imports."""
    package = tmp_path / "path" / "shapes_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(
        "from . import sizes\nfrom intelbench import architecture\narchitecture('mine')(lambda request: None)\n"
        "build = architecture('shape')(lambda request: None)\n"
    )
    point = EntryPoint("shape", "shapes_of_mine.nets:build", "intelbench.architectures")
    monkeypatch.setattr(registry.ARCHITECTURES, "entry_points", lambda: {"shape": point})
    found = []
    for text in ("SIZE = 1\n", "SIZE = 1\n", "SIZE = 22\n"):
        (package / "sizes.py").write_text(text)
        found.append([find(name)[1] for name in ("shape", "mine")])
        for name in ("shape", "mine"):
            del registry.ARCHITECTURES.entries[name]
        for name in [name for name in sys.modules if name.startswith("shapes_of_mine")]:
            del sys.modules[name]
    assert found[0] == found[1]
    assert found[0][0] == found[0][1]
    assert found[1][0] != found[2][0]
    assert found[0][0].startswith("nets.py sha256:")


@pytest.mark.parametrize("stem", ["mine", "layers", "late"])
def test_an_edited_plugin_is_loaded_again(tmp_path: Path, stem: str) -> None:
    """In one process, as in a notebook, whichever of its files was edited; one that was not edited is not."""
    path = write(tmp_path / "a")
    assert ["mine"] == load_plugin(path)
    before = find("mine")[1]
    assert [] == load_plugin(path)
    with contained_unless_built_in("mine"):
        assert 8 == find("mine")[0].network(REQUEST).in_features
    assert [] == load_plugin(path)
    write(tmp_path / "a", **{stem: "\nEDITED = True\n"})
    assert ["mine"] == load_plugin(path)
    assert before != find("mine")[1]
    assert [] == load_plugin(path)


def test_an_edited_plugin_that_fails_is_gone(tmp_path: Path) -> None:
    """What it had registered is not used with the file that nobody could load; repaired, it is there again."""
    path = write(tmp_path / "a")
    load_plugin(path)
    path.write_text(MAIN + "1 / 0\n")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        load_plugin(path)
    assert "mine" not in registry.ARCHITECTURES.entries
    path.write_text(MAIN)
    assert ["mine"] == load_plugin(path)
