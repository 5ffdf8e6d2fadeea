"""Define how much every stage of `make gpu` does on a GPU, and on the fake GPU of the tests."""

from pathlib import Path

from msgspec import Struct

from intelbench.config.fields import Precision

SUITE = Path(__file__).parents[1] / "reference-gpu.toml"
"""The reference study on a GPU."""


class Sizes(Struct, frozen=True, kw_only=True):
    """Sizes of the measurements of every stage."""

    architectures: tuple[str, ...]
    """Architectures of the stages `steps` and `memory`."""
    batch_architectures: tuple[str, ...]
    """Architectures of the stage `batches`."""
    loader_architecture: str
    """Architecture of the stages `loader` and `synchronizations`."""
    compiled_architectures: tuple[str, ...]
    image_size: int
    """Height and width in pixels."""
    batch_size: int
    batch_sizes: tuple[int, ...]
    memory_batch_sizes: tuple[int, ...]
    memory_precisions: tuple[Precision, ...]
    num_images: int
    """Number of noise images, if a batch does not need more."""
    warm_steps: int
    """Number of training steps before those that are timed."""
    timed_seconds: float
    """Time of the training steps of one measurement."""
    loader_seconds: float
    """Time of the batches of one measurement."""
    loader_workers: tuple[int, ...]
    """Numbers of threads that prepare batches."""
    loader_threads: tuple[int, ...]
    """Numbers of threads of PyTorch."""
    tests: tuple[str, ...]
    """Arguments of pytest."""
    study: tuple[str, ...]
    """Arguments of `intelbench run` in addition to the suite, the device and the folders."""
    closing_seconds: float
    """Time before the deadline for the last files and the table."""


FULL = Sizes(
    architectures=("resnet152", "wide_resnet101_2", "inception_v3", "resnet101_leaky", "resnet101"),
    batch_architectures=("inception_v3", "wide_resnet101_2"),
    loader_architecture="inception_v3",
    compiled_architectures=("resnet101",),
    image_size=224,
    batch_size=32,
    batch_sizes=(32, 128, 256),
    memory_batch_sizes=(32, 128),
    memory_precisions=("bf16", "fp32"),
    num_images=512,
    warm_steps=10,
    timed_seconds=2.0,
    loader_seconds=1.0,
    loader_workers=(0, 1, 2, 4, 8, 12),
    loader_threads=(1, 16),
    tests=("-m", "gpu"),
    study=(),
    closing_seconds=12.0,
)
FAKE = Sizes(
    architectures=("torchvision:squeezenet1_1",),
    batch_architectures=("torchvision:squeezenet1_1",),
    loader_architecture="torchvision:squeezenet1_1",
    compiled_architectures=("torchvision:squeezenet1_1",),
    image_size=32,
    batch_size=4,
    batch_sizes=(8,),
    memory_batch_sizes=(2, 4),
    memory_precisions=("bf16",),
    num_images=16,
    warm_steps=1,
    timed_seconds=0.05,
    loader_seconds=0.05,
    loader_workers=(0, 1),
    loader_threads=(1,),
    tests=("tests/bench/test_evidence.py", "-k", "time", "--noconftest"),
    study=(
        "torchvision:squeezenet1_1", "--seeds", "0", "--budget", "2 steps", "--image-size", "32",
        "--precision", "fp32",
    ),
    closing_seconds=4.0,
)  # fmt: skip
"""Sizes that take two CPUs at most a minute."""
