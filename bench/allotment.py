"""Divide the time of a session among its benchmarks."""

from collections.abc import Mapping

MAX_SECONDS = 10.5 * 60
"""Upper bound of the time of a session without benchmarks marked `slow`. Starting pytest and PyTorch took 46 s more on
a busy machine."""
MAX_BENCHMARK_SECONDS = 90.0
"""Upper bound of the time of a benchmark, unless its allowance is longer."""


class Allotment:
    """Gives time that a benchmark leaves of its allowance to later ones, so that few benchmarks stay undecided."""

    def __init__(self, allowances: Mapping[str, float], slow_seconds: float = 0.0, scale: float = 1.0) -> None:
        """Divide the time.

        Args:
            allowances: Seconds of each benchmark, in the order in which the benchmarks run.
            slow_seconds: Sum of the allowances of slow benchmarks.
            scale: Factor by which the allowances have been multiplied.

        Raises:
            ValueError: the sum of the allowances is more than `MAX_SECONDS`.
        """
        total = sum(allowances.values()) - slow_seconds
        if total > MAX_SECONDS * max(1.0, scale):
            raise ValueError(f"allowances of {total:g} s together. Expected at most {MAX_SECONDS:g} s.")
        self._waiting = dict(allowances)
        self._longest = MAX_BENCHMARK_SECONDS * scale
        longest = sum(max(allowance, self._longest) for allowance in allowances.values())
        self.seconds = min(MAX_SECONDS * max(1.0, scale) + slow_seconds, longest)
        """Upper bound of the time of all benchmarks together."""
        self._end: float | None = None

    def deadline(self, name: str, now: float) -> float:
        """Return the time until which a benchmark that begins now may measure; later ones keep their allowances.

        Args:
            name: Name of the benchmark.
            now: Seconds of any clock that all calls share.
        """
        if self._end is None:
            self._end = now + self.seconds
        allowance = self._waiting.pop(name)
        return min(now + max(allowance, self._longest), self._end - sum(self._waiting.values()))
