"""Measure networks on this machine for seconds, and estimate what a comparison of them takes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from intelbench.architectures.registry import ModelRequest, find
from intelbench.architectures.surgery import find_heads
from intelbench.config.conditions import Suite
from intelbench.data.dataset import stored_side
from intelbench.data.decoding import Pixels, decode_all
from intelbench.data.survey import Survey
from intelbench.data.transforms import evaluation_view, normalize
from intelbench.errors import UserError, printable
from intelbench.profiling.complexity import count_parameters, forward_macs_per_image
from intelbench.profiling.device import Device
from intelbench.profiling.processors import num_processors
from intelbench.profiling.workload import Workload
from intelbench.training.evaluated import make_averaging_optimizer
from intelbench.training.precision import MEMORY_FORMATS, autocast

_REPEATS = 3
"""Repetitions, of which the fastest counts."""
_MEASURING_SECONDS = 3.0
"""Time of the forward passes of a network on a CPU, all repetitions together. It decides how many images they have: as
many as in a run if possible. An image took MobileNetV3 8.4 ms in a batch of 2, and 5.0 ms in one of 16 or 32. A GPU
takes the batch of the recipe at once."""
_FEWEST_IMAGES = 2
_HEAD_STEPS = 20
_DECODED = 32
"""Images that are decoded to measure how long that takes."""
_STARTUP_SECONDS = 8.0
"""Time before the first run: importing PyTorch, reading and hashing the images."""
_RUN_SECONDS = 1.0
"""Time of a run outside its budget: weights, setting up, the record. A run on stored features took 1.2 seconds on two
cores of an EPYC, 0.3 of them in steps of the head (`results/reference-transfer`)."""
_GPU_RUN_SECONDS = 5.0
"""The same on a GPU, where each process loads CUDA too. An assumption: no GPU has been measured yet."""
_SECONDS_OF_PARAMETER = 2e-8
"""Time to build a network, read its weights and check their digests, in every run: 2 seconds of ViT-B/16."""
_NETWORK_SECONDS = 3.0
"""Time of the profile of a network, once for all its runs."""
_BYTES_OF_VALUE = 4
"""Of a feature or a parameter, in float32."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds that an image takes in one network on this machine."""

    macs: float
    """Multiply-accumulate operations of a forward pass for one image."""
    forward_seconds: float
    step_seconds: float
    """Forward and backward pass and update of everything; equal to `forward_seconds` if the backbone is frozen."""
    num_features: int
    """Values of an image that the head gets."""
    num_parameters: int


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Estimates of what the runs of a suite take."""

    seconds: Mapping[str, float]
    """By network, all seeds together."""
    shared_seconds: float
    """Starting the command and decoding the images, once."""
    cache_bytes: int
    """Decoded images."""
    feature_bytes: int
    """Stored features of frozen networks."""
    network_bytes: int
    """Trained networks that are kept in the results folder."""
    paces: Mapping[str, Pace]

    @property
    def total_seconds(self) -> float:
        """Return the time of everything."""
        return self.shared_seconds + sum(self.seconds.values())


def estimate(suite: Suite, data: Survey, device: Device, on_network: Callable[[str], object]) -> Costs:
    """Time the networks of a suite on this machine, and estimate what its runs take. Its budget is in epochs.

    `on_network` is called with the name of a network before it is timed, which takes a second or several.

    Raises:
        UserError: an image of the sample or a network cannot be used.
    """
    precision = device.fastest_precision if suite.precision == "auto" else suite.precision
    suite = replace(suite, precision=precision)
    decode_seconds, pixels = _decoded(data, suite.image_size)
    view_seconds, images = _views(pixels, suite.image_size)
    paces = _paces(suite, len(data.class_names), images, device, on_network)
    num_features = sum(pace.num_features for pace in paces.values()) if _stores_features(suite) else 0
    num_kept = {"none": 0, "best": 1, "all": len(suite.seeds)}[suite.keep_weights]
    return Costs(
        seconds={name: _seconds_of_runs(suite, data, device, pace, view_seconds) for name, pace in paces.items()},
        shared_seconds=_STARTUP_SECONDS + decode_seconds * data.num_contents,
        cache_bytes=data.cache_bytes(suite.image_size),
        feature_bytes=num_features * data.num_images * _BYTES_OF_VALUE,
        network_bytes=num_kept * sum(pace.num_parameters for pace in paces.values()) * _BYTES_OF_VALUE,
        paces=paces,
    )


def _seconds_of_runs(suite: Suite, data: Survey, device: Device, pace: Pace, view_seconds: float) -> float:
    """Return the time of all seeds of one network; `view_seconds` make the input of an image from stored pixels."""

    def with_view(seconds: float) -> float:
        """Return the seconds of an image with its preparation, which on a GPU other threads do at the same time."""
        if device.kind == "cpu":
            return seconds + view_seconds
        return max(seconds, view_seconds / max(1, num_processors() - 2))

    num_seeds, epochs, recipe = len(suite.seeds), suite.budget.epochs or 0, suite.recipe
    outside = _RUN_SECONDS if device.kind == "cpu" else _GPU_RUN_SECONDS
    outside += pace.num_parameters * _SECONDS_OF_PARAMETER
    forward = with_view(pace.forward_seconds)
    if _stores_features(suite):
        steps = epochs * (data.num_train // recipe.batch_size)
        head = steps * _head_step_seconds(suite, data, pace, device)
        return _NETWORK_SECONDS + data.num_images * forward + num_seeds * (head + outside)
    step = recipe.frozen_fraction * forward + (1 - recipe.frozen_fraction) * with_view(pace.step_seconds)
    evaluated = suite.evaluation_points * data.num_validation + data.num_train + data.num_test
    return _NETWORK_SECONDS + num_seeds * (epochs * data.num_train * step + evaluated * forward + outside)


def _stores_features(suite: Suite) -> bool:
    return suite.recipe.freeze_backbone == "always" and suite.recipe.augmentation == "none"


def _decoded(data: Survey, image_size: int) -> tuple[float, list[Pixels]]:
    """Decode some images of the sample, and return the seconds of an image and the pixels."""
    sample = data.sample[:: ceil(len(data.sample) / _DECODED)]
    start = time.perf_counter()
    decoded = list(decode_all(sample, stored_side(image_size)))
    seconds = (time.perf_counter() - start) / len(sample)
    pixels = [each.copy() for each in decoded if not isinstance(each, Exception)]  # Pillow's buffer is read-only
    if not pixels:
        raise UserError(f"data {printable(sample[0].path)}: cannot be read ({decoded[0]}); try `intelbench data check`")
    return seconds, pixels


def _views(pixels: Sequence[Pixels], size: int) -> tuple[float, Tensor]:
    """Return the seconds to make the input of an image, and inputs (N x size x size x 3, uint8)."""
    images = torch.empty(len(pixels), size, size, 3, dtype=torch.uint8)
    start = time.perf_counter()
    for slot, each in enumerate(pixels):
        evaluation_view(each, images[slot])
    return (time.perf_counter() - start) / len(pixels), images


def _paces(
    suite: Suite, num_classes: int, images: Tensor, device: Device, on_network: Callable[[str], object]
) -> dict[str, Pace]:
    request = ModelRequest(num_classes=num_classes, image_size=suite.image_size)
    paces = {}
    for name in suite.architectures:
        on_network(name)
        paces[name] = _pace(Workload(architecture=find(name)[0], request=request), suite, images, device)
    return paces


def _pace(workload: Workload, suite: Suite, images: Tensor, device: Device) -> Pace:
    """Time forward passes and, unless the backbone is always frozen, training steps."""
    num_images = _FEWEST_IMAGES if device.kind == "cpu" else suite.recipe.batch_size
    model = workload.build().to(device.torch_device).to(memory_format=MEMORY_FORMATS[suite.memory_format])
    cast = autocast(suite, device.torch_device)

    def take(num_images: int) -> tuple[Tensor, Tensor]:
        """Return a batch and its labels."""
        batch = images[torch.arange(num_images) % len(images)].to(device.torch_device)
        labels = torch.zeros(num_images, dtype=torch.long, device=device.torch_device)
        return normalize(batch, suite.memory_format), labels

    @torch.no_grad()
    def forward() -> None:
        with cast():
            model(batch)

    def step() -> None:
        with cast():
            loss = workload.loss(model, batch, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    batch, labels = take(num_images)
    # As if it had been trained: the activations of a deep untrained network vanish in evaluation mode, and arithmetic
    # with denormal numbers is slow.
    update_bn([batch], model)
    model.eval()
    if device.kind == "cpu":
        affordable = int(_MEASURING_SECONDS / _REPEATS / (_fastest(forward, device) / num_images))
        num_images = min(suite.recipe.batch_size, max(_FEWEST_IMAGES, affordable))
        batch, labels = take(num_images)
    forward_seconds = step_seconds = _fastest(forward, device) / num_images
    if suite.recipe.freeze_backbone != "always":
        model.train()
        optimizer = make_averaging_optimizer(model, suite)
        step_seconds = _fastest(step, device) / num_images
    return Pace(
        macs=forward_macs_per_image(workload),
        forward_seconds=forward_seconds,
        step_seconds=step_seconds,
        num_features=_num_features(workload),
        num_parameters=count_parameters(model)[0],
    )


def _head_step_seconds(suite: Suite, data: Survey, pace: Pace, device: Device) -> float:
    """Time steps of a linear head on stored features."""
    size = suite.recipe.batch_size
    head = nn.Linear(pace.num_features, len(data.class_names)).to(device.torch_device)
    features = torch.zeros(size, pace.num_features, device=device.torch_device)
    labels = torch.zeros(size, dtype=torch.long, device=device.torch_device)
    optimizer, cast = make_averaging_optimizer(head, suite), autocast(suite, device.torch_device)

    def steps() -> None:
        for _ in range(_HEAD_STEPS):
            with cast():
                loss = nn.functional.cross_entropy(head(features), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return _fastest(steps, device) / _HEAD_STEPS


def _fastest(work: Callable[[], object], device: Device) -> float:
    seconds = []
    for _ in range(_REPEATS):
        device.synchronize()
        start = time.perf_counter()
        work()
        device.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _num_features(workload: Workload) -> int:
    """Return the number of inputs of the network's heads together."""
    model = workload.shapes()
    heads = find_heads(workload.architecture, workload.request, model)
    return sum(model.get_parameter(f"{name}.weight").shape[1] for name in heads)
