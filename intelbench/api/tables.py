"""The data frames of `Results` as CSV files."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from intelbench.records.store import write_figures

if TYPE_CHECKING:
    from intelbench.api.results import Results

_FRAMES: dict[str, Callable[["Results"], pd.DataFrame]] = {
    "table": lambda results: results.table(),
    "runs": lambda results: results.runs(),
    "failures": lambda results: results.failures(),
    "differences": lambda results: results.differences(),
    "equal_budgets": lambda results: results.equal_budgets(),
    "plan": lambda results: results.plan(),
    "standings": lambda results: results.standings(),
    "claims": lambda results: results.claims(),
    "variance": lambda results: results.variance(),
}
"""Methods without arguments by the name of their file."""


def write_tables(results: "Results", folder: Path) -> tuple[Path, ...]:
    """Write a file for each data frame, and for predictions, probabilities and confusion matrices of each cohort."""
    frames = {name: frame(results) for name, frame in _FRAMES.items()}
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
