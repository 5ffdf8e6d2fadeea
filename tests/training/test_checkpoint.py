"""A run that is interrupted and resumed has the bits of an uninterrupted run."""

import math
import time
import zipfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec
import pytest
import torch

from intelbench.config.budget import Budget
from intelbench.config.fields import CheckpointTime
from intelbench.config.recipe import Recipe
from intelbench.data.features import FeatureStore
from intelbench.errors import UserError
from intelbench.records.workspace import Workspace
from intelbench.training import checkpoint as checkpointing
from intelbench.training.checkpoint import Checkpoints
from tests.fake_cuda import FakeCuda
from tests.training.conftest import ABOUT, Make, Run, Train, assert_same

MODERN = Recipe(
    optimizer="adamw",
    schedule="cosine",
    batch_size=8,
    micro_batches=2,
    clip_grad_norm=0.5,
    decay_norms_and_biases=False,
    label_smoothing=0.1,
    sampling="balanced",
    transforms=("trivial_augment_wide", "random_erasing"),
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
    ema_decay=0.9,
    keep="best",
)
"""All that has a state or draws random numbers."""


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"precision": "bf16"},
        {"memory_format": "contiguous", "fused_optimizer": False},
        {"budget": Budget(epochs=3)},
        {"budget": Budget(images=100)},
        {"budget": Budget(flops=12 * 8 * 1e6)},
        {"recipe": Recipe(optimizer="sgd", optimizer_arguments={"momentum": 0.9}, schedule="cosine", batch_size=8)},
        {"recipe": Recipe(optimizer="adamw", schedule="cosine", batch_size=8)},
        {"workers": 2},
        {"frozen_steps": 5, "heads": ("6",)},
        {"frozen_fraction": 0.5, "heads": ("6",)},
        {"frozen_steps": math.inf, "heads": ("6",)},
        {"frozen_steps": 5, "heads": ("6",), "recipe": Recipe(backbone_learning_rate=0.1, batch_size=8)},
        {"recipe": MODERN},
        {"recipe": MODERN, "precision": "bf16", "frozen_steps": 5, "heads": ("6",), "workers": 2},
        {"recipe": Recipe(batch_size=8, keep="best", learning_rate=0.3), "evaluation_points": 6},
    ],
    ids=str,
)
def test_an_interrupted_run_gives_the_same_bits(
    run_training: Train, interrupted: Callable[..., Run], conditions: dict[str, object]
) -> None:
    """The run is interrupted three times, once right after an evaluation, with every budget but seconds."""
    conditions = {"budget": Budget(steps=12), **conditions}
    whole = run_training(**conditions)
    assert () == whole.trained.resumed_after
    again = interrupted(2, 7, 8, **conditions)
    assert (1, 6, 7) == again.trained.resumed_after
    assert_same(whole, again)


@pytest.mark.parametrize("frozen_steps", [5, math.inf])
@pytest.mark.parametrize("augmentation", ["none", 2])
def test_an_interrupted_run_on_features_gives_the_same_bits(
    run_training: Train,
    interrupted: Callable[..., Run],
    tmp_path: Path,
    frozen_steps: float,
    augmentation: Literal["none", 2],
) -> None:
    """The run is interrupted with a frozen and an unfrozen backbone; features are charged once."""
    conditions = {
        "budget": Budget(steps=12), "frozen_steps": frozen_steps, "heads": ("6",),
        "store": FeatureStore(tmp_path / "features"), "recipe": Recipe(batch_size=8, augmentation=augmentation),
    }  # fmt: skip
    whole = run_training(**conditions)
    for file in (tmp_path / "features").iterdir():
        torch.save({**torch.load(file), "seconds": 1000.0}, file)
    again = interrupted(2, 7, 8, **conditions)
    assert_same(whole, again)
    waits = again.trained.traces["data_wait_seconds"]
    assert waits[0] > 1000 > waits[1:].max()


@pytest.mark.parametrize(("when", "resumed_after"), [("evaluations", (6,)), ("never", ())])
def test_an_interrupted_run_repeats_what_came_after_its_checkpoint(
    run_training: Train, interrupted: Callable[..., Run], when: CheckpointTime, resumed_after: tuple[int, ...]
) -> None:
    """A run that stops after step 11 resumes after the evaluation at step 6, or at step 0 without a checkpoint."""
    again = interrupted(11, when=when, budget=Budget(steps=12))
    assert resumed_after == again.trained.resumed_after
    assert_same(run_training(budget=Budget(steps=12)), again)


def test_the_clock_of_a_budget_in_seconds_goes_on(
    interrupted: Callable[..., Run], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds up to the checkpoint count, later ones do not; no step is lost or reported twice."""
    ticks = count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * 0.001)
    run = interrupted(3, 5, budget=Budget(seconds=0.2))
    trained = run.trained
    assert (2, 4) == trained.resumed_after
    assert trained.num_steps == len(trained.traces["step_seconds"]) == max(trained.stream_digests)
    spent = trained.traces["step_seconds"].sum() + trained.traces["data_wait_seconds"].sum()
    assert trained.seconds == pytest.approx(spent)
    last = trained.traces["step_seconds"][-1] + trained.traces["data_wait_seconds"][-1]
    assert trained.seconds - last < 0.2 <= trained.seconds
    rates = trained.traces["learning_rate"]
    assert trained.num_steps == len(rates)
    assert workspace.checkpoint() is not None


def test_checkpoints_change_no_bit(run_training: Train, make: Make) -> None:
    """A run that saves after every step has the bits of a run that never saves."""
    assert_same(run_training(), run_training(checkpoints=make(0.0)))


@pytest.mark.parametrize("position", [0.2, 0.5, 0.8])
def test_a_damaged_checkpoint_is_seen(run_training: Train, make: Make, workspace: Workspace, position: float) -> None:
    """After a flipped bit, a missing end or a damaged directory, the run restarts and gives the same bits."""
    whole = run_training(checkpoints=make(0.0))
    (state,) = workspace.folder.glob("state-*.pt")
    content = bytearray(state.read_bytes())
    with zipfile.ZipFile(state) as archive:  # bits outside its members mean nothing
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content[int(largest.header_offset + 200 + position * (largest.file_size - 200))] ^= 1
    header = bytearray(state.read_bytes())
    header[header.rindex(b"PK\1\2") + 10] = 99  # a method of compression that nobody knows
    for damaged in (bytes(content), bytes(content[: int(position * len(content))]), bytes(header)):
        checkpoints = make("never")
        about = msgspec.structs.replace(ABOUT, step=int(state.stem.removeprefix("state-")))
        workspace.save(about, lambda file, damaged=damaged: file.write(damaged))  # type: ignore[misc]
        again = run_training(checkpoints=checkpoints)
        assert () == again.trained.resumed_after
        assert_same(whole, again)
        assert checkpoints.problem is not None
        assert "is damaged" in checkpoints.problem
        assert workspace.checkpoint() is None


def test_a_checkpoint_of_other_conditions_is_refused(run_training: Train, make: Make, workspace: Workspace) -> None:
    """The message names what has changed and what to do; the checkpoint stays."""
    run_training(checkpoints=make(0.0))
    execution = msgspec.structs.replace(ABOUT.spec.execution, threads=97)
    about = msgspec.structs.replace(ABOUT, spec=msgspec.structs.replace(ABOUT.spec, execution=execution))
    was = ABOUT.spec.execution.threads
    with pytest.raises(UserError, match=rf"execution\.threads was {was}, is 97; --rerun interrupted drops it"):
        Checkpoints(workspace, about, None).resume()
    assert workspace.checkpoint() is not None


def test_a_full_disk_does_not_end_the_run(
    run_training: Train, make: Make, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run continues without a new checkpoint, and the user is told."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    checkpoints = make(0.0)
    monkeypatch.setattr(torch, "save", fail)
    whole, full = run_training(), run_training(checkpoints=checkpoints)
    assert_same(whole, full)
    assert "no checkpoint after step 5: [Errno 28] No space left on device" == checkpoints.problem
    assert [] == list(workspace.folder.iterdir())


def test_a_checkpoint_holds_no_code(run_training: Train, make: Make, workspace: Workspace) -> None:
    """Only tensors and plain values are read, so a checkpoint of somebody else cannot execute code."""
    run_training(checkpoints=make(0.0))
    (state,) = workspace.folder.glob("state-*.pt")
    torch.save({"random": Evil()}, state)
    with pytest.raises(Exception, match="Weights only load failed"):
        make().resume()
    assert not Evil.executed


class Evil:
    """Executes code when it is unpickled."""

    executed = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Return the call that pickle executes."""
        return setattr, (Evil, "executed", True)


def test_saving_takes_a_small_share_of_the_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are five minutes apart, or fifty times the time for saving; the user may set another time."""
    now = 0.0
    monkeypatch.setattr(checkpointing.time, "monotonic", lambda: now)
    checkpoints = make(None)
    due = []
    for now in (299.0, 300.0):  # noqa: B007 - the clock reads it
        due.append(checkpoints.due(at_evaluation=True))
    assert [False, True] == due

    def save_slowly(*_: object) -> None:
        nonlocal now
        now += 10

    monkeypatch.setattr(torch, "save", save_slowly)
    checkpoints.save(1, 0.1)
    assert 310 == now
    due = []
    for now in (809.0, 810.0):  # noqa: B007
        due.append(checkpoints.due(at_evaluation=False))
    assert [False, True] == due
    assert not make("never").due(at_evaluation=True)
    assert [True, False] == [make("evaluations").due(at_evaluation=each) for each in (True, False)]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_an_interrupted_run_on_a_gpu_gives_the_same_bits(
    run_training: Train, interrupted: Callable[..., Run], precision: str
) -> None:
    """The generators of the device and the scaler of fp16 are restored too."""
    conditions = {"precision": precision, "device": "cuda", "budget": Budget(steps=12)}
    assert_same(run_training(**conditions), interrupted(2, 7, **conditions))


def test_an_interrupted_run_on_the_fake_gpu_gives_the_same_bits(
    run_training: Train, interrupted: Callable[..., Run], fake_cuda: FakeCuda
) -> None:
    """The generator of the GPU of the run is saved and restored, and no other one."""
    assert_same(run_training(), interrupted(2, 5))
    assert fake_cuda.calls["set_rng_state"] >= 2


def test_a_checkpoint_holds_the_generator_of_the_runs_device(make: Make, workspace: Workspace) -> None:
    """A run on the CPU saves no generator of a GPU, however many GPUs the machine has."""
    make().save(1, 0.5)
    found = workspace.checkpoint()
    assert found is not None
    state = torch.load(workspace.folder / found.state, weights_only=True)
    assert state["random"]["device"] is None
