"""The notebooks run from the first cell to the last one."""

from pathlib import Path

import nbformat
import pytest

from intelbench.data.sources import SOURCES
from tests.conftest import write_folder
from tests.examples.execute import NOTEBOOKS, execute
from tests.synthetic import CLASSES

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
NAMED = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def test_every_notebook_is_executed() -> None:
    """A new notebook gets small parameters here."""
    assert {path.stem for path in NOTEBOOKS} == set(PARAMETERS)


@NAMED
def test_a_notebook_runs(notebook: Path, tmp_path: Path, small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On folders of images no cell raises, progress is plain text, and the page with the report is written."""
    intel = write_folder(
        tmp_path / "intel", classes=CLASSES, per_class=10, splits="seg_train/seg_train seg_test/seg_test"
    )
    for variable, folder in (("INTEL_IMAGES", intel), ("PHOTOS", small_folder), ("NEW_PHOTOS", small_folder / "test")):
        monkeypatch.setenv(variable, str(folder))
    content = nbformat.read(notebook, as_version=4)
    [parameters] = [cell for cell in content.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source = PARAMETERS[notebook.stem]
    execute(content, tmp_path)
    [training] = [cell for cell in content.cells if "ib.run(" in cell.source]
    assert "seed 1: done in" in "".join(output.text for output in training.outputs if output.output_type == "stream")
    assert (tmp_path / "results" / "report.html").stat().st_size > 100_000


@NAMED
def test_without_a_folder_the_built_in_images_are_used(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell that looks for images names a data source that is always there."""
    for variable in ("INTEL_IMAGES", "PHOTOS", "NEW_PHOTOS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    content = nbformat.read(notebook, as_version=4)
    [cell] = [cell for cell in content.cells if "os.environ.get(" in cell.source]
    found: dict[str, str] = {}
    exec(cell.source, found)
    assert (found.get("DATA") or found["PHOTOS"]) in SOURCES.providers()


@NAMED
def test_the_outputs_are_those_of_one_run_on_photographs(notebook: Path) -> None:
    """Cells were executed in their order, none failed, and the outputs have no path of the machine that made them."""
    content = nbformat.read(notebook, as_version=4)
    cells = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert "error" not in {output.output_type for output in outputs}
    said = "".join(output.get("text", "") or str(output.get("data", "")) for output in outputs)
    assert "folder of" in said
    assert "/home" not in said
    assert "/tmp" not in said
