"""Execute the notebooks on real images and keep the outputs: `python -m tests.examples.execute FOLDER`.

FOLDER is the Intel set as published, with `seg_train`, `seg_test` and `seg_pred`. No image of it is in the outputs.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

from tests.command import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "examples").glob("*.ipynb"))
_CELL_SECONDS = 3600


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute every cell in a folder, and keep the outputs without the times of the cells.

    Raises:
        CellExecutionError: a cell has raised an exception.
    """
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=_CELL_SECONDS, record_timing=False, resources=resources).execute()


def main() -> None:
    """Execute all notebooks. The images are at a short place, so that no output has a path of this machine."""
    os.environ |= {"INTEL_IMAGES": "images", "PHOTOS": "images", "NEW_PHOTOS": "images/seg_pred"}
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        with TemporaryDirectory() as folder:
            Path(folder, "images").symlink_to(Path(sys.argv[1]).resolve(), target_is_directory=True)
            execute(notebook, Path(folder))
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
