"""A few more steps of the same loop are taken apart, and nothing else is done to them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from intelbench.architectures.registry import ModelRequest
from intelbench.data.dataset import Dataset
from intelbench.data.stream import TrainingStream
from intelbench.profiling.steps import ANATOMY, PARTS
from intelbench.records.store import Traces
from intelbench.training.anatomy import dissect
from intelbench.training.evaluate import Evaluator
from tests.training.conftest import TINY, Train, tiny_network

Dissected = tuple[Traces, int]


@pytest.fixture
def dissect_tiny(loaded: Dataset, make_evaluator: Callable[..., Evaluator]) -> Callable[..., Dissected]:
    """Dissect the tiny network as one whose steps take so long; also returns how many steps were taken for it."""

    def run(step_seconds: float, device: str = "cpu", workers: int = 0, **changes: object) -> Dissected:
        model = tiny_network(ModelRequest(num_classes=2, image_size=16)).to(device)
        evaluator = make_evaluator(model, device, **changes)
        stream = TrainingStream(loaded.train, evaluator.pixels, evaluator.conditions, seed=0)
        traces = dissect(model, TINY, stream, evaluator, workers=workers, step_seconds=step_seconds)
        return traces, int(model[1].num_batches_tracked)

    return run


@pytest.mark.parametrize(
    ("step_seconds", "num_steps"), [(100, 3), (0.6, 3), (0.5, 4), (0.25, 8), (0.05, 30), (1e-6, 30)]
)
def test_steps_are_taken_apart(dissect_tiny: Callable[..., Dissected], step_seconds: float, num_steps: int) -> None:
    """For two seconds, but at least 3 and at most 30 steps; the one before them does not count."""
    traces, taken = dissect_tiny(step_seconds)
    assert num_steps + 1 == taken
    assert {"anatomy_parts", "anatomy_seconds"} == set(traces)
    assert list(PARTS) == traces["anatomy_parts"].tolist()
    assert (num_steps, len(PARTS)) == traces["anatomy_seconds"].shape
    assert (traces["anatomy_seconds"] >= 0).all()
    assert (traces["anatomy_seconds"].sum(axis=0) > 0).all()


def test_batches_prepared_ahead_are_taken_apart_too(dissect_tiny: Callable[..., Dissected]) -> None:
    """No worker is left behind."""
    traces, _ = dissect_tiny(1.0, workers=2)
    assert (3, len(PARTS)) == traces["anatomy_seconds"].shape


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}])
def test_an_anatomys_step_is_the_runs_step(run_training: Train, changes: dict[str, object]) -> None:
    """Looking at every part changes no bit: losses, norms and weights are those of the timed loop."""
    timed, looked_at = run_training(**changes), run_training(accounts=ANATOMY, **changes)
    for name in ("step_loss", "gradient_norm", "learning_rate", "validation_predictions"):
        np.testing.assert_array_equal(timed.trained.traces[name], looked_at.trained.traces[name])
    weights = looked_at.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in timed.model.state_dict().items())
    assert timed.trained.stream_digests == looked_at.trained.stream_digests


@pytest.mark.gpu
def test_a_gpus_anatomy_has_both_clocks(dissect_tiny: Callable[..., Dissected]) -> None:
    """What the GPU took for a part, and how long the host took to ask for it."""
    traces, _ = dissect_tiny(0.1, device="cuda")
    assert {"anatomy_parts", "anatomy_seconds", "anatomy_host_seconds"} == set(traces)
    assert (20, len(PARTS)) == traces["anatomy_seconds"].shape == traces["anatomy_host_seconds"].shape
    assert (traces["anatomy_host_seconds"] > 0).all()


@pytest.mark.usefixtures("fake_cuda")
def test_an_anatomy_on_the_fake_gpu_has_both_clocks(dissect_tiny: Callable[..., Dissected]) -> None:
    """The host's seconds are an array of their own."""
    traces, _ = dissect_tiny(1.0)
    assert {"anatomy_parts", "anatomy_seconds", "anatomy_host_seconds"} == set(traces)
    assert (3, len(PARTS)) == traces["anatomy_seconds"].shape == traces["anatomy_host_seconds"].shape


@pytest.mark.usefixtures("fake_cuda")
def test_an_anatomy_of_replayed_steps_has_both_passes_in_one(dissect_tiny: Callable[..., Dissected]) -> None:
    """Steps are counted from the second replay on: the time of the first has the capture in it."""
    traces, taken = dissect_tiny(1.0, step="graph")
    assert 3 + 1 + 3 == taken
    seconds = dict(zip(traces["anatomy_parts"].tolist(), traces["anatomy_seconds"].T, strict=True))
    assert (3,) == seconds["forward"].shape
    assert not seconds["forward"].any()
    assert all((seconds[part] > 0).all() for part in PARTS if part != "forward")


def test_an_anatomy_of_steps_that_cannot_be_replayed_is_that_of_eager_ones(
    dissect_tiny: Callable[..., Dissected],
) -> None:
    """As those of the run were."""
    traces, _ = dissect_tiny(1.0, step="graph")
    assert (traces["anatomy_seconds"].sum(axis=0) > 0).all()
