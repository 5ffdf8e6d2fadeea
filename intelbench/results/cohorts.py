"""Which records may stand in one table, and whether their runs saw the same batches."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.records.identity import canonical_fields, comparison_digest, digest, facts, machine_digest
from intelbench.records.store import StoredRun
from intelbench.records.types import RunRecord, RunSpec

_BATCHES = ("batch_size", "crop_scale", "crop_ratio", "flip", "augmentation")
"""What of a recipe decides which batches a run sees."""


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
    """Runs whose accuracies, times and memory may be compared: same conditions, images, machine and libraries.

    Or each architecture under the recipe of its own that one suite has for it; then it is said wherever they are.
    """

    key: str
    """Short digest of what the runs have in common; part of the figures' names."""
    runs: tuple[StoredRun, ...]
    """Ordered by architecture, provider and seed, whatever the order of the files."""

    @property
    def spec(self) -> RunSpec:
        """A run's spec, for what all runs of the cohort have in common."""
        return self.runs[0].record.spec

    @property
    def conditions(self) -> Conditions:
        """What the suite says for all; of every run, where architectures have no recipes of their own."""
        return self.spec.suite_conditions or self.spec.conditions

    @property
    def own_recipes(self) -> bool:
        """Whether each architecture has its own recipe, so that they differ in more than architecture."""
        return self.spec.suite_conditions is not None

    @cached_property
    def own_settings(self) -> Mapping[str, Mapping[str, object]]:
        """Dotted keys of the conditions -> value by architecture, for the keys in which architectures differ."""
        described = {
            name: facts(records[0].spec, records[0].environment) for name, records in self.by_architecture.items()
        }
        keys = dict.fromkeys(key for each in described.values() for key in each if key.startswith("conditions."))
        values = {key: {name: each.get(key) for name, each in described.items()} for key in keys}
        return {
            key.removeprefix("conditions."): each
            for key, each in values.items()
            if any(value != next(iter(each.values())) for value in each.values())
        }

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        """Of the runs, each amount once."""
        return tuple(dict.fromkeys(record.spec.conditions.budget for record in self.records))

    @cached_property
    def batch_sizes(self) -> tuple[int, ...]:
        """Of the runs, each size once."""
        return tuple(sorted({record.spec.conditions.recipe.batch_size for record in self.records}))

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
        """Records by the name shown for their architecture.

        Two providers of one name are two architectures, and so are two recipes, where the suite's own was changed.
        """
        providers, recipes = defaultdict(set), defaultdict(set)
        for record in self.records:
            providers[record.spec.architecture].add(record.spec.provider)
            recipes[record.spec.architecture].add(_recipe(record))
        found = defaultdict(list)
        for record in self.records:
            name, provider = record.spec.architecture, record.spec.provider
            shown = name if len(providers[name]) == 1 else f"{name} ({provider})"
            found[shown if len(recipes[name]) == 1 else f"{shown} (recipe {_recipe(record)})"].append(record)
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
        """Compare the stream digests of each seed's runs, as far as their recipes are to give the same batches."""
        to_agree = defaultdict(list)
        for record in self.records:
            recipe = record.spec.conditions.recipe
            to_agree[record.spec.seed, digest([getattr(recipe, name) for name in _BATCHES])].append(record)
        return Fairness(tuple(_seed_fairness(seed, records) for (seed, _), records in sorted(to_agree.items())))


def group(runs: Sequence[StoredRun]) -> list[Cohort]:
    """Sort runs into cohorts, the largest first, of equally large ones that with the most training images.

    Equal records give equal cohorts in equal order.
    """
    members = defaultdict(list)
    for run in runs:
        members[comparison_digest(run.record.spec), machine_digest(run.record)].append(run)
    cohorts = [Cohort(digest(key)[:8], tuple(sorted(found, key=_place))) for key, found in members.items()]
    return sorted(cohorts, key=lambda cohort: (-len(cohort.runs), -cohort.spec.num_train, cohort.key))


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
    described = [_described(cohort) for cohort in cohorts]
    keys = list(dict.fromkeys(key for fact in described for key in fact))
    found = {key: [fact.get(key) for fact in described] for key in keys}
    differing = {key: values for key, values in found.items() if any(value != values[0] for value in values)}
    if "data.digest" not in differing:  # the same images under another path are the same data
        differing.pop("data.source", None)
    return differing


def _described(cohort: Cohort) -> dict[str, object]:
    """What all runs of a cohort have in common, and whether recipes are part of it."""
    spec = msgspec.structs.replace(cohort.spec, conditions=cohort.conditions)
    recipes = {name: _recipe(records[0]) for name, records in cohort.by_architecture.items()}
    own = f"each its own ({digest(recipes)[:8]})" if cohort.own_recipes else "one for all"
    return {**facts(spec, cohort.runs[0].record.environment), "recipes": own}


def _recipe(record: RunRecord) -> str:
    """Short digest of the conditions, where they are the architecture's own."""
    return digest(canonical_fields(record.spec.conditions))[:8] if record.spec.suite_conditions else ""


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
