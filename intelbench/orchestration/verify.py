"""`intelbench verify`: the first steps of a recorded run once more, held against the record.

They are taken in a process of their own, as the run was; it answers with what it has observed.
"""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from intelbench.architectures.generators import seed_generators
from intelbench.architectures.registry import find, plugins_of
from intelbench.architectures.weights import obtain
from intelbench.data.dataset import Dataset, prepare
from intelbench.data.layout import find_layout
from intelbench.data.seeds import stream_seed
from intelbench.data.sources import location_of
from intelbench.errors import UserError, printable
from intelbench.orchestration.job import Job
from intelbench.orchestration.plugin_files import load_plugins
from intelbench.orchestration.process import Limits, Process, Starter, take_request
from intelbench.plugins.loading import load_plugin
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
from intelbench.training.precision import configure
from intelbench.training.setup import build_training_setup

_COMPARED = ("step_loss", "gradient_norm")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for."""

    record: Path
    steps: int
    """Most that are taken."""
    data: str | None
    """Where the images lie now; `None` where the record says."""
    plugins: tuple[Path, ...]
    cache_folder: Path


class Replay(Struct, frozen=True, kw_only=True):
    """What the process is to do."""

    job: Job
    rates: tuple[float, ...]
    """Learning rates of the steps to take."""


class Replayed(Struct, frozen=True, kw_only=True):
    """What it has observed."""

    step_loss: bytes
    """As float64, for not every gradient norm is finite; so is the next."""
    gradient_norm: bytes
    stream_digests: dict[int, str]
    fallback: str | None = None
    """Why the steps were eager, where they were to be others."""


def verify(request: Request, starter: Starter, on_note: Callable[[str], None]) -> Verification:
    """Repeat the first steps of a run on this machine, and compare; `on_note` is told what was damaged in the cache.

    `starter` starts the process in which they are taken.

    Raises:
        UserError: the record cannot be read, was changed or holds no step; the images are not those of the run; the
            architecture or a plug-in is not there; or the steps cannot be taken.
    """
    if not os.path.lexists(request.record / RECORD_FILE):
        raise UserError(_no_run(request.record))
    stored, traces = read_with_traces(request.record.absolute())
    recorded, spec = _first_steps(request, traces), stored.record.spec
    for plugin in request.plugins:
        load_plugin(plugin)
    job = _job(request, stored)
    for note in job.dataset.notes:
        on_note(note)
    replay = Replay(job=_as_carried_out(job, stored.record), rates=tuple(recorded["learning_rate"].tolist()))
    answers: list[bytes] = []
    with Process("intelbench.orchestration.verify", replay, starter, Limits()) as process:
        answers += process.answers()
    if process.returncode or not answers:
        reason = process.last_words.rpartition("\n")[2]
        raise UserError(f"{request.record}: its steps cannot be taken here: {reason}")
    found = msgspec.json.decode(answers[-1], type=Replayed)
    common = sorted(set(found.stream_digests) & set(stored.record.stream_digests))
    same = [step for step in common if found.stream_digests[step] == stored.record.stream_digests[step]]
    differences = np.array([_relative(np.frombuffer(getattr(found, name)), recorded[name]) for name in _COMPARED])
    differing = np.flatnonzero(differences.any(axis=0))
    machine = read_environment(job.spec.execution)
    return Verification(
        run_id=stored.record.run_id,
        num_steps=differences.shape[1],
        verified_step=max(same, default=None),
        same_batches=same == common,
        first_difference=int(differing[0]) + 1 if differing.size else None,
        largest_difference=float(differences.max()),
        changed=", ".join(
            filter(
                None,
                [
                    changes(facts_of_run(spec, stored.record.environment), facts_of_run(job.spec, machine)),
                    found.fallback and f"steps were of the kind {spec.conditions.step}, are eager ({found.fallback})",
                ],
            )
        ),
    )


def _no_run(folder: Path) -> str:
    """Say that a folder is not that of a run, and which one is where it is a results folder."""
    problem = "not the folder of a run" if folder.is_dir() else "no such folder"
    runs = record_folders(runs_folder(folder))
    example = shlex.quote(str(runs[0])) if runs else "results/runs/resnet101-s0-..."
    return printable(f"{folder}: {problem}. Expected one with {RECORD_FILE} in it. Try `intelbench verify {example}`")


def _first_steps(request: Request, traces: Traces) -> dict[str, NDArray[np.float64]]:
    """What the record says of the steps that are to be taken again."""
    file = request.record / TRACES_FILE
    try:
        found = {name: traces[name] for name in (*_COMPARED, "learning_rate")} if "step_loss" in traces else {}
    except (KeyError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{file}: does not tell of the steps ({reason}); run it again") from error
    if not found or not found["step_loss"].size:
        raise UserError(f"{request.record}: the run failed before its first step ended; there is nothing to compare")
    if {(each.dtype.kind, each.shape) for each in found.values()} != {("f", (found["step_loss"].size,))}:
        raise UserError(f"{file}: does not tell of the steps (there is not a number for each); run it again")
    if not np.isfinite(found["learning_rate"]).all():
        raise UserError(f"{file}: does not tell of the steps (a learning rate is not finite); run it again")
    return {name: each[: request.steps].astype(np.float64) for name, each in found.items()}


def _job(request: Request, stored: StoredRun) -> Job:
    """The run as it was, but for what this machine does not have."""
    spec = stored.record.spec
    architecture, provider = find(spec.architecture)
    source = obtain(architecture, spec.conditions.recipe.weights, lambda *_: None)
    if source and source.facts != spec.weights:
        raise UserError(
            f"weights {source.path}: not those of {request.record}, whose SHA-256 is "
            f"{spec.weights.sha256 if spec.weights else 'not recorded'} and not {source.facts.sha256}"
        )
    recorded = spec.execution
    device = recorded.device if is_available(recorded.device) else "cpu"
    execution = choose_execution(device, recorded.threads, recorded.workers, recorded.cache)
    dataset = _dataset(request, spec).drawn(spec.images_per_class, spec.seed)
    spec = msgspec.structs.replace(spec, provider=provider, execution=execution)
    return Job(
        run_id=stored.record.run_id,
        spec=spec,
        dataset=dataset,
        plugins=plugins_of(spec.architecture),
        runs=str(request.record.parent.absolute()),
        weights=str(source.path) if source else None,
    )


def _as_carried_out(job: Job, record: RunRecord) -> Job:
    """The run with eager steps, where those of the record are eager though its conditions ask for others."""
    preparation = record.measurements.preparation if record.measurements else None
    if preparation is None or preparation.fallback is None or preparation.num_prepared:
        return job
    conditions = msgspec.structs.replace(job.spec.conditions, step="eager")
    return msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, conditions=conditions))


def _dataset(request: Request, spec: RunSpec) -> Dataset:
    """The images of the run. A folder that cannot hold them is not read, for a record may name any, as `/`."""
    source = request.data or spec.data.source
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
    if dataset.facts.digest != spec.data.digest:
        raise _others(request, source, f"their digest is {spec.data.digest}, and here it is {dataset.facts.digest}")
    return dataset


def _others(request: Request, source: str, why: str) -> UserError:
    return UserError(f"data {source}: not the images of {request.record}, {why}; --data DIR says where those lie now")


def _relative(ours: NDArray[np.float64], recorded: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each number is from the recorded one, as a share of it; infinite where there is none any more."""
    found = np.full(len(recorded), np.inf)
    ours, theirs = ours[: len(recorded)], recorded[: len(ours)]
    with np.errstate(invalid="ignore"):
        share = np.abs(ours - theirs) / np.maximum(np.abs(theirs), np.finfo(np.float64).tiny)
    share[np.isnan(share)] = np.inf
    found[: len(ours)] = np.where((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)), 0, share)
    return found


def main() -> None:
    """Take the steps."""
    replay, answer = take_request(Replay)
    job = replay.job
    load_plugins(job.plugins, job.spec.seed)
    device = configure(job.spec.conditions, job.spec.execution)
    environment = read_environment(job.spec.execution)
    setup = build_training_setup(job.spec, job.dataset, environment, device, weights=job.weights)
    seed_generators(stream_seed(job.spec.seed, "dropout"))
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
