"""Cohorts of records that may be compared, and whether their runs saw the same batches."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter, itemgetter

import msgspec

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.sequential import SequentialDesign
from intelbench.records.designs import StoredDesign, designs_of
from intelbench.records.identity import canonical_fields, comparison_digest, digest, facts, machine_digest
from intelbench.records.store import StoredRun
from intelbench.records.types import RunRecord, RunSpec

_BATCHES = ("batch_size", "crop_scale", "crop_ratio", "flip", "augmentation")
"""Fields of a recipe that decide which batches a run sees."""


_ORDER = attrgetter(*(f"record.{name}" for name in ("spec.architecture", "spec.provider", "spec.seed", "run_id")))


@dataclass(frozen=True)
class SeedFairness:
    """Whether the runs of one seed saw the same batches, by their stream digests."""

    seed: int
    num_runs: int
    """Runs of the seed that left a stream digest, failed ones included."""
    num_finished: int
    verified_step: int | None
    """Last step that all finished runs have in common and up to which no two runs differ; `None` for a single run. A
    digest covers all steps before it."""
    digest: str | None
    """Digest at `verified_step`; the last digest where a single run finished."""
    mismatch_step: int | None
    """First step at which two runs differ."""
    complete: bool
    """Whether `verified_step` is the last step of every finished run."""

    @property
    def identical(self) -> bool:
        """Return whether no two runs differ, and finished runs have a step in common."""
        return self.mismatch_step is None and (self.verified_step is not None or self.num_finished < 2)


@dataclass(frozen=True)
class Fairness:
    """Whether all runs of each seed saw the same batches."""

    seeds: tuple[SeedFairness, ...]

    @property
    def identical(self) -> bool:
        """Return whether the runs of every seed saw the same batches."""
        return all(seed.identical for seed in self.seeds)

    @property
    def compared(self) -> bool:
        """Return whether any seed had two finished runs to compare."""
        return any(seed.num_finished > 1 for seed in self.seeds)

    @property
    def verified_step(self) -> int | None:
        """Return the step up to which the batches of every seed with several finished runs were verified."""
        steps = [seed.verified_step for seed in self.seeds if seed.num_finished > 1]
        known = [step for step in steps if step is not None]
        return min(known) if known and len(known) == len(steps) else None

    @property
    def complete(self) -> bool:
        """Return whether the runs of each seed ended at the same step and were verified up to it."""
        return all(seed.complete for seed in self.seeds if seed.num_finished > 1)

    @property
    def mismatched_seeds(self) -> tuple[int, ...]:
        """Return the seeds whose runs differ, or that share no verified step."""
        return tuple(seed.seed for seed in self.seeds if not seed.identical)


@dataclass(frozen=True)
class Cohort:
    """Runs whose accuracies, times and memory may be compared: same conditions, images, machine and libraries.

    Where a suite has a recipe for each architecture, the recipes may differ; reports say so.
    """

    key: str
    """Short digest of what the runs have in common; part of the figures' names."""
    runs: tuple[StoredRun, ...]
    """Sorted by architecture, provider and seed."""
    stored_designs: tuple[StoredDesign, ...] = ()
    """Sequential designs whose first look had only runs that were recorded before."""

    @classmethod
    def of(cls, key: object, runs: Sequence[StoredRun], designs: Sequence[StoredDesign]) -> "Cohort":
        """Return the cohort of runs in any order, which have `key` in common, with the designs of these runs."""
        of_runs = designs_of([run.record.run_id for run in runs], designs)
        return cls(digest(key)[:8], tuple(sorted(runs, key=_ORDER)), of_runs)

    @property
    def spec(self) -> RunSpec:
        """Return the spec of a run, for what all runs of the cohort have in common."""
        return self.runs[0].record.spec

    @property
    def conditions(self) -> Conditions:
        """Return the conditions of the suite; they are those of every run unless architectures have own recipes."""
        return self.spec.suite_conditions or self.spec.conditions

    @cached_property
    def _newest_first(self) -> list[RunRecord]:
        return sorted(self.records, key=attrgetter("started_at", "run_id"), reverse=True)

    @cached_property
    def margins(self) -> tuple[float, ...]:
        """Return the margins of the suites of the runs, each once, that of the newest run first."""
        return tuple(dict.fromkeys(record.spec.margin for record in self._newest_first))

    @cached_property
    def designs(self) -> tuple[SequentialDesign, ...]:
        """Return the sequential designs of its runs, each once, the newest first; empty for a fixed number of seeds."""
        started = [(record.started_at, record.look.design) for record in self.records if record.look]
        started += [(stored.started_at, stored.design) for stored in self.stored_designs]
        return tuple(dict.fromkeys(design for _, design in sorted(started, key=itemgetter(0), reverse=True)))

    @property
    def own_recipes(self) -> bool:
        """Return whether each architecture has its own recipe, so that they differ in more than architecture."""
        return self.spec.suite_conditions is not None

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics of the suites of the runs, each once, that of the newest run first."""
        return tuple(dict.fromkeys(record.spec.metric for record in self._newest_first))

    @cached_property
    def own_settings(self) -> Mapping[str, Mapping[str, object]]:
        """Return the keys of the conditions in which architectures differ, each with its value by architecture."""
        first = {name: records[0] for name, records in self.by_architecture.items()}
        differing = _differing([facts(record.spec, record.environment) for record in first.values()])
        return {
            key.removeprefix("conditions."): dict(zip(first, values, strict=True))
            for key, values in differing.items()
            if key.startswith("conditions.")
        }

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        """Return the budgets of the runs, each amount once."""
        return tuple(dict.fromkeys(record.spec.conditions.budget for record in self.records))

    @property
    def in_seconds(self) -> bool:
        """Return whether a budget is in seconds, so that the accuracies of runs depend on their speed."""
        return any(budget.seconds is not None for budget in self.budgets)

    @cached_property
    def batch_sizes(self) -> tuple[int, ...]:
        """Return the batch sizes of the runs, each size once."""
        return tuple(sorted({record.spec.conditions.recipe.batch_size for record in self.records}))

    @cached_property
    def records(self) -> list[RunRecord]:
        """Return the records of all runs."""
        return [run.record for run in self.runs]

    @cached_property
    def failed(self) -> list[RunRecord]:
        """Return the records with a failure."""
        return [record for record in self.records if record.failure is not None]

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of all runs, failed ones included."""
        return tuple(sorted({record.spec.seed for record in self.records}))

    @cached_property
    def by_architecture(self) -> Mapping[str, list[RunRecord]]:
        """Return the records by the name shown for their architecture.

        Two providers of one name are two architectures, and so are two recipes that a suite has for one architecture.
        """
        providers, recipes = defaultdict(set), defaultdict(set)
        for record in self.records:
            providers[record.spec.architecture].add(record.spec.provider)
            recipes[record.spec.architecture].add(_recipe(record))
        by_name = defaultdict(list)
        for record in self.records:
            name, provider = record.spec.architecture, record.spec.provider
            shown = name if len(providers[name]) == 1 else f"{name} ({provider})"
            by_name[shown if len(recipes[name]) == 1 else f"{shown} (recipe {_recipe(record)})"].append(record)
        return dict(by_name)

    @cached_property
    def fairness(self) -> Fairness:
        """Return whether runs of one seed saw the same batches, of those whose recipes ask for the same batches."""
        comparable = defaultdict(list)
        for record in self.records:
            recipe = record.spec.conditions.recipe
            comparable[record.spec.seed, digest([getattr(recipe, name) for name in _BATCHES])].append(record)
        return Fairness(tuple(_seed_fairness(seed, records) for (seed, _), records in sorted(comparable.items())))


def group(runs: Sequence[StoredRun], designs: Sequence[StoredDesign] = ()) -> list[Cohort]:
    """Return the cohorts of runs, the largest first, each with the sequential designs of its runs.

    Of equally large ones, those in which every random stream differs between the seeds come first, then those with more
    training images. Equal records give equal cohorts in equal order.
    """
    members = defaultdict(list)
    for run in runs:
        members[comparison_digest(run.record.spec), machine_digest(run.record)].append(run)
    return sorted(
        (Cohort.of(key, of_key, designs) for key, of_key in members.items()),
        key=lambda cohort: (-len(cohort.runs), cohort.spec.vary != "all", -cohort.spec.num_train, cohort.key),
    )


def agreeing(runs: Sequence[StoredRun]) -> tuple[list[StoredRun], list[str]]:
    """Return the runs that agree with most about the images of their data digest, and a message for each other run.

    The digest covers classes and splits, so a record that disagrees was changed.
    """
    counts: dict[object, Counter[object]] = defaultdict(Counter)
    for run in runs:
        for key, facts_of_key in _facts_of_images(run).items():
            counts[key][facts_of_key] += 1
    usual = {key: counter.most_common(1)[0][0] for key, counter in counts.items()}
    kept, problems = [], []
    for run in runs:
        if all(usual[key] == facts_of_key for key, facts_of_key in _facts_of_images(run).items()):
            kept.append(run)
        else:
            problems.append(f"{run.path}: has other classes or numbers of images than others of the same data digest")
    return kept, problems


def differing_keys(cohorts: Sequence[Cohort]) -> dict[str, list[object]]:
    """Return the dotted keys of records that differ between cohorts, each with its value in every cohort."""
    differing = _differing([_described(cohort) for cohort in cohorts])
    if "data.digest" not in differing:  # the same images under another path are the same data
        differing.pop("data.source", None)
    return differing


def _differing(described: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """Return the keys whose values are not equal in all mappings, each with its values."""
    keys = dict.fromkeys(key for mapping in described for key in mapping)
    values = {key: [mapping.get(key) for mapping in described] for key in keys}
    return {key: of_key for key, of_key in values.items() if any(value != of_key[0] for value in of_key)}


def _described(cohort: Cohort) -> dict[str, object]:
    """Return what all runs of a cohort have in common, and whether recipes are part of it."""
    spec = msgspec.structs.replace(cohort.spec, conditions=cohort.conditions)
    recipes = {name: _recipe(records[0]) for name, records in cohort.by_architecture.items()}
    own = f"each its own ({digest(recipes)[:8]})" if cohort.own_recipes else "one for all"
    return {**facts(spec, cohort.runs[0].record.environment), "recipes": own}


def _recipe(record: RunRecord) -> str:
    """Return a short digest of the conditions if the architecture has its own; empty if not."""
    return digest(canonical_fields(record.spec.conditions))[:8] if record.spec.suite_conditions else ""


def _facts_of_images(run: StoredRun) -> dict[object, object]:
    """Return what runs with the same data set, and what runs with the same split of it, have in common."""
    data = run.record.spec.data
    return {
        data.comparable_digest: (data.class_names, data.num_test),
        (data.comparable_digest, data.digest): (data.num_train, data.num_validation),
    }


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
