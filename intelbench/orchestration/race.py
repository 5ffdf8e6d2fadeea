"""Execute seeds in planned looks until the comparison of the architectures is decided."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median_low

import msgspec
import numpy as np
from numpy.typing import NDArray

from intelbench.config.sequential import Look, SequentialDesign, Until
from intelbench.errors import UserError, few, plural
from intelbench.orchestration.listeners import RunListener
from intelbench.orchestration.plan import PlannedRun
from intelbench.records.designs import StoredDesign, designs_of, read_designs, write_design
from intelbench.records.identity import changes
from intelbench.records.store import read_run
from intelbench.records.types import RunRecord, utc_now
from intelbench.results.runs import observe
from intelbench.results.sequential import replay
from intelbench.statistics.estimates import SIGNIFICANCE
from intelbench.statistics.sequential import Race, is_decided, planned_looks, worse_of

Execute = Callable[[Mapping[int, PlannedRun]], Mapping[int, RunRecord]]
"""Executes runs by index, those of one look at a time, and returns their records."""
_FEWEST_SEEDS = 3
_MAX_NAMES = 4
"""Architectures or pairs that a line names."""


def designed(planned: Sequence[PlannedRun], until: Until) -> list[PlannedRun]:
    """Return the runs, each with the look for which it is made.

    Raises:
        UserError: there are too few architectures or seeds, or several comparisons at once; or some runs
            were made for another design.
    """
    specs = [run.job.spec for run in planned]
    names, seeds = sorted({spec.architecture for spec in specs}), tuple(dict.fromkeys(spec.seed for spec in specs))
    if len({(spec.images_per_class, spec.vary) for spec in specs}) > 1:
        raise UserError("until decided: several comparisons. Expected one `images_per_class` and one word of `vary`")
    if specs[0].metric != "accuracy":
        raise UserError(
            f"until decided: metric {specs[0].metric!r}. Expected accuracy, at which looks are taken. Try --metric "
            "accuracy, or a fixed number of seeds"
        )
    if len(names) < 2 or len(seeds) < _FEWEST_SEEDS:
        raise UserError(
            f"until decided: {plural(len(names), 'architecture')} and {plural(len(seeds), 'seed')} at most. Expected "
            f"at least 2 architectures and {_FEWEST_SEEDS} seeds. Try --seeds 0-9"
        )
    design = SequentialDesign(
        architectures=tuple(names),
        seeds=seeds,
        looks=planned_looks(len(seeds)),
        spending=until.spending,
        significance=SIGNIFICANCE,
        margin=specs[0].margin,
    )
    _require_same_design(planned, design)
    number = {
        seed: next(number for number, count in enumerate(design.looks, start=1) if place < count)
        for place, seed in enumerate(seeds)
    }
    return [
        replace(run, job=msgspec.structs.replace(run.job, look=Look(design=design, number=number[run.job.spec.seed])))
        for run in planned
    ]


def _require_same_design(planned: Sequence[PlannedRun], design: SequentialDesign) -> None:
    """Raise a `UserError` if a recorded run was made, or looked at, for another design."""
    kept = [run.earlier for run in planned if run.earlier and run.job.rerun != "all"]
    looked = [(record.run_id, record.look.design) for record in kept if record.look]
    if kept:
        stored, _ = read_designs(planned[0].job.workspace.runs)
        looked += [(each.runs[0], each.design) for each in designs_of([record.run_id for record in kept], stored)]
    for run_id, earlier in looked:
        if earlier != design:
            before, now = (msgspec.structs.asdict(each) for each in (earlier, design))
            raise UserError(
                f"until decided: {run_id} was made for another design: {changes(before, now)}. A design cannot "
                "change once results were looked at. Try the earlier options, or another folder with --out"
            )


class RaceSession:
    """Runs of a sequential design, executed look by look; the listener is told about those that are not needed."""

    def __init__(
        self, planned: Sequence[PlannedRun], execute: Execute, listener: RunListener, say: Callable[[str], None]
    ) -> None:
        look = planned[0].job.look
        assert look is not None
        self.design: SequentialDesign = look.design
        self.records: dict[int, RunRecord] = {}
        self._planned, self._execute, self._listener, self._say = planned, execute, listener, say
        self._correct: list[dict[int, NDArray[np.bool_]]] = [{} for _ in self.design.architectures]
        self._failed: list[set[int]] = [set() for _ in self.design.architectures]
        self._left_out: set[int] = set()

    def run(self, at_most_seconds: float | None, slots: int) -> Mapping[int, RunRecord]:
        """Execute looks until the comparison is decided or the next look would take too long; return the records.

        `slots` runs are executed at once. The first look is executed also where its time is not known.
        """
        looks = ", ".join(map(str, self.design.looks))
        self._say(f"looks at {looks} seeds, {self.design.spending}; equivalent within {self._margin}")
        started, race = time.monotonic(), replay(self.design, self._correct, self._failed)
        while not race.over:
            due = self._due(race)
            seconds = self._seconds(due) / slots
            left = np.inf if at_most_seconds is None else at_most_seconds - (time.monotonic() - started)
            if seconds > left:
                self._say(
                    f"stopped after {self._seeds(race)}: the look at {self._next(race)} seeds would take about "
                    f"{_times(seconds, max(left, 0))} are left; give the command again to continue"
                )
                return self.records
            self._collect(self._execute(due))
            self._keep_design()
            before, race = race, replay(self.design, self._correct, self._failed)
            self._say(f"look at {self._next(before)} of {len(self.design.seeds)} seeds: {self._news(before, race)}")
            self._leave_out(race)
        self._say(self._conclusion(race))
        return self.records

    def _next(self, race: Race) -> int:
        """Return the number of seeds at the next look."""
        return self.design.looks[race.num_looks]

    def _seeds(self, race: Race) -> str:
        number = self.design.looks[race.num_looks - 1] if race.num_looks else 0
        return f"{number} of {len(self.design.seeds)} seeds"

    def _index(self, run: PlannedRun) -> int:
        return self.design.architectures.index(run.job.spec.architecture)

    def _due(self, race: Race) -> dict[int, PlannedRun]:
        """Return the runs of the next look; those of an architecture with a record have its profile."""
        seeds = self.design.seeds[: self._next(race)]
        profiled = {record.spec.architecture: record for record in self.records.values()}
        due = {}
        for index, run in enumerate(self._planned):
            job, spec = run.job, run.job.spec
            if index in self.records or spec.seed not in seeds or self._index(run) not in race.racing:
                continue
            if record := profiled.get(spec.architecture):
                job = msgspec.structs.replace(job, profile=record.profile, profile_absent=record.profile_absent)
            due[index] = replace(run, job=job)
        return due

    def _seconds(self, due: Mapping[int, PlannedRun]) -> float:
        """Return the predicted time of runs, one after the other; a run that is recorded, or not predictable, has 0."""
        finished: dict[str, list[float]] = {}
        for record in self.records.values():
            if record.measurements:
                finished.setdefault(record.spec.architecture, []).append(record.measurements.total_seconds)
        pending = [run.job.spec.architecture for run in due.values() if run.job.record() is None]
        return sum(median_low(finished[name]) for name in pending if name in finished)

    def _collect(self, records: Mapping[int, RunRecord]) -> None:
        """Note which test images were recognised, and which runs failed."""
        self.records |= records
        for index, record in records.items():
            run = self._planned[index]
            if record.failure:
                self._failed[self._index(run)].add(record.spec.seed)
            else:
                stored = read_run(run.job.workspace.target)
                self._correct[self._index(run)][record.spec.seed] = observe(stored, stored.traces()).correct

    def _keep_design(self) -> None:
        """Write the design next to the records if none of them holds it: all were made for other comparisons."""
        runs = self._planned[0].job.workspace.runs
        names = tuple(sorted(record.run_id for record in self.records.values()))
        held = [record.look.design for record in self.records.values() if record.look]
        held += [stored.design for stored in designs_of(names, read_designs(runs)[0])]
        if self.design not in held:
            write_design(runs, StoredDesign(started_at=utc_now(), runs=names, design=self.design))

    def _leave_out(self, race: Race) -> None:
        """Tell the listener which runs are not needed."""
        for index, run in enumerate(self._planned):
            needed = index in self.records or (self._index(run) in race.racing and not race.over)
            if not needed and index not in self._left_out:
                self._left_out.add(index)
                self._listener.run_left_out(index)

    def _news(self, before: Race, race: Race) -> str:
        """Say who left at a look and why, which pairs are equivalent, and which are not decided."""
        names = self.design.architectures
        news = [f"{names[index]} leaves because a run failed" for index in race.failed if index not in before.failed]
        for index in before.racing:
            lost = [pair for pair in race.pairs.values() if worse_of(pair) == index]
            better = [names[pair.first if pair.second == index else pair.second] for pair in lost]
            if better:
                news.append(f"{names[index]} leaves, worse than {few(better, _MAX_NAMES)}")
        for key, pair in race.pairs.items():
            if pair.answer == "equivalent" and not (key in before.pairs and is_decided(before.pairs[key])):
                news.append(f"{names[pair.first]} and {names[pair.second]} are equivalent within {self._margin}")
        if race.open:
            pairs = [f"{names[first]} / {names[second]}" for first, second in race.open]
            news.append(f"not decided: {few(pairs, _MAX_NAMES)}")
        return "; ".join(news)

    @property
    def _margin(self) -> str:
        points = 100 * self.design.margin
        return f"{points:g} {'point' if points == 1 else 'points'}"

    def _conclusion(self, race: Race) -> str:
        """Say whether the comparison is decided, and what was saved."""
        total = len(self._planned)
        number = total - len(self.records)
        saved = f"{number} of {total} runs were not needed" if number else f"all {total} runs were made"
        word = "not decided" if race.open else "ended" if race.failed else "decided"
        return f"{word} after {self._seeds(race)}; {saved}"


def _times(needed: float, left: float) -> str:
    """Write both times in the unit in which the needed one is readable."""
    if needed >= 60:
        return f"{needed / 60:,.1f} min, and {left / 60:,.1f} min"
    return f"{needed:.2g} s, and {left:.2g} s"
