"""Which records may stand in one table, and whether their runs saw the same batches."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from intelbench.records.identity import comparison_digest, digest, facts, machine_digest
from intelbench.records.store import StoredRun
from intelbench.records.types import RunRecord, RunSpec


@dataclass(frozen=True)
class SeedFairness:
    """Whether the runs of one seed saw the same batches, as far as their stream digests tell."""

    seed: int
    num_runs: int
    """Runs of the seed that left a stream digest, failed ones included."""
    num_finished: int
    verified_step: int | None
    """Last step that all finished runs have in common and up to which no two runs differ; `None` for a single run. A
    digest covers all steps before it."""
    digest: str | None
    """The digest at `verified_step`; where a single run finished, its last one."""
    mismatch_step: int | None
    """First step at which two runs differ."""
    complete: bool
    """Whether `verified_step` is the last step of every finished run."""

    @property
    def identical(self) -> bool:
        """No two runs differ, and where several finished they have a step in common."""
        return self.mismatch_step is None and (self.verified_step is not None or self.num_finished < 2)


@dataclass(frozen=True)
class Fairness:
    """Whether all runs of each seed saw the same batches."""

    seeds: tuple[SeedFairness, ...]

    @property
    def identical(self) -> bool:
        """True for every seed."""
        return all(seed.identical for seed in self.seeds)

    @property
    def compared(self) -> bool:
        """Whether any seed had two finished runs to compare."""
        return any(seed.num_finished > 1 for seed in self.seeds)

    @property
    def verified_step(self) -> int | None:
        """The step up to which the batches of every seed with several finished runs were verified."""
        steps = [seed.verified_step for seed in self.seeds if seed.num_finished > 1]
        known = [step for step in steps if step is not None]
        return min(known) if known and len(known) == len(steps) else None

    @property
    def complete(self) -> bool:
        """Whether the runs of each seed ended at the same step and were verified up to it."""
        return all(seed.complete for seed in self.seeds if seed.num_finished > 1)

    @property
    def mismatched_seeds(self) -> tuple[int, ...]:
        """Seeds whose runs differ, or that share no verified step."""
        return tuple(seed.seed for seed in self.seeds if not seed.identical)


@dataclass(frozen=True)
class Cohort:
    """Runs whose accuracies, times and memory may be compared: same conditions, images, machine and libraries."""

    key: str
    """Short digest of what the runs have in common; part of the figures' names."""
    runs: tuple[StoredRun, ...]
    """Ordered by architecture, provider and seed, whatever the order of the files."""

    @property
    def spec(self) -> RunSpec:
        """A run's spec, for what all runs of the cohort have in common."""
        return self.runs[0].record.spec

    @cached_property
    def records(self) -> list[RunRecord]:
        """All records."""
        return [run.record for run in self.runs]

    @cached_property
    def finished(self) -> list[RunRecord]:
        """Records with measurements."""
        return [record for record in self.records if record.measurements is not None]

    @cached_property
    def failed(self) -> list[RunRecord]:
        """Records with a failure."""
        return [record for record in self.records if record.failure is not None]

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Every seed that was tried."""
        return tuple(sorted({record.spec.seed for record in self.records}))

    @cached_property
    def by_architecture(self) -> Mapping[str, list[RunRecord]]:
        """Records by the name shown for their architecture; two providers of one name are two architectures."""
        providers = defaultdict(set)
        for record in self.records:
            providers[record.spec.architecture].add(record.spec.provider)
        found = defaultdict(list)
        for record in self.records:
            name, provider = record.spec.architecture, record.spec.provider
            found[name if len(providers[name]) == 1 else f"{name} ({provider})"].append(record)
        return dict(found)

    @cached_property
    def finished_seeds(self) -> Mapping[str, frozenset[int]]:
        """Seeds that each architecture finished; architectures that finished none are left out."""
        seeds = {
            name: frozenset(record.spec.seed for record in records if record.measurements is not None)
            for name, records in self.by_architecture.items()
        }
        return {name: finished for name, finished in seeds.items() if finished}

    @cached_property
    def common_seeds(self) -> tuple[int, ...]:
        """Seeds that every architecture with a finished run has finished: the ones a ranking may use."""
        return tuple(sorted(frozenset.intersection(*self.finished_seeds.values()))) if self.finished_seeds else ()

    @cached_property
    def fairness(self) -> Fairness:
        """Compare the stream digests of each seed's runs."""
        by_seed = defaultdict(list)
        for record in self.records:
            by_seed[record.spec.seed].append(record)
        return Fairness(tuple(_seed_fairness(seed, records) for seed, records in sorted(by_seed.items())))


def group(runs: Sequence[StoredRun]) -> list[Cohort]:
    """Sort runs into cohorts, the largest first; equal records give equal cohorts in equal order."""
    members = defaultdict(list)
    for run in runs:
        members[comparison_digest(run.record.spec), machine_digest(run.record)].append(run)
    cohorts = [Cohort(digest(key)[:8], tuple(sorted(found, key=_place))) for key, found in members.items()]
    return sorted(cohorts, key=lambda cohort: (-len(cohort.runs), cohort.key))


def agreeing(runs: Sequence[StoredRun]) -> tuple[list[StoredRun], list[str]]:
    """Keep the runs that say of the images of one digest what most say, and name the others.

    The digest covers classes and splits, so a record that disagrees was changed.
    """
    facts: dict[str, Counter[object]] = defaultdict(Counter)
    for run in runs:
        facts[run.record.spec.data.digest][_facts_of_images(run)] += 1
    kept, problems = [], []
    for run in runs:
        (usual, _), *_ = facts[run.record.spec.data.digest].most_common(1)
        if _facts_of_images(run) == usual:
            kept.append(run)
        else:
            problems.append(f"{run.path}: has other classes or numbers of images than others of the same data digest")
    return kept, problems


def differing_keys(cohorts: Sequence[Cohort]) -> dict[str, list[object]]:
    """What sets cohorts apart: dotted key of the record -> its value in each cohort, for the keys that differ."""
    described = [facts(cohort.spec, cohort.runs[0].record.environment) for cohort in cohorts]
    keys = list(dict.fromkeys(key for fact in described for key in fact))
    found = {key: [fact.get(key) for fact in described] for key in keys}
    differing = {key: values for key, values in found.items() if any(value != values[0] for value in values)}
    if "data.digest" not in differing:  # the same images under another path are the same data
        differing.pop("data.source", None)
    return differing


def _facts_of_images(run: StoredRun) -> tuple[object, ...]:
    data = run.record.spec.data
    return (data.class_names, data.num_train, data.num_validation, data.num_test)


def _place(run: StoredRun) -> tuple[object, ...]:
    spec = run.record.spec
    return (spec.architecture, spec.provider, spec.seed, run.record.run_id)


def _seed_fairness(seed: int, records: Sequence[RunRecord]) -> SeedFairness:
    streams = [record.stream_digests for record in records if record.stream_digests]
    finished = [record.stream_digests for record in records if record.measurements is not None]
    steps = sorted({step for stream in streams for step in stream})
    differing = (step for step in steps if len({stream[step] for stream in streams if step in stream}) > 1)
    mismatch = next(differing, None)
    common = [
        step for step in steps if all(step in stream for stream in finished) and (mismatch is None or step < mismatch)
    ]
    verified = common[-1] if common and finished else None
    return SeedFairness(
        seed=seed,
        num_runs=len(streams),
        num_finished=len(finished),
        verified_step=verified if len(finished) > 1 else None,
        digest=None if verified is None else finished[0][verified],
        mismatch_step=mismatch,
        complete=verified is not None and all(max(stream) == verified for stream in finished),
    )
