"""How many more seeds would decide the pairs of architectures that are open, and how long they would take."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median_low

from intelbench.results.columns import Columns, column, estimate, table
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics.comparisons import PairedDifference
from intelbench.statistics.planning import ASSURANCE, Question, assurance, seeds_needed

_MANY = 10**6
"""Seeds with which only the choice of test images is left as a reason for an open pair."""


@dataclass(frozen=True)
class OpenPair:
    """A pair that is neither significantly different nor equivalent within the margin."""

    pair: PairedDifference
    first: ArchitectureSummary
    second: ArchitectureSummary
    num_seeds: int | None
    """Seeds in all that decide it; `None` where too many seeds are needed, or more test images."""
    needs_images: bool
    """Whether no number of seeds decides it on these test images."""

    @property
    def more_seeds(self) -> int | None:
        """Return how many seeds are to be added."""
        return None if self.num_seeds is None else self.num_seeds - self.pair.difference.n

    @property
    def seconds(self) -> float | None:
        """Return how long those seeds of both architectures take on the machine of the records."""
        if self.more_seeds is None:
            return None
        return self.more_seeds * (seconds_per_run(self.first) + seconds_per_run(self.second))


@dataclass(frozen=True)
class Plan:
    """What would decide the open pairs of a cohort."""

    num_pairs: int
    """Pairs that were compared."""
    open_pairs: tuple[OpenPair, ...]

    @cached_property
    def more_seeds(self) -> Mapping[str, int]:
        """Return the seeds to be added to each architecture so that all pairs that seeds can decide are decided."""
        more: dict[str, int] = {}
        for planned in self.open_pairs:
            for architecture in (planned.first, planned.second):
                if planned.more_seeds is not None:
                    more[architecture.name] = max(more.get(architecture.name, 0), planned.more_seeds)
        return more

    @property
    def seconds(self) -> float:
        """Return how long the seeds of all architectures take on the machine of the records."""
        known = {a.name: a for planned in self.open_pairs for a in (planned.first, planned.second)}
        return sum(number * seconds_per_run(known[name]) for name, number in self.more_seeds.items())


def seconds_per_run(architecture: ArchitectureSummary) -> float:
    """Return the median wall clock of the finished runs of an architecture; of two runs, the shorter one.

    A first run may have extracted features for all, which more seeds do not do again.
    """
    return median_low(run.measurements.total_seconds for run in architecture.runs)


def plan(summary: CohortSummary) -> Plan:
    """Return what would decide the open pairs, with 80 % assurance if the true differences are those observed.

    Nothing is planned where seeds are added in planned looks: then the looks say how many there are.
    """
    tested = [pair for pair in summary.differences if pair.p_holm is not None]
    undecided = [] if summary.sequential else [pair for pair in tested if pair.answer == "undecided"]
    level = summary.significance / max(len(undecided), 1)
    open_pairs = []
    for pair in undecided:
        question = Question(pair.inferred, level, summary.margin)
        needed = seeds_needed(question)
        needs_images = needed is None and assurance(question, _MANY) < ASSURANCE
        open_pairs.append(
            OpenPair(pair, summary.finished[pair.first], summary.finished[pair.second], needed, needs_images)
        )
    return Plan(len(tested), tuple(open_pairs))


_COLUMNS: Sequence[Columns[OpenPair]] = (
    column("first", str, lambda planned: planned.first.name),
    column("second", str, lambda planned: planned.second.name),
    estimate("difference", lambda planned: planned.pair.difference),
    column("num_seeds", int, lambda planned: planned.pair.difference.n),
    column("more_seeds", int, lambda planned: planned.more_seeds),
    column("seconds", float, lambda planned: planned.seconds),
    column("needs_images", bool, lambda planned: planned.needs_images),
)


@table(lambda: _COLUMNS)
def plan_table(summary: CohortSummary) -> Iterable[OpenPair]:
    """Return one row for each open pair: how many more seeds decide it, and how long they take."""
    return plan(summary).open_pairs
