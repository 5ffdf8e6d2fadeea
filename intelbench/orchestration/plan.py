"""From a suite to the list of its runs, and which of them are recorded already."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from pathlib import Path
from typing import Literal

import msgspec

from intelbench.architectures.registry import Architecture, ModelRequest, contained_unless_built_in, find
from intelbench.architectures.weights import PUBLISHED, OnDownload, Source, check, obtain
from intelbench.config.conditions import Conditions, Suite
from intelbench.config.suites import conditions_of
from intelbench.data.dataset import Dataset
from intelbench.errors import UserError
from intelbench.orchestration.job import Job
from intelbench.orchestration.plugin_files import plugins_of_run
from intelbench.profiling.device import device_for
from intelbench.records.identity import changes, digest, facts_of_run, run_id
from intelbench.records.npz import MAX_UNPACKED_BYTES
from intelbench.records.store import read_run
from intelbench.records.types import Environment, Execution, RunRecord, RunSpec
from intelbench.records.workspace import Workspace, workspaces
from intelbench.training.checkpoint import CheckpointTime
from intelbench.training.optimizer import require_optimizer

Rerun = Literal["none", "interrupted", "failed", "all"]
"""Which runs are repeated: those with a checkpoint, from their first step; failed ones; or all that are recorded."""
_ARITHMETIC = ("precision", "memory_format", "fused_optimizer", "deterministic", "step")
"""Conditions that change the bits of a result, and not what it is a result of."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of a plan that do not change what a run is."""

    rerun: Rerun = "none"
    checkpoint: CheckpointTime | None = None
    """When runs are saved; `None` leaves that to the run."""
    on_download: OnDownload = lambda *_: None
    """Called during the download of weights."""


DEFAULTS = PlanOptions()


@dataclass(frozen=True)
class PlannedRun:
    """A run of the suite."""

    job: Job
    found: RunRecord | None
    """Its record, where there was one when it was planned."""
    rerun: Rerun

    @property
    def workspace(self) -> Workspace:
        """Where it is carried out."""
        return Workspace(Path(self.job.runs), self.job.run_id)

    @property
    def pending(self) -> bool:
        """Whether it was to be carried out when it was planned."""
        failed = self.found is not None and self.found.failure is not None
        return self.found is None or self.rerun == "all" or (self.rerun == "failed" and failed)

    def recorded(self) -> RunRecord | None:
        """Its record, where there is one that stands; another process may have made it since it was planned."""
        record = _record(self.workspace.target, self.rerun)
        return None if self.pending and record == self.found else record


def plan(
    suite: Suite,
    dataset: Dataset,
    execution: Execution,
    environment: Environment,
    *,
    runs: Path,
    options: PlanOptions = DEFAULTS,
) -> list[PlannedRun]:
    """Every run of the suite, seed by seed, so that an interrupted comparison is complete for its first seeds.

    A precision of `auto` becomes that of the device. The weights that the recipe asks for are fetched here, before any
    run.

    Raises:
        UserError: an architecture is not known, not installed or needs larger images, an optimizer is not known or does
            not take its arguments, a class has too few images, there are no such weights, a batch is larger than the
            training split, or a record would be larger than is read.
    """
    if suite.precision == "auto":
        suite = msgspec.structs.replace(suite, precision=device_for(execution).fastest_precision)
    found = architectures_of(suite)
    _require_readable(suite, dataset)
    num_classes = len(dataset.facts.class_names)
    conditions = {each.name: _conditions(each.name, suite, dataset) for each in found}
    optimizers = {name: require_optimizer(each.recipe) for name, each in conditions.items()}
    images = {
        (seed, number): dataset.drawn(None if number == "all" else number, seed)
        for seed, number in product(suite.seeds, suite.images_per_class)
    }
    sources = {each.name: _weights(each, conditions[each.name], num_classes, options.on_download) for each in found}
    planned = []
    for (seed, number), drawn in images.items():
        for architecture, provider in found.items():
            source = sources[architecture.name]
            spec = RunSpec(
                architecture=architecture.name,
                provider=provider,
                seed=seed,
                suite=suite.name,
                data=dataset.facts,
                conditions=conditions[architecture.name],
                execution=execution,
                optimizer_provider=optimizers[architecture.name],
                weights=source.facts if source else None,
                images_per_class=None if number == "all" else number,
                suite_conditions=suite.conditions if suite.overrides else None,
            )
            _require_a_batch(spec)
            job = Job(
                run_id=run_id(spec, environment),
                spec=spec,
                dataset=drawn,
                plugins=plugins_of_run(architecture.name, spec.conditions.recipe.optimizer),
                runs=str(runs.absolute()),
                weights=str(source.path) if source else None,
                checkpoint=options.checkpoint,
            )
            planned.append(PlannedRun(job, _record(runs / job.run_id, options.rerun), options.rerun))
    return planned


def architectures_of(suite: Suite) -> dict[Architecture, str]:
    """Return the architectures of the suite and who provides each; `overrides` has the names that records have.

    Raises:
        UserError: an architecture is not known, not installed or needs larger images.
    """
    for name in suite.overrides:
        if (full := find(name)[0].name) != name:
            raise UserError(f"suite {suite.name}: `overrides.{name}` is another name of {full}; write overrides.{full}")
    found = dict(find(name) for name in dict.fromkeys(suite.architectures))
    for architecture in found:
        architecture.require_size(suite.image_size)
        architecture.require_installed()
    return found


def _conditions(name: str, suite: Suite, dataset: Dataset) -> Conditions:
    """Under which the architecture of that name runs."""
    conditions = conditions_of(suite, name)
    if len(dataset.train) < conditions.recipe.batch_size:
        raise UserError(
            f"suite {suite.name}: `overrides.{name}.recipe.batch_size` is {conditions.recipe.batch_size}, more than "
            f"the {len(dataset.train)} training images"
        )
    return conditions


def _require_readable(suite: Suite, dataset: Dataset) -> None:
    """Raise a `UserError` if what a run says of its images were more than a report reads of it."""
    train = min(len(dataset.train), suite.training_evaluation_images or len(dataset.train))
    evaluated = [(train, dataset.train), *((len(split), split) for split in (dataset.validation, dataset.test))]
    num_bytes = 2 * suite.evaluation_points * len(dataset.validation)
    for number, split in evaluated:  # logits and names
        num_bytes += number * 4 * (len(dataset.facts.class_names) + max(map(len, split.ids), default=0))
    if num_bytes > MAX_UNPACKED_BYTES:
        raise UserError(
            f"suite {suite.name}: logits and names of its images would take {num_bytes:,} bytes in each record, and at "
            f"most {MAX_UNPACKED_BYTES:,} are read; set `training_evaluation_images`, or use fewer images or classes"
        )


def _weights(
    architecture: Architecture, conditions: Conditions, num_classes: int, on_download: OnDownload
) -> Source | None:
    """What the architecture starts from; a file of the user's own is held against the network at once."""
    source = obtain(architecture, conditions.recipe.weights, on_download)
    if source and conditions.recipe.weights not in PUBLISHED:
        with contained_unless_built_in(architecture.name):
            check(architecture, ModelRequest(num_classes=num_classes, image_size=conditions.image_size), source.path)
    return source


def _require_a_batch(spec: RunSpec) -> None:
    """Of few images; that all of them are one was seen to when they were prepared."""
    batch_size, num_classes = spec.conditions.recipe.batch_size, len(spec.data.class_names)
    if spec.images_per_class and spec.num_train < batch_size:
        raise UserError(
            f"suite {spec.suite}: `images_per_class` {spec.images_per_class} is {spec.num_train} training images of "
            f"{num_classes} classes, less than one batch; `recipe.batch_size` is {batch_size}; give at least "
            f"{ceil(batch_size / num_classes)} images a class, or a batch size of {spec.num_train} at most"
        )


def unresumable(planned: Sequence[PlannedRun], environment: Environment) -> dict[Workspace, str]:
    """Checkpoints of pending runs that were written under conditions that decide the bits and have changed since.

    With what has changed, in words. Going on from them would give other results than either way of carrying out the
    whole run.
    """
    found = {}
    pending = {_bare(run.job.spec): run for run in planned if run.pending}
    for workspace in workspaces(planned[0].workspace.runs):
        checkpoint = workspace.checkpoint()
        run = pending.get(_bare(checkpoint.spec)) if checkpoint else None
        if checkpoint is None or run is None or workspace == run.workspace or workspace.locked:
            continue
        spec = run.job.spec
        found[workspace] = f"{spec.title}, after step {checkpoint.step}: " + changes(
            checkpoint.facts, facts_of_run(spec, environment)
        )
    return found


def _bare(spec: RunSpec) -> str:
    """The run, however it is carried out."""
    conditions = {key: value for key, value in msgspec.to_builtins(spec.conditions).items() if key not in _ARITHMETIC}
    shared = spec.suite_conditions
    return digest((spec.architecture, spec.seed, spec.data.digest, spec.images_per_class, conditions, shared))


def _record(path: Path, rerun: Rerun) -> RunRecord | None:
    """The record, if there is one; where runs are to be made again, one that is damaged or was changed is none."""
    if not os.path.lexists(path):
        return None
    replaces = rerun in ("failed", "all")
    try:
        stored = read_run(path)
        return stored.record if not replaces or stored.unchanged() else None
    except UserError as error:
        if not replaces:
            raise UserError(f"{error}; --rerun failed repeats the run and replaces its record") from error
        return None
