"""What profilers measure, as frozen structs: properties of a network, and resources that a run used."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Number = Annotated[int, Meta(ge=0)]
"""A count, of bytes for example."""
Quantity = Annotated[float, Meta(ge=0)]
"""A measured quantity: seconds, joules, FLOPs."""


class PeakMemory(Struct, frozen=True, kw_only=True):
    """Peaks over the training steps. The figures are different quantities; none replaces another."""

    process_bytes: Number | None
    """On a CPU: peak resident memory of the process above its value before the model was built.

    It includes the code of PyTorch that training uses first. On Linux the process is forked from one that has imported
    PyTorch, which adds some MiB (ResNet-18 at 76 px: 334 instead of 324 to 332; SqueezeNet 1.1: 128 to 132 instead of
    118).
    """
    cuda_allocated_bytes: Number | None
    """`torch.cuda.max_memory_allocated`: tensors."""
    cuda_reserved_bytes: Number | None
    """`torch.cuda.max_memory_reserved`: tensors and the allocator's cache."""
    nvml_process_bytes: Number | None
    """Memory of the process at the end of the run as the driver counts it, CUDA context included."""
    absent: dict[str, str]
    """Why a figure is `None`, by field."""
    cublas_workspace_bytes: Number | None = None
    """On a GPU: workspace of cuBLAS, which is part of both CUDA figures but of no prediction. `None` on a CPU, as are
    the two fields below."""
    num_alloc_retries: Number | None = None
    """How often PyTorch's allocator emptied its cache and asked the driver again, which takes time."""
    num_ooms: Number | None = None
    """How often the driver refused memory."""


class RankFacts(Struct, frozen=True, kw_only=True):
    """One of several processes that computed a run together."""

    host: str
    """Name of the machine."""
    device: str
    """`cuda:1`, `cpu`."""
    peak_memory: PeakMemory
    """Of a run that was resumed, of the last process."""


class FilterGradients(Struct, frozen=True, kw_only=True):
    """How many convolution filters receive a gradient from validation images, in evaluation mode."""

    num_filters: Number
    num_without_gradient: Number
    """Filters for which the gradient of the loss is exactly 0 for every batch."""
    num_images: Number


class ReferenceKernelWork(Struct, frozen=True, kw_only=True):
    """The reference kernels, whose times show how fast the machine is, in the precision of the run."""

    convolution_flops: Quantity
    """FLOPs of one forward convolution; 1 MAC = 2 FLOPs."""
    matmul_flops: Quantity
    """FLOPs of one matrix product."""
    copy_bytes: Quantity | None = None
    """On a GPU: bytes that one copy within its memory reads and writes. `None` on a CPU."""


class Preparation(Struct, frozen=True, kw_only=True):
    """Capturing or compiling the passes of training steps, in a run whose conditions ask for it."""

    num_prepared: Number
    """Captures of a CUDA graph, or compilations: one, and one more where a backbone is unfrozen and in each process
    that resumed the run."""
    seconds: Quantity
    """Time for all of them, a failed one included; it is outside the budget and in no step time."""
    fallback: str | None = None
    """Why one failed. All later steps of the run were eager."""


class FeatureExtraction(Struct, frozen=True, kw_only=True):
    """Features of a frozen backbone that a run used instead of images: computed by it, or read from an earlier run."""

    num_images: Number
    """Passes of an image through the backbone: of every stored view of training images, and of the validation, test and
    training images that were evaluated on features."""
    num_stored_images: Number
    """Those of an earlier run, which this one has read."""
    seconds: Quantity
    """Time that all passes took, loading of the images included, in the run that computed them."""

    def __post_init__(self) -> None:
        if self.num_stored_images > self.num_images:
            raise ValueError(f"`num_stored_images` is at most `num_images`, {self.num_images}")


class Contention(Struct, frozen=True, kw_only=True):
    """Other use of the machine from the first training step to the last, validation passes included."""

    seconds: Quantity
    """Wall clock."""
    load_before: Quantity
    """Processes running or waiting, averaged over the minute before."""
    load_after: Quantity
    involuntary_switches: Number
    """Involuntary context switches of the run's process."""
    others_cpu_seconds: Quantity | None
    """CPU seconds of all other processes on the CPUs that the run may use; `None` if the kernel does not report
    them."""
    stolen_cpu_seconds: Quantity | None
    """CPU seconds that the hypervisor gave to other machines (steal time); `None` if not reported."""
    suspended_seconds: Quantity | None = None
    """Time for which the machine was suspended; the budget's clock did not run. `None` if the system does not report
    it."""
    clock_shift_seconds: Quantity | None = None
    """Sum of the absolute changes of the system clock."""


class Energy(Struct, frozen=True, kw_only=True):
    """Energy from a counter of the device over the same time; never an estimate."""

    source: Literal["nvml", "rapl"] | None
    """The GPU's own counter, or those of the processor packages."""
    joules: Quantity | None
    seconds: Quantity
    """Wall clock."""
    idle_joules: Quantity | None
    """Energy over a time right before, in which the process was idle."""
    idle_seconds: Quantity
    absent: str | None = None
    """Why there are no joules."""


class GpuFacts(Struct, frozen=True, kw_only=True):
    """Properties and settings of a GPU, from PyTorch and NVML; unknown ones are `None`."""

    capability: str | None
    """CUDA's compute capability."""
    memory_bytes: Number | None
    power_limit_watts: Quantity | None = None
    """The limit in effect, which may be below the GPU's default."""
    max_sm_clock_megahertz: Quantity | None = None
    """Highest clock of the GPU's multiprocessors."""
    ecc: bool | None = None
    """Whether memory errors are corrected, which costs bandwidth on some GPUs."""
    mig: bool | None = None
    """Whether the GPU is divided into parts (multi-instance GPU)."""
    absent: str | None = None
    """Why NVML gave no figures."""


class TorchsummaryEstimate(Struct, frozen=True, kw_only=True):
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
        """Return what torchsummary prints as "Estimated Total Size", in bytes."""
        return self.activations_bytes + self.parameters_bytes + self.input_bytes


class PredictedMemory(Struct, frozen=True, kw_only=True):
    """Predicted memory of a training step on a GPU, from the sizes of its tensors; the kinds add up to the peak."""

    batch_size: Number
    peak_bytes: Number
    """Peak of all tensors, each rounded up to 512 bytes; comparable with `max_memory_allocated`."""
    reserved_bytes: Number
    """Memory that the caching allocator reserves for them; comparable with `max_memory_reserved`."""
    parameters_bytes: Number
    """Parameters and buffers at the moment of the peak; the four kinds below are for the same moment."""
    gradients_bytes: Number
    optimizer_state_bytes: Number
    """Includes the average of the weights, if the recipe has one."""
    activations_bytes: Number
    """Input, and tensors that the forward pass saves for the backward pass."""
    temporaries_bytes: Number
    """Tensors that live within one pass."""


class MeasuredMemory(Struct, frozen=True, kw_only=True):
    """Peak memory of a real training step, in a process of its own."""

    batch_size: Number
    peak: PeakMemory | None
    failure: str | None = None
    """Why there is no peak: the step did not fit, or failed for another reason."""


class ArchitectureProfile(Struct, frozen=True, kw_only=True):
    """Static analysis of one network: parameters, FLOPs, memory."""

    architecture: str
    provider: str
    num_parameters: Number
    num_trainable_parameters: Number
    forward_macs_per_image: Quantity | None
    """Multiply-accumulate operations of convolutions and matrix products, in evaluation mode."""
    training_flops_per_image: Quantity | None
    """FLOPs of their forward and backward pass, without the backward pass of frozen layers; 1 MAC = 2 FLOPs."""
    torchsummary: TorchsummaryEstimate | None
    """Estimate for the network as it is profiled."""
    published: TorchsummaryEstimate | None
    """Estimate for the network with 1000 classes at 300 px, if one was published."""
    num_parameters_1000_classes: Number | None
    """Parameters of the network with 1000 classes."""
    memory: tuple[PredictedMemory, ...]
    """By batch size."""
    largest_batch: dict[int, Number]
    """Largest batch size that fits, by gigabytes (10^9 bytes) of GPU memory; 0 if a single image does not fit."""
    measured: tuple[MeasuredMemory, ...]
    """By batch size; empty if nothing was measured."""
    absent: dict[str, str]
    """Why a field is `None` or empty."""


class Profile(Struct, frozen=True, kw_only=True):
    """Conditions of a static analysis, and its result for each architecture."""

    image_size: int
    num_classes: int
    precision: Literal["fp32", "bf16"]
    optimizer: str
    frozen: bool
    """Whether the backbone is frozen and only the heads are trained."""
    torch: str
    torchvision: str
    gpu: str | None
    """Name of the GPU on which memory was measured."""
    architectures: tuple[ArchitectureProfile, ...]
    failures: dict[str, str] = {}
    """Why an architecture has no profile, by name."""

    @property
    def incomplete(self) -> dict[str, str]:
        """Return why architectures have no profile, or no predicted memory in it, by name."""
        unpredicted = {each.architecture: each.absent["memory"] for each in self.architectures if not each.memory}
        return unpredicted | self.failures
