"""The notebooks run from the first cell to the last one on the built-in images."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
PARAMETERS = {
    "intel": """
ARCHITECTURES = ["resnet18", "mobilenet_v3_small"]
SEEDS = [0, 1]
BUDGET = "4 steps"
IMAGE_SIZE = 32
OUT = "results"
""",
    "your_photos": """
ARCHITECTURES = ["efficientnet_lite0", "efficientnet_lite1"]
SEEDS = [0, 1]
IMAGE_SIZE = 32
OUT = "results"
""",
}
"""The cell with the parameters of each notebook, for a test."""


def test_every_notebook_is_executed() -> None:
    """A new notebook gets small parameters here."""
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell raises, and the page with the report is written."""
    for name_of_folder in ("INTEL_IMAGES", "PHOTOS", "NEW_PHOTOS"):
        monkeypatch.delenv(name_of_folder, raising=False)
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    [parameters] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source = PARAMETERS[name]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "results" / "report.html").stat().st_size > 100_000
