"""`intelbench verify`: repeat the first steps of a recorded run in a new process, and compare with the record."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from intelbench.architectures.registry import find
from intelbench.architectures.weights import obtain
from intelbench.data.augment import TRANSFORMS
from intelbench.data.dataset import Dataset, prepare
from intelbench.data.layout import find_layout
from intelbench.data.sources import location_of, source_provider
from intelbench.errors import UserError, printable
from intelbench.orchestration.job import Job
from intelbench.orchestration.plugin_files import load_plugins_of_run, plugins_of_run
from intelbench.orchestration.process import Limits, Process, Starter, take_request
from intelbench.plugins.loading import load_plugins
from intelbench.plugins.providers import BUILT_IN, file_of
from intelbench.plugins.registry import Registry
from intelbench.profiling.device import is_available
from intelbench.profiling.environment import choose_execution, read_environment
from intelbench.profiling.steps import LapClock
from intelbench.records.identity import changes, facts_of_run
from intelbench.records.store import (
    RECORD_FILE,
    TRACES_FILE,
    StoredRun,
    Traces,
    read_with_traces,
    record_folders,
    runs_folder,
)
from intelbench.records.types import RunRecord, RunSpec
from intelbench.results.verification import Verification
from intelbench.training.budget import TrainingBudget
from intelbench.training.loop import train
from intelbench.training.optimizer import OPTIMIZERS
from intelbench.training.precision import configure
from intelbench.training.setup import build_training_setup

_COMPARED = ("step_loss", "gradient_norm")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Options of `intelbench verify`."""

    record: Path
    steps: int
    """Largest number of steps to repeat."""
    data: str | None
    """Where the images are now; `None` for the place in the record."""
    plugins: tuple[Path, ...]
    cache_folder: Path


class Replay(Struct, frozen=True, kw_only=True):
    """The request to the process."""

    job: Job
    rates: tuple[float, ...]
    """Learning rate of each step."""
    num_frozen_steps: int | None = None
    """Steps in which the backbone was frozen; `None` if it was frozen in all of them or in none."""


class Replayed(Struct, frozen=True, kw_only=True):
    """The answer of the process."""

    step_loss: bytes
    """Bytes of float64, since JSON has no infinite numbers; `gradient_norm` too."""
    gradient_norm: bytes
    stream_digests: dict[int, str]
    fallback: str | None = None
    """Why the steps were eager although the conditions ask for others."""


def verify(request: Request, starter: Starter, on_note: Callable[[str], None]) -> Verification:
    """Repeat the first steps of a run on this machine, and compare with the record.

    `on_note` is called with what was damaged in the cache.

    Raises:
        UserError: the record cannot be read, was changed or has no step; the images are not those of the run; the
            architecture or a plug-in is missing; or the steps cannot be repeated.
    """
    if not os.path.lexists(request.record / RECORD_FILE):
        raise UserError(_no_run(request.record))
    stored, traces = read_with_traces(request.record.absolute())
    (recorded, num_frozen_steps), spec = _first_steps(request, traces), stored.record.spec
    load_plugins(request.plugins)
    job = _job(request, stored)
    for note in job.dataset.notes:
        on_note(note)
    replay = Replay(
        job=_as_executed(job, stored.record),
        rates=tuple(recorded["learning_rate"].tolist()),
        num_frozen_steps=num_frozen_steps,
    )
    answers: list[bytes] = []
    with Process("intelbench.orchestration.verify", replay, starter, Limits()) as process:
        answers += process.answers()
    if process.returncode or not answers:
        raise UserError(f"{request.record}: its steps cannot be repeated here: {process.reason}")
    replayed = msgspec.json.decode(answers[-1], type=Replayed)
    common = sorted(set(replayed.stream_digests) & set(stored.record.stream_digests))
    same = [step for step in common if replayed.stream_digests[step] == stored.record.stream_digests[step]]
    differences = np.array([_relative(np.frombuffer(getattr(replayed, name)), recorded[name]) for name in _COMPARED])
    differing = np.flatnonzero(differences.any(axis=0))
    changed = [changes(facts_of_run(spec, stored.record.environment), facts_of_run(job.spec, job.environment))]
    if replayed.fallback:
        changed.append(f"steps were {spec.conditions.step}, are eager ({replayed.fallback})")
    return Verification(
        run_id=stored.record.run_id,
        num_steps=differences.shape[1],
        verified_step=max(same, default=None),
        same_batches=same == common,
        first_difference=int(differing[0]) + 1 if differing.size else None,
        largest_difference=float(differences.max()),
        changed=", ".join(filter(None, changed)),
    )


def _no_run(folder: Path) -> str:
    """Say that a folder is not the folder of a run, with an example if it is a results folder."""
    problem = "not the folder of a run" if folder.is_dir() else "no such folder"
    runs = record_folders(runs_folder(folder))
    example = shlex.quote(str(runs[0])) if runs else "results/runs/resnet101-s0-..."
    return printable(f"{folder}: {problem}. Expected one with {RECORD_FILE} in it. Try `intelbench verify {example}`")


def _first_steps(request: Request, traces: Traces) -> tuple[dict[str, NDArray[np.float64]], int | None]:
    """Return the arrays of the record for the steps to repeat, and in how many of them the backbone was frozen.

    That is `None` if it was frozen in all steps of the run, or in none.
    """
    unusable = f"{request.record / TRACES_FILE}: does not describe the steps"
    try:
        steps = {name: traces[name] for name in (*_COMPARED, "learning_rate")} if "step_loss" in traces else {}
        frozen = traces["backbone_frozen"][: request.steps] if "backbone_frozen" in traces else None
    except (KeyError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{unusable} ({reason}); run it again") from error
    if not steps or not steps["step_loss"].size:
        raise UserError(f"{request.record}: the run failed in its first step; there is nothing to compare")
    if {(values.dtype.kind, values.shape) for values in steps.values()} != {("f", (steps["step_loss"].size,))}:
        raise UserError(f"{unusable} (there is not a number for each); run it again")
    if not np.isfinite(steps["learning_rate"]).all():
        raise UserError(f"{unusable} (a learning rate is not finite); run it again")
    first = {name: values[: request.steps].astype(np.float64) for name, values in steps.items()}
    return first, None if frozen is None else int(np.count_nonzero(frozen))


def _job(request: Request, stored: StoredRun) -> Job:
    """Return the job of the run, on the CPU if this machine does not have its device."""
    spec = stored.record.spec
    architecture, provider = find(spec.architecture)
    _require_plugins(request.record, spec)
    source = obtain(architecture, spec.conditions.recipe.weights, lambda *_: None)
    if source and (spec.weights is None or source.facts.sha256 != spec.weights.sha256):
        raise UserError(
            f"weights {source.path}: not those of {request.record}, whose SHA-256 is "
            f"{spec.weights.sha256 if spec.weights else 'not recorded'} and not {source.facts.sha256}"
        )
    recorded = spec.execution
    device = recorded.device if is_available(recorded.device) else "cpu"
    execution = choose_execution(device, recorded.threads, recorded.workers, recorded.cache)
    dataset = _dataset(request, spec)
    spec = msgspec.structs.replace(spec, provider=provider, execution=execution)
    return Job(
        run_id=stored.record.run_id,
        spec=spec,
        environment=read_environment(execution),
        dataset=dataset,
        plugins=plugins_of_run(spec.architecture, spec.conditions.recipe),
        runs=str(request.record.parent.absolute()),
        weights=str(source.path) if source else None,
    )


def _require_plugins(record: Path, spec: RunSpec) -> None:
    """Refuse a run whose optimizer or a transform is not known, before the images are read."""
    recipe = spec.conditions.recipe
    needed: list[tuple[Registry[Any], str]] = [
        (OPTIMIZERS, recipe.optimizer),
        *((TRANSFORMS, name) for name in recipe.transforms),
    ]
    for registry, name in needed:
        if registry.find(name) is None:
            files = filter(None, map(file_of, (spec.optimizer_provider, *spec.transform_providers)))
            raise UserError(
                f"{record}: {registry.kind} {printable(repr(name))} is not known here. Expected the plug-in that the "
                f"run had. Try --plugin {printable(' --plugin '.join(files)) or 'FILE'}"
            )


def _as_executed(job: Job, record: RunRecord) -> Job:
    """Return the job with eager steps, if the recorded steps were eager although the conditions ask for others."""
    preparation = record.measurements.preparation if record.measurements else None
    if preparation is None or preparation.fallback is None or preparation.num_prepared:
        return job
    conditions = msgspec.structs.replace(job.spec.conditions, step="eager")
    return msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, conditions=conditions))


def _dataset(request: Request, spec: RunSpec) -> Dataset:
    """Return the images of the run. A folder with other classes is not read, since a record may name `/`."""
    source, file = request.data or spec.data.source, file_of(spec.data.provider)
    if file and not request.data and source_provider(source) == BUILT_IN:
        raise UserError(
            f"data {printable(source)}: read by plug-in {printable(file)}, which is not loaded. Try --plugin, or "
            "--data with a folder of the images"
        )
    location = location_of(source, request.cache_folder)
    if location.write is None and find_layout(location.root).class_names != spec.data.class_names:
        raise _others(request, source, "its classes are others")
    dataset = prepare(
        source,
        spec.conditions,
        request.cache_folder,
        use_cache=spec.execution.cache,
        skip_unreadable=spec.data.num_unreadable > 0,
    )
    recorded, here = spec.data.comparable_digest, dataset.facts.digest
    if here != recorded:
        raise _others(request, source, f"their digest is {recorded}, and here it is {here}")
    return dataset.of_run(spec)


def _others(request: Request, source: str, why: str) -> UserError:
    return UserError(f"data {source}: not the images of {request.record}, {why}; --data DIR names the folder of those")


def _relative(ours: NDArray[np.float64], recorded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the relative difference of each number; infinite for steps that were not repeated."""
    differences = np.full(len(recorded), np.inf)
    ours, theirs = ours[: len(recorded)], recorded[: len(ours)]
    with np.errstate(invalid="ignore"):
        share = np.abs(ours - theirs) / np.maximum(np.abs(theirs), np.finfo(np.float64).tiny)
    share[np.isnan(share)] = np.inf
    differences[: len(ours)] = np.where((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)), 0, share)
    return differences


def main() -> None:
    """Repeat the steps, and answer with what was observed."""
    replay, answer = take_request(Replay)
    job = replay.job
    load_plugins_of_run(job.plugins, job.spec.seed_of("init"))
    device = configure(job.spec.conditions, job.spec.execution)
    setup = build_training_setup(job, job.environment, device)
    if replay.num_frozen_steps is not None:
        setup.backbone.replay(replay.num_frozen_steps)
    budget = TrainingBudget(len(replay.rates), None, replay.rates)
    trained = train(replace(setup, validation=None), budget, LapClock(device), on_step=lambda _: None)
    answer(
        Replayed(
            step_loss=trained.traces["step_loss"].tobytes(),
            gradient_norm=trained.traces["gradient_norm"].tobytes(),
            stream_digests=trained.stream_digests,
            fallback=trained.preparation.fallback if trained.preparation else None,
        )
    )
