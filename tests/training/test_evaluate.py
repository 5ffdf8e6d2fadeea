"""Evaluation reads every image once and changes nothing."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from intelbench.architectures.reference import REFERENCE
from intelbench.architectures.registry import ModelRequest, find
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset
from intelbench.data.transforms import evaluation_view, normalize
from intelbench.errors import UserError
from intelbench.training.evaluate import Evaluator, mean_cross_entropy
from tests.conftest import blank
from tests.training.conftest import tiny_network

MakeEvaluator = Callable[..., Evaluator]


@pytest.fixture
def model() -> nn.Module:
    """Return the tiny network in training mode."""
    torch.manual_seed(0)
    return tiny_network(ModelRequest(num_classes=2, image_size=16)).train()


def test_logits_stand_in_the_order_of_the_split(
    loaded: Dataset, make_evaluator: MakeEvaluator, model: nn.Module
) -> None:
    """Row i has the logits of image i in evaluation mode, in the last partial batch too."""
    evaluator = make_evaluator(model, recipe=Recipe(batch_size=4))
    logits = evaluator.logits(loaded.validation)
    assert (10, 2) == logits.shape
    assert np.float32 == logits.dtype
    model.eval()
    for row, got in zip(loaded.validation.rows, logits, strict=True):
        image = normalize(evaluation_view(evaluator.pixels.read(row), blank(16))[None], "channels_last")
        np.testing.assert_allclose(got, model(image)[0].detach().numpy(), atol=1e-5)


def test_evaluation_leaves_the_network_as_it_was(
    loaded: Dataset, make_evaluator: MakeEvaluator, model: nn.Module
) -> None:
    """Buffers, weights, gradients and the random state are unchanged, and the network is in training mode again."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    make_evaluator(model).logits(loaded.validation)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_what_is_no_logit_a_class_is_refused_before_training(
    loaded: Dataset, make_evaluator: MakeEvaluator, model: nn.Module
) -> None:
    """Too many logits, maps, a tuple, another device: the message has what was returned and what was expected."""
    make_evaluator(model).require_logits(loaded.train, 2)
    wanted = r"for 2 images of 2 classes; it must return logits, \(2, 2\) on cpu"
    for network, what in (
        (nn.Sequential(model, nn.Linear(2, 5)), r"\(2, 5\) on cpu"),
        (nn.Sequential(model, nn.Unflatten(1, (2, 1))), r"\(2, 2, 1\) on cpu"),
        (nn.Sequential(model, Reading(lambda output: (output, output))), "a tuple"),
        (nn.Sequential(model, Reading(lambda output: output.to("meta"))), r"\(2, 2\) on meta"),
    ):
        with pytest.raises(UserError, match=f"the network returns {what} {wanted}; "):
            make_evaluator(network.train()).require_logits(loaded.train, 2)
        assert all(module.training for module in network.modules())


def test_a_network_that_does_not_take_the_memory_format_names_the_way_out(
    loaded: Dataset, make_evaluator: MakeEvaluator
) -> None:
    """`x.view(len(x), -1)` needs contiguous images, and is accepted with them. Another error is passed on unchanged."""

    def network(read: Callable[[torch.Tensor], object]) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(2), Reading(read), nn.Linear(8, 2))

    classic = network(lambda output: output.view(len(output), -1))
    for precision in ("fp32", "bf16"):
        evaluator = make_evaluator(classic.to(memory_format=torch.channels_last), precision=precision)
        with pytest.raises(
            UserError, match=r"in channels_last memory .*x\.flatten\(1\).*`memory_format = \"contiguous"
        ):
            evaluator.require_logits(loaded.train, 2)
    make_evaluator(classic, memory_format="contiguous").require_logits(loaded.train, 2)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        make_evaluator(network(torch.Tensor.contiguous)).require_logits(loaded.train, 2)


class Reading(nn.Module):
    """Passes its input through a function."""

    def __init__(self, read: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.read = read

    def forward(self, output: torch.Tensor) -> object:
        """Return what the function makes of the input."""
        return self.read(output)


@pytest.mark.parametrize(("precision", "rounding"), [("fp32", 1e-4), ("bf16", 5e-2)])
@pytest.mark.parametrize("architecture", REFERENCE)
def test_logits_do_not_depend_on_the_size_of_the_batch(
    loaded: Dataset, make_evaluator: MakeEvaluator, architecture: str, precision: str, rounding: float
) -> None:
    """But for rounding, by the largest logit. A processor or a GPU may choose other kernels for another size."""
    torch.manual_seed(0)
    model = (
        find(architecture)[0].network(ModelRequest(num_classes=2, image_size=80)).to(memory_format=torch.channels_last)
    )

    def logits(**recipe: Any) -> np.ndarray:
        evaluator = make_evaluator(model, precision=precision, image_size=80, recipe=Recipe(**recipe))
        return evaluator.logits(loaded.validation)

    doubled = logits(batch_size=4)
    for others in (logits(batch_size=4, freeze_backbone="always"), logits(batch_size=2)):
        np.testing.assert_allclose(doubled, others, rtol=0, atol=rounding * np.abs(doubled).max())


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({}, [8, 2]),
        ({"freeze_backbone": 1.0}, [8, 2]),
        ({"freeze_backbone": "always"}, [4, 4, 2]),
        ({"micro_batches": 2}, [4, 4, 2]),
        ({"shards": 2}, [4, 4, 2]),
    ],
)
def test_evaluation_takes_two_batches_at_once_where_training_takes_more_memory(
    loaded: Dataset, make_evaluator: MakeEvaluator, model: nn.Module, recipe: dict[str, Any], expected: list[int]
) -> None:
    """A frozen backbone and parts of a batch need little memory, so evaluation takes the images of a step there."""
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    make_evaluator(model, recipe=Recipe(batch_size=4, **recipe)).logits(loaded.validation)
    assert expected == sizes


def test_evaluation_is_not_random(loaded: Dataset, make_evaluator: MakeEvaluator, model: nn.Module) -> None:
    """Dropout is off, so the logits are equal with every global seed."""
    torch.manual_seed(1)
    first = make_evaluator(model).logits(loaded.validation)
    torch.manual_seed(2)
    np.testing.assert_array_equal(first, make_evaluator(model).logits(loaded.validation))


def test_weights_are_cast_once_for_all_batches(
    loaded: Dataset, make_evaluator: MakeEvaluator, model: nn.Module
) -> None:
    """A pass has one context of autocast, and the next pass casts the weights of its time."""
    copied: list[torch.Tensor] = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten._to_copy.default and args[0].is_leaf and args[0].dtype == torch.float32:
                copied.append(args[0])
            return func(*args, **(kwargs or {}))

    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    evaluator = make_evaluator(model, precision="bf16", recipe=Recipe(batch_size=3))
    for passes in (1, 2):
        with Copies():
            evaluator.logits(loaded.validation)
        assert [passes] * len(weights) == [sum(copy is weight for copy in copied) for weight in weights]


def test_logits_of_reduced_precision_are_float32(
    loaded: Dataset, make_evaluator: MakeEvaluator, model: nn.Module
) -> None:
    """bf16 changes the last digits of logits but not their type."""
    reduced = make_evaluator(model, precision="bf16").logits(loaded.validation)
    full = make_evaluator(model).logits(loaded.validation)
    assert np.float32 == reduced.dtype
    np.testing.assert_allclose(full, reduced, atol=0.05)
    assert (full != reduced).any()


finite_logits = arrays(np.float32, (5, 3), elements=st.floats(-1e4, 1e4, width=32))


@given(finite_logits, arrays(np.int16, 5, elements=st.integers(0, 2)))
def test_mean_cross_entropy_is_torchs(logits: np.ndarray, labels: np.ndarray) -> None:
    """It is computed in double precision, and also for logits whose exponentials overflow."""
    expected = F.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(labels).long()).item()
    assert expected == pytest.approx(mean_cross_entropy(logits, labels), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("rectifier", "expected"), [(nn.ReLU(), 3), (nn.LeakyReLU(), 0)])
def test_filters_behind_dead_units_have_no_gradient(
    loaded: Dataset, make_evaluator: MakeEvaluator, rectifier: nn.Module, expected: int
) -> None:
    """Three filters of dead units have no gradient with ReLU; with LeakyReLU all filters have one."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), rectifier, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )  # fmt: skip
    with torch.no_grad():
        model[0].bias[:3] = -100
    found = make_evaluator(model).filter_gradients(loaded.validation)
    assert found is not None
    assert (8, expected, len(loaded.validation)) == (found.num_filters, found.num_without_gradient, found.num_images)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("bias", "all_batches"), [(0.0, False), (-100.0, True)])
def test_images_are_looked_at_until_every_filter_has_a_gradient(
    loaded: Dataset, make_evaluator: MakeEvaluator, bias: float, all_batches: bool
) -> None:
    """More images cannot change the count then; with one dead filter all images are needed."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.LeakyReLU() if bias == 0 else nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 2),
    )  # fmt: skip
    with torch.no_grad():
        model[0].bias[:1] += bias
    seen = 0

    def count(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal seen
        seen += len(inputs[0])

    model.register_forward_pre_hook(count)
    evaluator = make_evaluator(model)
    assert len(loaded.train) > evaluator.conditions.recipe.batch_size
    evaluator.filter_gradients(loaded.train)
    assert (seen == len(loaded.train)) == all_batches
    assert seen >= evaluator.conditions.recipe.batch_size


def test_a_network_without_convolutions_has_no_filters(loaded: Dataset, make_evaluator: MakeEvaluator) -> None:
    """The result is `None` and not 0."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    assert make_evaluator(model).filter_gradients(loaded.validation) is None


@pytest.mark.parametrize("workers", [1, 3])
def test_images_prepared_ahead_are_the_same(
    loaded: Dataset, make_evaluator: MakeEvaluator, model: nn.Module, workers: int
) -> None:
    """Order and last partial batch are equal, and no worker thread is left, even if the iteration stops early."""
    evaluator = make_evaluator(model, recipe=Recipe(batch_size=3))
    ahead = dataclasses.replace(evaluator, workers=workers)
    num_threads = threading.active_count()
    for one, other in zip(evaluator.batches(loaded.validation), ahead.batches(loaded.validation), strict=True):
        assert all(map(torch.equal, one, other))
    batches = ahead.batches(loaded.validation)
    next(batches)
    assert threading.active_count() > num_threads
    batches.close()
    assert threading.active_count() == num_threads
    assert [] == list(ahead.batches(loaded.validation.subset([])))
    np.testing.assert_array_equal(evaluator.logits(loaded.validation), ahead.logits(loaded.validation))


def test_evaluation_on_a_gpu_is_from_page_locked_memory(
    loaded: Dataset, make_evaluator: MakeEvaluator, model: nn.Module, request: pytest.FixtureRequest
) -> None:
    """Images are in page-locked memory only if the device copies from it in the background."""
    evaluator = make_evaluator(model)
    assert not any(images.is_pinned() for images, _ in evaluator.batches(loaded.validation))
    expected = evaluator.logits(loaded.validation)
    request.getfixturevalue("fake_cuda")
    assert all(images.is_pinned() for images, _ in evaluator.batches(loaded.validation))
    np.testing.assert_array_equal(expected, evaluator.logits(loaded.validation))
