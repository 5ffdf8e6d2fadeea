"""What `intelbench profile` finds out about networks without training them, as frozen structs like those of a run."""

from typing import Literal

from msgspec import Struct

from intelbench.records.types import PeakMemory


class LegacySummary(Struct, frozen=True, kw_only=True):
    """torchsummary's estimate for one image in float32, in bytes."""

    activations_bytes: int
    """Outputs of all modules, twice."""
    parameters_bytes: int
    """`weight` and `bias` of each module, at each of its calls."""
    input_bytes: int
    num_calls: int
    """Calls of modules that were counted."""

    @property
    def total_bytes(self) -> int:
        """What torchsummary prints as "Estimated Total Size"."""
        return self.activations_bytes + self.parameters_bytes + self.input_bytes


class PredictedMemory(Struct, frozen=True, kw_only=True):
    """What a training step would take on a GPU, by the sizes of its tensors; the kinds add up to the peak."""

    batch_size: int
    peak_bytes: int
    """Most that all tensors together take, each rounded up to 512 bytes: to be held against `max_memory_allocated`."""
    reserved_bytes: int
    """What the caching allocator takes for that: to be held against `max_memory_reserved`."""
    parameters_bytes: int
    """At the moment of the peak, as the four below. Includes buffers."""
    gradients_bytes: int
    optimizer_state_bytes: int
    activations_bytes: int
    """Input, and what the forward pass leaves for the backward pass."""
    temporaries_bytes: int
    """What comes and goes within one pass."""


class MeasuredMemory(Struct, frozen=True, kw_only=True):
    """Peaks of a few real training steps on a GPU, in a process of their own."""

    batch_size: int
    peak: PeakMemory | None
    failure: str | None = None
    """Why there is no peak: the steps did not fit, or failed otherwise."""


class ArchitectureProfile(Struct, frozen=True, kw_only=True):
    """One network: what it holds, computes and needs."""

    architecture: str
    provider: str
    num_parameters: int
    num_trainable_parameters: int
    forward_macs_per_image: float | None
    """Multiply-accumulate operations of convolutions and matrix products, in evaluation mode."""
    training_flops_per_image: float | None
    """Forward and backward of the same, 1 MAC = 2 FLOPs, as far as it is trained."""
    legacy: LegacySummary | None
    """Of the network as it is profiled."""
    published: LegacySummary | None
    """Of the network with 1000 classes at 300 px, which is what was published."""
    memory: tuple[PredictedMemory, ...]
    """By batch size."""
    largest_batch: dict[int, int]
    """Most images a step that fit, by gigabytes (10^9 bytes) of GPU memory; 0 where not even one does."""
    measured: tuple[MeasuredMemory, ...]
    """By batch size; empty without a GPU."""
    absent: dict[str, str]
    """Why a field is `None` or empty."""


class Profile(Struct, frozen=True, kw_only=True):
    """What was asked for, and the answer for each architecture."""

    image_size: int
    num_classes: int
    precision: Literal["fp32", "bf16"]
    optimizer: str
    frozen: bool
    """Whether the backbone is, so that the heads alone train."""
    torch: str
    torchvision: str
    gpu: str | None
    """Its name, where one was there to measure on."""
    architectures: tuple[ArchitectureProfile, ...]
