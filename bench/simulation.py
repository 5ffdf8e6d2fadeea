"""Simulate sessions of a benchmark on a shared machine, to find how often the rule in `evidence` is wrong.

`python -m bench.simulation [SESSIONS]` prints the share of each verdict by machine, true ratio and number of pairs, and
the share of failures by medians alone, without the interval of the trimmed mean.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.evidence import LOOKS, Evidence, Limit, Look, Verdict, decide

LIMIT = Limit("at_least", 2.0)
MARGIN = 1.05
"""True ratio of a typical benchmark that should pass, in multiples of its limit."""
LOSS = 0.9
"""True ratio of a loss of 10 %, in multiples of the limit."""


@dataclass(frozen=True)
class Machine:
    """Disturbances of the times of a session. Each changes the speed of both sides while it lasts."""

    jitter: float = 0.04
    """Standard deviation of the logarithm of one time."""
    drift: float = 0.3
    """The speed changes linearly by up to this share within the session, in either direction."""
    wander: float = 0.01
    """Standard deviation of a random walk of the logarithm of the speed, from one time to the next."""
    spikes: float = 0.1
    """Share of single times that are longer, by an exponential factor of half their length on average."""
    episodes: float = 3.0
    """Mean number of slow episodes in a session. They start at any moment, also within a turn, last between half a turn
    and half the session, and make everything 1.2 to 3 times as long."""


QUIET = Machine(jitter=0.015, drift=0.05, wander=0.002, spikes=0.02, episodes=0.5)
BUSY = Machine()
CROWDED = Machine(jitter=0.2, drift=1.0, wander=0.03, spikes=0.2, episodes=6.0)
"""Two CPUs with 5 to 8 busy processes. On such a machine, the logarithms of pairs of `test_cache_build`, `test_help`
and `test_evidence` had standard deviations of 0.13, 0.27 and 0.43, estimated from their intervals; here it is 0.35."""
MACHINES = {
    "quiet": (QUIET, 24),
    "busy": (BUSY, 48),
    "crowded": (CROWDED, 384),
    "drift": (replace(QUIET, drift=2.0, wander=0.03), 24),
    "spikes": (replace(QUIET, spikes=0.25), 36),
    "episodes": (replace(QUIET, episodes=8.0), 36),
}
"""Machines, and the number of pairs that their noise needs."""
MEDIANS = (*LOOKS[:-1], Look(1.0, LOOKS[-1].error + LOOKS[-1].trimmed_error))
"""The analyses without the interval of the trimmed mean, whose error goes to that of the median."""


def pair_ratios(machine: Machine, ratio: float, num_pairs: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the ratios reference / harness of pairs, in which the two sides are first alternately."""
    num_times = 2 * num_pairs
    is_reference = np.tile([True, False, False, True], num_pairs // 2 + 1)[:num_times]
    undisturbed = np.where(is_reference, ratio, 1.0)
    moments = np.concatenate([[0.0], undisturbed.cumsum()])
    end = moments[-1]
    logarithms = machine.drift * random.uniform(-1, 1) * moments[:-1] / end
    logarithms += random.normal(0, machine.wander, num_times).cumsum() + random.normal(0, machine.jitter, num_times)
    is_spike = random.random(num_times) < machine.spikes
    logarithms += is_spike * np.log1p(random.exponential(0.5, num_times))
    for _ in range(random.poisson(machine.episodes)):
        begin, length = random.uniform(0, end), np.exp(random.uniform(np.log(0.5), np.log(end / 2)))
        overlap = np.minimum(moments[1:], begin + length) - np.maximum(moments[:-1], begin)
        logarithms += np.log1p(overlap.clip(0) / undisturbed * random.uniform(0.2, 2.0))
    seconds = (undisturbed * np.exp(logarithms)).reshape(num_pairs, 2)
    order = is_reference.reshape(num_pairs, 2)
    ratios: NDArray[np.float64] = seconds[order] / seconds[~order]
    return ratios


def session(
    machine: Machine, ratio: float, num_pairs: int, random: np.random.Generator, looks: Sequence[Look] = LOOKS
) -> Evidence:
    """Judge simulated pairs by the rule of `make bench`; the time is over after `num_pairs`."""
    ratios = pair_ratios(machine, ratio, num_pairs, random)
    elapsed = 0

    def take_pair(index: int) -> float:
        nonlocal elapsed
        elapsed += 1
        return float(ratios[index])

    return decide(take_pair, LIMIT, num_pairs, clock=lambda: elapsed, looks=looks)


def verdict_shares(
    machine: Machine, ratio: float, num_pairs: int, num_sessions: int, seed: int = 0, looks: Sequence[Look] = LOOKS
) -> dict[Verdict, float]:
    """Return the share of sessions that end with each verdict."""
    random = np.random.default_rng(seed)
    counts = Counter(session(machine, ratio, num_pairs, random, looks).verdict for _ in range(num_sessions))
    return {verdict: counts[verdict] / num_sessions for verdict in Verdict}


def main(num_sessions: int = 20_000) -> None:
    """Print the shares for every machine, true ratio and number of pairs."""
    print(f"{num_sessions} sessions each; limit: at least {LIMIT.value:g}")
    print(f"{'machine':8} {'pairs':>5} {'true ratio':>11} {'fail':>8} {'pass':>8} {'undecided':>10} {'medians':>8}")
    for name, (machine, enough) in MACHINES.items():
        for num_pairs in (enough // 2, enough, 2 * enough):
            for factor in (MARGIN, 1.0, LOSS):
                ratio = LIMIT.value * factor
                shares, medians = (
                    verdict_shares(machine, ratio, num_pairs, num_sessions, looks=looks) for looks in (LOOKS, MEDIANS)
                )
                cells = f"{shares[Verdict.FAIL]:8.2%} {shares[Verdict.PASS]:8.2%} {shares[Verdict.UNDECIDED]:10.2%}"
                print(f"{name:8} {num_pairs:5d} {ratio:11.3g} {cells} {medians[Verdict.FAIL]:8.2%}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
