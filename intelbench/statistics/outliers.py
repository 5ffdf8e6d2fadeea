"""Seeds and spreads that stand out: records whose p values may be too small.

Shapes: A architectures, n seeds. `means` are those over the images, and `finished` says which exist (A x n each).

Where the seeds of one architecture vary much more than those of the others, and a few of them are much worse than the
rest, its mean is often overestimated with a small variance, and no test that was tried keeps its error
(docs/statistics.md). Such records show one of two signs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

from intelbench.statistics.estimates import SIGNIFICANCE

_FAR = 4.0
"""Distance of an outlying run in robust standard deviations; 1 to 5 % of studies with normal seeds have one."""
_TO_DEVIATION = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""


@dataclass(frozen=True)
class WideSpread:
    """An architecture whose seeds vary significantly more than those of the others."""

    architecture: int
    own: float
    """Standard deviation between its seeds."""
    others: float
    """Root mean square of the standard deviations of the others."""


@dataclass(frozen=True)
class OutlyingRun:
    """A run that is far from the other seeds of its architecture."""

    architecture: int
    seed: int
    """Index of the seed."""
    deviation: float
    """Mean of the run minus the median of the architecture's other seeds."""


def wide_spreads(means: NDArray[np.float64], finished: NDArray[np.bool_]) -> list[WideSpread]:
    """Return the architectures whose variance between seeds is significantly above that of the others.

    By an F test at 5 %, corrected for the number of architectures (Bonferroni).
    """
    freedoms = np.maximum(finished.sum(axis=1) - 1, 0)
    sums = [float(((of_all[seeds] - of_all[seeds].mean()) ** 2).sum()) if seeds.any() else 0.0
            for of_all, seeds in zip(means, finished, strict=True)]  # fmt: skip
    wide = []
    for place, (own, freedom) in enumerate(zip(sums, freedoms.tolist(), strict=True)):
        others, other_freedom = sum(sums) - own, float(freedoms.sum()) - freedom
        if not freedom or not other_freedom or not others:
            continue
        ratio = own / freedom / (others / other_freedom)
        if ratio > fdtri(freedom, other_freedom, 1 - SIGNIFICANCE / len(sums)):
            wide.append(WideSpread(place, float(np.sqrt(own / freedom)), float(np.sqrt(others / other_freedom))))
    return wide


def outlying_runs(means: NDArray[np.float64], finished: NDArray[np.bool_]) -> list[OutlyingRun]:
    """Return the runs that are far from the median of their architecture's other seeds, of which there are two or more.

    The unit is the median distance of all runs from that median, which outlying runs hardly change. Of an architecture
    only its farthest run counts, because it moves the median of the others.
    """
    runs = [
        OutlyingRun(place, seed, float(means[place, seed] - np.median(means[place, np.delete(seeds, index)])))
        for place, seeds in enumerate(map(np.flatnonzero, finished))
        if len(seeds) > 2
        for index, seed in enumerate(seeds.tolist())
    ]
    unit = _TO_DEVIATION * float(np.median([abs(run.deviation) for run in runs])) if runs else 0.0
    farthest = {run.architecture: run for run in sorted(runs, key=lambda run: abs(run.deviation))}
    return [run for run in farthest.values() if unit and abs(run.deviation) > _FAR * unit]
