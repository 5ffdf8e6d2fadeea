"""Moderated variances between seeds: what the architectures of a cohort tell about each other's spread.

The variance between n seeds has n - 1 degrees of freedom, which are 2 for three seeds, although five architectures have
10 between them. Smyth (2004) regards the variances of the architectures as draws of one distribution, whose variance
s0² and degrees of freedom d0 are estimated from all of them, and replaces each variance s² with d degrees of freedom by

    (d0 s0² + d s²) / (d0 + d)    with d0 + d degrees of freedom.

Where the architectures' spreads are alike, d0 is large and they share all of their degrees of freedom; where they are
not, d0 is small and each keeps its own.

With few architectures d0 is often estimated as large although one of them varies much more than the others. So a pair
differs only if it also differs by the variances of its own two architectures, without pooling, at half of the level,
whatever the number of pairs: by Student's paired test or by Welch's (1947), whichever has the shorter interval.
`docs/statistics.md` has the errors and the power of this rule and of others, by simulation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma, stdtrit

from intelbench.statistics.estimates import CONFIDENCE
from intelbench.statistics.inference import SeedVariance, Spread

_UPPER = (1 + CONFIDENCE) / 2
_SMALLEST = 1e-5
"""Share of the median variance below which a variance counts as that share, as in limma (Ritchie et al., 2015)."""


@dataclass(frozen=True)
class PairVariance:
    """How much the difference of two architectures varies between seeds."""

    moderated: SeedVariance
    """Moderated by all pairs."""
    unpooled: Spread | None
    """Spread of the mean difference by the two architectures alone; `None` where nothing was pooled."""


def pair_variances(
    means: NDArray[np.float64], finished: NDArray[np.bool_], pairs: Sequence[tuple[int, int]]
) -> list[PairVariance | None]:
    """Return the variance of each pair between its seeds in common; `None` for less than two.

    `means` are those over the images, of A architectures and n seeds; `finished` says which exist (A x n each).
    """
    own = [_between_seeds(means[first] - means[second], finished[first] & finished[second]) for first, second in pairs]
    alone = [_between_seeds(of_architecture, seeds) for of_architecture, seeds in zip(means, finished, strict=True)]
    known = [variance for variance in alone if variance is not None]
    paired = [variance for variance in own if variance is not None]
    if not paired:
        return [None] * len(own)
    shared = _shared_freedom(known)
    varying = [variance for variance in paired if variance.value] or paired  # a pair may be one network under two names
    values, weights = zip(*((variance.value, variance.freedom) for variance in varying), strict=True)
    prior = SeedVariance(float(np.average(values, weights=weights)), shared)
    return [
        None
        if variance is None
        else PairVariance(moderated(variance, prior), _unpooled(alone[first], alone[second], variance, shared))
        for variance, (first, second) in zip(own, pairs, strict=True)
    ]


def architecture_variances(means: NDArray[np.float64], finished: NDArray[np.bool_]) -> list[SeedVariance]:
    """Return the variance of each architecture between its seeds, moderated by the others (means, finished: A x n).

    An architecture with one seed has the mean of the others; it is 0, with infinite degrees of freedom, if no
    architecture has two seeds.
    """
    alone = [_between_seeds(of_architecture, seeds) for of_architecture, seeds in zip(means, finished, strict=True)]
    known = [variance for variance in alone if variance is not None]
    if not known:
        return [SeedVariance(0.0, np.inf)] * len(alone)
    mean, freedom = (float(np.mean([getattr(each, name) for each in known])) for name in ("value", "freedom"))
    prior = SeedVariance(mean, _shared_freedom(known))
    of_missing = SeedVariance(mean, max(prior.freedom, freedom))
    return [of_missing if own is None else moderated(own, prior) for own in alone]


def _shared_freedom(known: Sequence[SeedVariance]) -> float:
    """Return d0, at most as many degrees of freedom as all but two architectures have."""
    freedom = float(np.mean([variance.freedom for variance in known]))
    estimated = prior_freedom(np.array([variance.value for variance in known]), freedom)
    return min(estimated, max(len(known) - 2, 0) * freedom)


def _between_seeds(values: NDArray[np.float64], finished: NDArray[np.bool_]) -> SeedVariance | None:
    known = values[finished]
    return SeedVariance(float(known.var(ddof=1)), len(known) - 1) if len(known) > 1 else None


def _unpooled(
    first: SeedVariance | None, second: SeedVariance | None, pair: SeedVariance, shared: float
) -> Spread | None:
    """Return the spread of the mean difference by the seeds of two architectures alone.

    Of the paired spread and Welch's, with the degrees of freedom of Satterthwaite (1946), it is the one with the
    shorter interval: the paired one where the two vary together, and Welch's where they do not.
    """
    if first is None or second is None or not shared:
        return None
    num_seeds, total = pair.freedom + 1, first.value + second.value
    parts = first.value**2 / first.freedom + second.value**2 / second.freedom
    freedom = total**2 / parts if parts else first.freedom + second.freedom
    spreads = [Spread(math.sqrt(value / num_seeds), df) for value, df in ((pair.value, pair.freedom), (total, freedom))]
    return min(spreads, key=lambda spread: spread.error * float(stdtrit(spread.freedom, _UPPER)))


def moderated(own: SeedVariance, prior: SeedVariance) -> SeedVariance:
    """Return a variance moderated by a prior."""
    freedom = own.freedom + prior.freedom
    return SeedVariance((own.freedom * own.value + prior.freedom * prior.value) / freedom, freedom)


def prior_freedom(variances: NDArray[np.float64], freedom: float) -> float:
    """Return the degrees of freedom d0 of the prior of K variances, each with `freedom` degrees of freedom.

    It is estimated from the spread of the log-variances (Smyth, 2004, section 6.2): what exceeds trigamma(freedom / 2),
    which sampling alone gives, is trigamma(d0 / 2). Infinite where nothing exceeds it; 0 for less than three variances,
    from which it cannot be estimated.
    """
    if len(variances) < 3 or freedom <= 0:
        return 0.0
    floor = _SMALLEST * float(np.median(variances))
    if not floor:
        return np.inf if not variances.any() else 0.0
    logs = np.log(np.maximum(variances, floor))
    excess = float(logs.var(ddof=1) - polygamma(1, freedom / 2))
    return 2 * _inverse_trigamma(excess) if excess > 0 else np.inf


def _inverse_trigamma(value: float) -> float:
    """Return the argument at which trigamma has a value, by Newton's method (Smyth, 2004, appendix)."""
    argument = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, argument))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, argument))
        argument += step
        if abs(step) < 1e-9 * argument:
            break
    return argument
