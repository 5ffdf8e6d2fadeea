"""The data frames of `Results` as CSV files."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from intelbench.records.store import write_figures

if TYPE_CHECKING:
    from intelbench.api.results import Results

_FRAMES = ("table", "runs", "failures", "differences", "equal_budgets", "plan", "standings", "claims", "variance")
"""Methods without arguments, by which their files are named."""


def write_tables(results: "Results", folder: Path) -> tuple[Path, ...]:
    """Write a file for each data frame, and for predictions, probabilities and confusion matrices of each cohort."""
    frames = {name: getattr(results, name)() for name in _FRAMES}
    for summary in results.study.cohorts:
        key = summary.cohort.key
        if summary.correct is not None:  # its runs have the same test images
            frames[f"predictions-{key}"] = results.predictions(key)
        if summary.finished:
            frames[f"probabilities-{key}"] = results.probabilities(key)
            matrices = {each.name: results.confusion(each.name, key) for each in summary.finished}
            frames[f"confusion-{key}"] = pd.concat(matrices, names=["architecture"]).reset_index()
    texts = {f"{name}.csv": frame.to_csv(index=False, lineterminator="\n") for name, frame in frames.items()}
    write_figures(folder, {name: text.encode() for name, text in texts.items()})
    return tuple(folder / name for name in texts)
