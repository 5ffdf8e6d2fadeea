"""What the profilers find out, as frozen structs: about a network before it is trained, and about a run beside it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Number = Annotated[int, Meta(ge=0)]
"""How many of something there are, bytes among them."""
Quantity = Annotated[float, Meta(ge=0)]
"""What is measured: seconds, joules, FLOPs."""


class PeakMemory(Struct, frozen=True, kw_only=True):
    """Peaks over the training steps. Each figure is another quantity; none stands in for another."""

    process_bytes: Number | None
    """CPU runs: the process's high-water mark of resident memory above its value before the model was built.

    It holds the code of PyTorch that training uses first. On Linux, where the process is a copy of one that has
    imported PyTorch, that is some MiB more than in a process of its own (ResNet-18 at 76 px: 334 against 324 to 332;
    SqueezeNet 1.1: 128 to 132 against 118).
    """
    cuda_allocated_bytes: Number | None
    """`torch.cuda.max_memory_allocated`: tensors."""
    cuda_reserved_bytes: Number | None
    """`torch.cuda.max_memory_reserved`: tensors and the allocator's cache."""
    nvml_process_bytes: Number | None
    """What the driver counts for the process at the end, CUDA context included."""
    absent: dict[str, str]
    """Why a figure is `None`, by field."""
    cublas_workspace_bytes: Number | None = None
    """On a GPU: what cuBLAS has taken for itself, which is in both CUDA figures and in no prediction. `None` on a CPU,
    and in records older than this field and the two below."""
    num_alloc_retries: Number | None = None
    """How often PyTorch's allocator had to empty its cache and ask the driver again, which takes time."""
    num_ooms: Number | None = None
    """How often memory was refused."""


class FilterGradients(Struct, frozen=True, kw_only=True):
    """Which convolution filters can still learn from validation images, in evaluation mode."""

    num_filters: Number
    num_without_gradient: Number
    """For those, the gradient of the loss is exactly 0 for every batch."""
    num_images: Number


class CalibrationWork(Struct, frozen=True, kw_only=True):
    """The work whose times tell how fast this machine is, whatever is trained on it, in the precision of the run."""

    convolution_flops: Quantity
    """Of one convolution, forward; 1 MAC = 2 FLOPs."""
    matmul_flops: Quantity
    """Of one matrix product."""
    copy_bytes: Quantity | None = None
    """On a GPU: bytes that one copy within its memory reads and writes. `None` on a CPU, and in records older than this
    field."""


class Preparation(Struct, frozen=True, kw_only=True):
    """What it took to capture or compile the passes of training steps, in a run whose conditions ask for that."""

    num_prepared: Number
    """Captures of a CUDA graph, or compilations: one, and one more where a backbone is unfrozen and in each process
    that resumed the run."""
    seconds: Quantity
    """What they took, a failed one included; in no step time, and outside the budget."""
    fallback: str | None = None
    """Why one was not possible. All later steps of the run were eager."""


class Contention(Struct, frozen=True, kw_only=True):
    """Who else used the machine between the first training step and the last, validation passes included."""

    seconds: Quantity
    """Wall clock."""
    load_before: Quantity
    """Processes running or waiting, averaged over the minute before."""
    load_after: Quantity
    involuntary_switches: Number
    """How often the run's process had to give up a processor that it wanted to keep."""
    others_cpu_seconds: Quantity | None
    """Processor seconds that all other processes took; `None` where the kernel does not tell."""
    stolen_cpu_seconds: Quantity | None
    """Processor seconds that the hypervisor gave to somebody else; `None` where the kernel does not tell."""
    suspended_seconds: Quantity | None = None
    """How long the machine slept meanwhile; the budget's clock did not run then. `None` where the system does not tell,
    and in records older than this field and the next."""
    clock_shift_seconds: Quantity | None = None
    """How far the time of day was set forward or back meanwhile, added up without sign."""


class Energy(Struct, frozen=True, kw_only=True):
    """What a counter of the device counted over the same time; never an estimate."""

    source: Literal["nvml", "rapl"] | None
    """The GPU's own counter, or those of the processor packages."""
    joules: Quantity | None
    seconds: Quantity
    """Wall clock."""
    idle_joules: Quantity | None
    """Over the time just before, in which the process did nothing."""
    idle_seconds: Quantity
    absent: str | None = None
    """Why there are no joules."""


class GpuFacts(Struct, frozen=True, kw_only=True):
    """What is set on a GPU, by PyTorch and by the driver's library NVML; what neither tells is `None`."""

    capability: str | None
    """CUDA's compute capability."""
    memory_bytes: Number | None
    power_limit_watts: Quantity | None = None
    """The limit in force, which may be below the GPU's own."""
    max_sm_clock_megahertz: Quantity | None = None
    """Highest clock of the GPU's multiprocessors."""
    ecc: bool | None = None
    """Whether memory errors are corrected, which costs bandwidth on some GPUs."""
    mig: bool | None = None
    """Whether the GPU is divided into parts (multi-instance GPU)."""
    absent: str | None = None
    """Why NVML told nothing."""


class LegacySummary(Struct, frozen=True, kw_only=True):
    """torchsummary's estimate for one image in float32, in bytes."""

    activations_bytes: Number
    """Outputs of all modules, twice."""
    parameters_bytes: Number
    """`weight` and `bias` of each module, at each of its calls."""
    input_bytes: Number
    num_calls: Number
    """Calls of modules that were counted."""

    @property
    def total_bytes(self) -> int:
        """What torchsummary prints as "Estimated Total Size"."""
        return self.activations_bytes + self.parameters_bytes + self.input_bytes


class PredictedMemory(Struct, frozen=True, kw_only=True):
    """What a training step would take on a GPU, by the sizes of its tensors; the kinds add up to the peak."""

    batch_size: Number
    peak_bytes: Number
    """Most that all tensors together take, each rounded up to 512 bytes: to be held against `max_memory_allocated`."""
    reserved_bytes: Number
    """What the caching allocator takes for that: to be held against `max_memory_reserved`."""
    parameters_bytes: Number
    """At the moment of the peak, as the four below. Includes buffers."""
    gradients_bytes: Number
    optimizer_state_bytes: Number
    activations_bytes: Number
    """Input, and what the forward pass leaves for the backward pass."""
    temporaries_bytes: Number
    """What comes and goes within one pass."""


class MeasuredMemory(Struct, frozen=True, kw_only=True):
    """Peaks of a few real training steps, in a process of their own."""

    batch_size: Number
    peak: PeakMemory | None
    failure: str | None = None
    """Why there is no peak: the steps did not fit, or failed otherwise."""


class ArchitectureProfile(Struct, frozen=True, kw_only=True):
    """One network: what it holds, computes and needs."""

    architecture: str
    provider: str
    num_parameters: Number
    num_trainable_parameters: Number
    forward_macs_per_image: Quantity | None
    """Multiply-accumulate operations of convolutions and matrix products, in evaluation mode."""
    training_flops_per_image: Quantity | None
    """Forward and backward of the same, 1 MAC = 2 FLOPs, as far as it is trained."""
    legacy: LegacySummary | None
    """Of the network as it is profiled."""
    published: LegacySummary | None
    """Of the network with 1000 classes at 300 px, where that was published."""
    num_parameters_1000_classes: Number | None = None
    """Of the network with 1000 classes; `None` in records older than this field too."""
    memory: tuple[PredictedMemory, ...]
    """By batch size."""
    largest_batch: dict[int, Number]
    """Most images a step that fit, by gigabytes (10^9 bytes) of GPU memory; 0 where not even one does."""
    measured: tuple[MeasuredMemory, ...]
    """By batch size; empty where nothing was measured."""
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
    failures: dict[str, str] = {}
    """Why an architecture that was asked for has no profile."""
