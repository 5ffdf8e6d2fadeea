"""Time an evaluation pass with the activation probe against the pass without it."""

import pytest
import torch

from bench.comparison import Comparison, timed
from bench.steps import CONDITIONS, REQUEST, RandomPixels, conditions_here, split_of
from intelbench.architectures.registry import find
from intelbench.profiling.activations import ActivationProbe
from intelbench.training.evaluate import Evaluator


@pytest.mark.allowance(seconds=20)
@pytest.mark.parametrize("name", ["resnet101", "resnet101_leaky", "inception_v3"])
def test_activation_probe(comparison: Comparison, name: str) -> None:
    """An evaluation pass with the probe takes at most 1.4 times the time of a pass without it."""
    model = find(name)[0].build(REQUEST).to(memory_format=torch.channels_last)
    images = split_of(CONDITIONS.recipe.batch_size)
    evaluator = Evaluator(model, RandomPixels(len(images)), conditions_here(), torch.device("cpu"))

    def probed() -> None:
        with ActivationProbe(model):
            evaluator.logits(images)

    comparison.cost(timed(probed), timed(lambda: evaluator.logits(images)), at_most=1.4)
