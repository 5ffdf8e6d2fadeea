"""Make the list of a suite's runs, with the records that exist already."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from math import inf
from pathlib import Path

import msgspec

from intelbench.architectures.hub import OnDownload
from intelbench.architectures.registry import Architecture, ModelRequest, contained_unless_built_in, find
from intelbench.architectures.weights import PUBLISHED, Source, check, obtain
from intelbench.config.conditions import Conditions, Override, Suite
from intelbench.config.fields import CheckpointTime, KeepWeights, Rerun
from intelbench.config.suites import conditions_of
from intelbench.config.validation import dotted
from intelbench.data.augment import require_transforms
from intelbench.data.dataset import Dataset, require_a_batch
from intelbench.errors import UserError, plural
from intelbench.orchestration.job import Job, recorded
from intelbench.orchestration.plugin_files import plugins_of_run
from intelbench.orchestration.process import Limits
from intelbench.profiling.device import device_for
from intelbench.records.identity import changes, digest, facts_of_run, record_digest, run_id
from intelbench.records.npz import MAX_UNPACKED_BYTES
from intelbench.records.types import Environment, Execution, RunRecord, RunSpec
from intelbench.records.workspace import Workspace, workspaces
from intelbench.training.optimizer import require_optimizer

_ARITHMETIC = ("precision", "memory_format", "fused_optimizer", "deterministic", "step")
"""Conditions that change the bits of a result, but not the experiment."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of a plan that do not change the conditions of its runs."""

    rerun: Rerun = "none"
    checkpoint: CheckpointTime | None = None
    """When runs are saved; `None` for the default of a run."""
    limits: Limits = field(default_factory=Limits)
    on_download: OnDownload = lambda *_: None
    origin: str = ""
    """Name or file of the suite, for messages; empty for the name."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of the suite."""

    job: Job
    earlier: RunRecord | None
    """The record that existed when the run was planned."""

    @property
    def pending(self) -> bool:
        """Return whether the run was to be executed when it was planned."""
        return self.earlier is None or record_digest(self.earlier) == self.job.replaces


def plan(
    suite: Suite,
    dataset: Dataset,
    execution: Execution,
    environment: Environment,
    *,
    runs: Path,
    options: PlanOptions = PlanOptions(),
) -> list[PlannedRun]:
    """Return every run of the suite, seed by seed, so that an interrupted comparison is complete for its first seeds.

    A precision of `auto` becomes that of the device. Weights are downloaded here, before any run.

    Raises:
        UserError: an architecture is not known, not installed or needs larger images; an optimizer or a transform is
            not known or does not take its arguments; a class has too few images; there are no such weights; a batch is
            larger than the training split; or records would be too large.
    """
    if suite.precision == "auto":
        suite = msgspec.structs.replace(suite, precision=device_for(execution).fastest_precision)
    origin = options.origin or suite.name
    architectures = architectures_of(suite, origin)
    _require_readable(suite, origin, dataset)
    specs = _specs(suite, origin, dataset, architectures, execution)
    datasets = dataset.of_runs(specs)
    num_classes = len(dataset.facts.class_names)
    sources = {}
    for architecture in architectures:
        with _override_named(suite, origin, architecture.name):
            conditions = conditions_of(suite, architecture.name)
            sources[architecture.name] = _weights(architecture, conditions, num_classes, options.on_download)
    planned = []
    for draft, drawn in zip(specs, datasets, strict=True):
        source = sources[draft.architecture]
        weights = source.facts if source else None
        spec = msgspec.structs.replace(draft, data=drawn.facts, weights=weights)
        with _override_named(suite, origin, spec.architecture):
            _require_a_batch(spec)
        earlier = recorded(runs / (name := run_id(spec, environment)), options.rerun)
        repeats = options.rerun == "all" or (options.rerun == "failed" and earlier and earlier.failure)
        job = Job(
            run_id=name,
            spec=spec,
            environment=environment,
            dataset=drawn,
            plugins=plugins_of_run(spec.architecture, spec.conditions.recipe),
            runs=str(runs.absolute()),
            weights=str(source.path) if source else None,
            keep_weights=_keep_weights(suite, spec),
            checkpoint=options.checkpoint,
            limits=options.limits,
            rerun=options.rerun,
            replaces=record_digest(earlier) if earlier and repeats else None,
        )
        planned.append(PlannedRun(job, earlier))
    return planned


def _specs(
    suite: Suite, origin: str, dataset: Dataset, architectures: Mapping[Architecture, str], execution: Execution
) -> list[RunSpec]:
    """Return the runs, seed by seed, before weights are known and images are chosen."""
    conditions, optimizers, transforms = {}, {}, {}
    for name in (each.name for each in architectures):
        with _override_named(suite, origin, name):
            conditions[name] = _conditions(name, suite, dataset, execution.gpus)
            optimizers[name] = require_optimizer(conditions[name].recipe)
            transforms[name] = require_transforms(conditions[name].recipe)
    limits = [None if limit == "all" else limit for limit in suite.images_per_class]
    return [
        RunSpec(
            architecture=architecture.name,
            provider=provider,
            seed=seed,
            suite=suite.name,
            data=dataset.facts,
            conditions=conditions[architecture.name],
            execution=execution,
            optimizer_provider=optimizers[architecture.name],
            transform_providers=transforms[architecture.name],
            suite_conditions=suite.conditions if suite.overrides else None,
            images_per_class=limit,
            vary=vary,
            fixed_seed=None if vary == "all" else suite.seeds[0],
            margin=suite.margin_fraction,
            metric=suite.metric,
        )
        for seed, vary, limit in dict.fromkeys(product(suite.seeds, suite.sources, limits))  # a suite may repeat values
        for architecture, provider in architectures.items()
    ]


def architectures_of(suite: Suite, origin: str) -> dict[Architecture, str]:
    """Return the architectures of the suite and their providers; names in `overrides` must not be aliases.

    Messages call the suite `origin`.

    Raises:
        UserError: an architecture is not known, not installed or needs larger images.
    """
    for name in suite.overrides:
        if (full := find(name)[0].name) != name:
            wrong, right = dotted(("overrides", name)), dotted(("overrides", full))
            raise UserError(f"suite {origin}: `{wrong}` is another name of {full}. Write [{right}]")
    architectures = dict(find(name) for name in dict.fromkeys(suite.architectures))
    for architecture in architectures:
        architecture.require_size(suite.image_size)
        architecture.require_installed()
    return architectures


@contextmanager
def _override_named(suite: Suite, origin: str, name: str) -> Iterator[None]:
    """Run the block; its error names the suite, and what the suite overrides for the architecture."""
    try:
        yield
    except UserError as error:
        override = suite.overrides.get(name, Override())
        keys = [*(["budget"] if override.budget else []), *(f"recipe.{key}" for key in override.recipe)]
        also = f", where [{dotted(('overrides', name))}] sets {', '.join(keys)}" if keys else ""
        raise UserError(f"suite {origin}{also}: {error}") from error


def _conditions(name: str, suite: Suite, dataset: Dataset, gpus: int) -> Conditions:
    conditions = conditions_of(suite, name)
    if len(dataset.train) < conditions.recipe.batch_size:
        raise UserError(
            f"`recipe.batch_size` is {conditions.recipe.batch_size}, more than the "
            f"{plural(len(dataset.train), 'training image')}"
        )
    if (shards := conditions.recipe.shards) % gpus:
        fewer = max(number for number in range(1, gpus) if shards % number == 0)
        raise UserError(
            f"--gpus {gpus}: `recipe.shards` is {shards}. Expected a number of GPUs that divides it. Try `shards = "
            f"{gpus}` in the suite, which is another experiment than `shards = {shards}`, or --gpus {fewer}"
        )
    return conditions


def _require_readable(suite: Suite, origin: str, dataset: Dataset) -> None:
    """Raise a `UserError` if records would be larger than a report can read."""
    train = min(len(dataset.train), suite.training_evaluation_images or len(dataset.train))
    evaluated = [(train, dataset.train), *((len(split), split) for split in (dataset.validation, dataset.test))]
    num_bytes = 2 * suite.evaluation_points * len(dataset.validation)
    for num_images, split in evaluated:  # logits and ids
        num_bytes += num_images * 4 * (len(dataset.facts.class_names) + max(map(len, split.ids), default=0))
    if num_bytes > MAX_UNPACKED_BYTES:
        raise UserError(
            f"suite {origin}: logits and ids of its images would take {num_bytes:,} bytes in each record, and at "
            f"most {MAX_UNPACKED_BYTES:,} can be read; set `training_evaluation_images`, or use fewer images or classes"
        )


def _weights(
    architecture: Architecture, conditions: Conditions, num_classes: int, on_download: OnDownload
) -> Source | None:
    """Return the weights that the architecture starts from, after checking that they fit the network.

    Published weights are checked only where they have to be converted, such as to another image size.
    """
    source = obtain(architecture, conditions.recipe.weights, on_download)
    if source and (conditions.recipe.weights not in PUBLISHED or architecture.convert):
        with contained_unless_built_in(architecture.name):
            check(architecture, ModelRequest(num_classes=num_classes, image_size=conditions.image_size), source.path)
    return source


def _keep_weights(suite: Suite, spec: RunSpec) -> KeepWeights:
    """Return what the suite says about the weights of a run.

    With `best`, the runs compete that are trained on the most images of each class, with the first word of `vary`: the
    others are there to be compared, and not to be used.
    """
    most = max(inf if number == "all" else number for number in suite.images_per_class)
    own = inf if spec.images_per_class is None else spec.images_per_class
    competes = own == most and spec.vary == suite.sources[0]
    return suite.keep_weights if competes or suite.keep_weights == "all" else "none"


def _require_a_batch(spec: RunSpec) -> None:
    """Raise a `UserError` if `images_per_class`, or the split of the seed, leaves less than one batch."""
    batch_size = spec.conditions.recipe.batch_size
    if spec.images_per_class is not None:
        require_a_batch(spec.images_per_class, len(spec.data.class_names), batch_size)
    if spec.num_train < batch_size:
        raise UserError(
            f"with `vary` {spec.vary!r}, seed {spec.seed} leaves {plural(spec.num_train, 'training image')}, less than "
            f"one batch; `recipe.batch_size` is {batch_size}; give a smaller one"
        )


def unresumable(planned: Sequence[PlannedRun], environment: Environment) -> dict[Workspace, str]:
    """Return the checkpoints of pending runs that cannot be resumed, each with the conditions that have changed.

    These conditions change the bits of a result. A resumed run would equal neither an uninterrupted run under the old
    conditions nor one under the new conditions.
    """
    changed = {}
    pending = {_bare(run.job.spec): run for run in planned if run.pending}
    for workspace in workspaces(planned[0].job.workspace.runs):
        checkpoint = workspace.checkpoint()
        run = pending.get(_bare(checkpoint.spec)) if checkpoint else None
        if checkpoint is None or run is None or workspace == run.job.workspace or workspace.locked:
            continue
        spec = run.job.spec
        changed[workspace] = f"{spec.title}, after step {checkpoint.step}: " + changes(
            checkpoint.facts, facts_of_run(spec, environment)
        )
    return changed


def _bare(spec: RunSpec) -> str:
    """Return a digest of the run without the conditions that only change bits."""
    conditions = {key: value for key, value in msgspec.to_builtins(spec.conditions).items() if key not in _ARITHMETIC}
    shared = spec.suite_conditions
    varied = spec.vary, spec.fixed_seed
    return digest((spec.architecture, spec.seed, *varied, spec.data.digest, spec.images_per_class, conditions, shared))
