"""matplotlib for the commands that draw figures."""

import contextlib
import os
from pathlib import Path


def import_matplotlib() -> None:
    """Import matplotlib without the user's settings, so that equal records give equal figures."""
    os.environ.pop("MPLBACKEND", None)  # Jupyter sets one that other environments do not have
    os.environ["MATPLOTLIBRC"] = os.devnull
    with contextlib.chdir(Path(__file__).parent):  # a matplotlibrc in the working directory takes precedence
        import matplotlib  # noqa: F401 - which reads its settings when it is imported
