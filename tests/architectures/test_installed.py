"""Installed packages add architectures through entry points."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architectures.test_registry import SMALL


def write_wheel(folder: Path, entry_points: str) -> Path:
    """A real wheel with one module, as `pip install` takes it."""
    info = "shapes-1.2.dist-info"
    files = {
        "shapes.py": SMALL.format(name="shape"),
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: shapes\nVersion: 1.2\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[intelbench.architectures]\n{entry_points}\n",
    }
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for name, text in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    path = folder / "shapes-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that sees an installed package with architectures, two of them mistaken."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = write_wheel(folder, "shape = shapes:build\nmissing = shapes:nothing\nmisnamed = shapes:build")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check",
         "--target", folder / "site", wheel],
        check=True,
    )  # fmt: skip
    return {**os.environ, "PYTHONPATH": str(folder / "site"), "COLUMNS": "120"}


def python(environment: dict[str, str], code: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "" == done.stderr
    return done.stdout


def test_installed_packages_are_listed(installed: dict[str, str]) -> None:
    """`intelbench list` shows their architectures with distribution and version, without importing them."""
    done = subprocess.run(
        [sys.executable, "-m", "intelbench", "list"],
        env=installed,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "  shape                from shapes 1.2" in done.stdout.splitlines()


def test_installed_architectures_are_found(installed: dict[str, str]) -> None:
    """`find` imports the package and builds the network; its provider names the code."""
    code = """
from intelbench.architectures.registry import ModelRequest, find
found, provider = find("shape")
print(found.name, found.build(ModelRequest(num_classes=4, image_size=32)), provider.split(":")[0])
"""
    expected = "shape Linear(in_features=1, out_features=4, bias=True) shapes.py sha256\n"
    assert expected == python(installed, code)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing", "shapes 1.2: architecture 'missing': failed with AttributeError: "),
        ("misnamed", "shapes 1.2: entry point 'misnamed' must lead to the value that was registered with"),
    ],
)
def test_mistaken_entry_points_name_the_distribution(installed: dict[str, str], name: str, says: str) -> None:
    """The user is told whose fault it is."""
    code = f"""
from intelbench.architectures.registry import find
from intelbench.errors import UserError
try:
    find({name!r})
except UserError as error:
    print(error)
"""
    assert python(installed, code).startswith(says)


def test_near_names_of_installed_packages_are_offered(installed: dict[str, str]) -> None:
    """A slip in the name of a plug-in's architecture is answered too."""
    code = """
from intelbench.architectures.registry import find
from intelbench.errors import UserError
try:
    find("shapee")
except UserError as error:
    print(error)
"""
    assert "Try shape. " in python(installed, code)
