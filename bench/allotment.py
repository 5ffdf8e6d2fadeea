"""The time of a session, and who may have it."""

from collections.abc import Mapping

MAX_SECONDS = 10.5 * 60
"""Of a session, without benchmarks that are marked `slow`. Starting pytest and PyTorch took 46 s more on a busy
machine."""
MAX_BENCHMARK_SECONDS = 90.0
"""Of one benchmark, where its allowance is not longer."""


class Allotment:
    """What a benchmark leaves of its allowance goes to those after it, so that as few as possible stay undecided."""

    def __init__(self, allowances: Mapping[str, float], slow_seconds: float = 0.0, scale: float = 1.0) -> None:
        """`allowances` are in seconds, in the order in which the benchmarks run; `slow_seconds` are those of slow ones.

        Raises:
            ValueError: they are more than `MAX_SECONDS` together.
        """
        total = sum(allowances.values()) - slow_seconds
        if total > MAX_SECONDS * max(1.0, scale):
            raise ValueError(f"allowances of {total:g} s together. Expected at most {MAX_SECONDS:g} s.")
        self._waiting = dict(allowances)
        self._longest = MAX_BENCHMARK_SECONDS * scale
        most = sum(max(each, self._longest) for each in allowances.values())
        self.seconds = min(MAX_SECONDS * max(1.0, scale) + slow_seconds, most)
        """Of all benchmarks together, at most."""
        self._end: float | None = None

    def deadline(self, name: str, now: float) -> float:
        """Return until when the benchmark may measure that begins now; those after it keep their allowances.

        Args:
            name: of the benchmark.
            now: seconds of any clock, the same for every benchmark.
        """
        if self._end is None:
            self._end = now + self.seconds
        allowance = self._waiting.pop(name)
        return min(now + max(allowance, self._longest), self._end - sum(self._waiting.values()))
