"""The parts of a step: measured in the steps of the run on a CPU, and in some more steps on a GPU."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from intelbench.config.budget import Budget
from intelbench.data.dataset import Dataset
from intelbench.data.stream import TrainingStream
from intelbench.profiling.steps import DATA_WAIT, PARTS, STEP
from intelbench.profiling.workload import Workload
from intelbench.records.store import Traces
from intelbench.training.backbone import Backbone
from intelbench.training.evaluate import Evaluator
from intelbench.training.setup import TrainingSetup
from intelbench.training.step_breakdown import measure_step_breakdown
from tests.training.conftest import REQUEST, TINY, Train, tiny_network

Breakdown = tuple[Traces, int]


@pytest.fixture
def breakdown_of_tiny(loaded: Dataset, make_evaluator: Callable[..., Evaluator]) -> Callable[..., Breakdown]:
    """Return a function that measures the step breakdown of the tiny network, and counts its steps."""

    def run(step_seconds: float, device: str = "cpu", workers: int = 0, **changes: object) -> Breakdown:
        model = tiny_network(REQUEST).to(device)
        evaluator = make_evaluator(model, device, workers, **changes)
        setup = TrainingSetup(
            workload=Workload(architecture=TINY, request=REQUEST),
            evaluator=evaluator,
            backbone=Backbone(model),
            stream=TrainingStream(loaded.train, evaluator.pixels, evaluator.conditions, seed=0),
            validation=loaded.validation,
        )
        return measure_step_breakdown(setup, step_seconds), int(model[1].num_batches_tracked)

    return run


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize(
    ("step_seconds", "num_steps"), [(100, 3), (0.6, 3), (0.5, 4), (0.25, 8), (0.05, 30), (1e-6, 30)]
)
def test_steps_are_taken_apart(
    breakdown_of_tiny: Callable[..., Breakdown], step_seconds: float, num_steps: int
) -> None:
    """The measurement takes two seconds, but 3 to 30 steps; the step before them does not count."""
    traces, taken = breakdown_of_tiny(step_seconds)
    assert num_steps + 1 == taken
    assert {"step_breakdown_parts", "step_breakdown_seconds", "step_breakdown_host_seconds"} == set(traces)
    assert list(PARTS) == traces["step_breakdown_parts"].tolist()
    assert (num_steps, len(PARTS)) == traces["step_breakdown_seconds"].shape
    assert (traces["step_breakdown_seconds"] >= 0).all()
    assert (traces["step_breakdown_seconds"].sum(axis=0) > 0).all()


@pytest.mark.usefixtures("fake_cuda")
def test_batches_prepared_ahead_are_taken_apart_too(breakdown_of_tiny: Callable[..., Breakdown]) -> None:
    """The step breakdown works with workers, too."""
    traces, _ = breakdown_of_tiny(1.0, workers=2)
    assert (3, len(PARTS)) == traces["step_breakdown_seconds"].shape


@pytest.mark.parametrize(("num_steps", "kept"), [(1, []), (2, [2]), (40, list(range(11, 41)))])
def test_on_a_cpu_the_steps_are_the_runs_own(run_training: Train, num_steps: int, kept: list[int]) -> None:
    """The breakdown has the last 30 steps, but never the first; the parts add up to the times of the steps."""
    traces = run_training(budget=Budget(steps=num_steps)).trained.traces
    assert kept == traces["step_breakdown_step"].tolist()
    assert (len(kept), len(PARTS)) == traces["step_breakdown_seconds"].shape
    assert "step_breakdown_host_seconds" not in traces
    for name, parts in (("step_seconds", STEP), ("data_wait_seconds", DATA_WAIT)):
        of_parts = traces["step_breakdown_seconds"][:, [PARTS.index(part) for part in parts]].sum(axis=1)
        np.testing.assert_allclose(traces[name][num_steps - len(kept) :], of_parts)


def test_validation_and_checkpoints_are_no_part_of_a_step(
    run_training: Train, pass_time: Callable[[float], None]
) -> None:
    """Their time is in no part of a step."""
    traces = run_training(on_step=lambda _: pass_time(1000)).trained.traces
    assert traces["step_breakdown_seconds"].max() < 1000


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}])
def test_looking_at_every_part_changes_no_bit(run_training: Train, changes: dict[str, object]) -> None:
    """Losses, norms and weights are those of the timed run, which has no step breakdown on a GPU."""
    timed, looked_at = run_training(**changes), run_training(every_part=True, **changes)
    assert "step_breakdown_seconds" not in timed.trained.traces
    for name in ("step_loss", "gradient_norm", "learning_rate", "validation_predictions"):
        np.testing.assert_array_equal(timed.trained.traces[name], looked_at.trained.traces[name])
    weights = looked_at.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in timed.model.state_dict().items())
    assert timed.trained.stream_digests == looked_at.trained.stream_digests


@pytest.mark.gpu
def test_a_gpus_step_breakdown_has_both_clocks(breakdown_of_tiny: Callable[..., Breakdown]) -> None:
    """The breakdown has the time of each part on the GPU, and the time in which the host launched it."""
    traces, _ = breakdown_of_tiny(0.1, device="cuda")
    assert {"step_breakdown_parts", "step_breakdown_seconds", "step_breakdown_host_seconds"} == set(traces)
    assert (20, len(PARTS)) == traces["step_breakdown_seconds"].shape == traces["step_breakdown_host_seconds"].shape
    assert (traces["step_breakdown_host_seconds"] > 0).all()


@pytest.mark.usefixtures("fake_cuda")
def test_a_step_breakdown_on_the_fake_gpu_has_both_clocks(breakdown_of_tiny: Callable[..., Breakdown]) -> None:
    """The seconds of the host are an array of their own."""
    traces, _ = breakdown_of_tiny(1.0)
    assert {"step_breakdown_parts", "step_breakdown_seconds", "step_breakdown_host_seconds"} == set(traces)
    assert (3, len(PARTS)) == traces["step_breakdown_seconds"].shape == traces["step_breakdown_host_seconds"].shape


@pytest.mark.usefixtures("fake_cuda")
def test_a_step_breakdown_of_replayed_steps_has_both_passes_in_one(breakdown_of_tiny: Callable[..., Breakdown]) -> None:
    """The eager steps before the capture are not counted, and the forward pass has no time."""
    traces, taken = breakdown_of_tiny(1.0, step="graph")
    assert 3 + 3 == taken
    seconds = dict(zip(traces["step_breakdown_parts"].tolist(), traces["step_breakdown_seconds"].T, strict=True))
    assert (3,) == seconds["forward"].shape
    assert not seconds["forward"].any()
    assert all((seconds[part] > 0).all() for part in PARTS if part != "forward")
