"""The frozen structs of a record: what a run was asked to do, where it ran, and what was observed.

Names end in their units (`_seconds`, `_bytes`) or begin with `num_`. An absent value is `None` and never 0. Fields have
the order that they have in the files.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from intelbench.config.conditions import Conditions
from intelbench.config.fields import MAX_CLASSES, Count, DeviceKind, FileName, Fraction, StreamName, Vary
from intelbench.config.sequential import Look
from intelbench.errors import plural
from intelbench.records.profiles import (
    ArchitectureProfile,
    Contention,
    Energy,
    FeatureExtraction,
    FilterGradients,
    GpuFacts,
    Number,
    PeakMemory,
    Preparation,
    Quantity,
    RankFacts,
    ReferenceKernelWork,
)

SCHEMA_VERSION = 1

Colour = tuple[float, float, float]
FailureCause = Literal["out_of_memory", "killed", "timeout", "diverged", "lost", "error"]


def utc_now() -> str:
    """Return the time of now, as `started_at` of a record has it: UTC, ISO 8601, with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class DataFacts(Struct, frozen=True, kw_only=True):
    """The images of a run."""

    source: str
    """Source as the user gave it: a folder, `scenes`, or a table of a plug-in's source."""
    provider: str = "intelbench"
    """Provider of what reads the source: `intelbench`, or `FILE sha256:...` of a plug-in. The identity of a run has the
    digest of the images instead."""
    digest: str
    """Digest of the class, split, path and content of every image that is used."""
    class_names: Annotated[tuple[FileName, ...], Meta(min_length=1, max_length=MAX_CLASSES)]
    num_train: Number
    num_validation: Number
    num_test: Number
    test_origin: Literal["given", "carved"]
    """Whether the folder has a test split, or one was split off."""
    num_unreadable: Number
    """Files that `--skip-unreadable` left out."""
    num_train_test_duplicates: Number
    """Test images with the same bytes as an image in train or validation."""
    num_other_files: Number
    """Files in class folders that were not used, because they do not have the name of an image or are not files."""
    default_digest: str | None = None
    """Digest with the validation images that most runs have, if the seed of the run drew other ones; else `None`."""

    @property
    def comparable_digest(self) -> str:
        """Return the digest that is equal for runs on the same data set, also if their seeds drew validation images."""
        return self.default_digest or self.digest


class Execution(Struct, frozen=True, kw_only=True):
    """How a run is executed; this can change its speed but not its batches."""

    device: DeviceKind
    threads: Annotated[int, Meta(ge=1, le=4096)]
    """Intra-op threads of PyTorch; their number can change the bits of results."""
    workers: Annotated[int, Meta(ge=0, le=4096)]
    """Threads that load data; 0 loads it in the training thread."""
    cache: bool = True
    """Whether pixels come from the cache of decoded images, or are decoded for each batch."""
    device_index: Annotated[int, Meta(ge=0, le=1023)] | None = None
    """Number of the GPU, such as that of `cuda:1`; `None` for the first one, and on a CPU. Runs on different GPUs can
    be compared if the names of the GPUs are equal."""
    slots: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Runs that the host executes at once, each on a GPU or on processors of its own. Times are compared between runs
    with equal numbers alone, because runs next to each other share memory, disks and caches."""
    gpus: Annotated[int, Meta(ge=1, le=64)] = 1
    """GPUs that compute the run together, each its shards of every batch: that of `device_index` and those after it. On
    a CPU, the number of processes."""

    def machine(self, device_name: str) -> str:
        """Return the name of the device, with the number of GPUs or processes if there are several."""
        if self.gpus == 1:
            return device_name
        return f"{device_name}, {self.gpus} processes" if self.device == "cpu" else f"{self.gpus} × {device_name}"

    def of_rank(self, rank: int) -> "Execution":
        """Return how one of the `gpus` processes is executed, as if it was alone."""
        index = self.device_index if self.device != "cuda" or self.gpus == 1 else (self.device_index or 0) + rank
        return replace(self, gpus=1, device_index=index)


class Normalization(Struct, frozen=True, kw_only=True):
    """(x - mean) / std, per channel, of pixels from 0 to 1."""

    mean: Colour
    std: Colour


IMAGENET_NORMALIZATION = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Normalization of most published weights, and of every network without pretrained weights."""


class Preprocessing(Struct, frozen=True, kw_only=True):
    """How the publishers of weights prepare images for evaluation: resize, then cut out the central square."""

    image_size: Annotated[int, Meta(ge=1, le=65_536)]
    """Height and width of the central square, which is the input of the network, in pixels."""
    crop_fraction: Annotated[float, Meta(gt=0, le=1)]
    """Side of the central square as a fraction of the shorter side of the resized image."""
    interpolation: str
    """Of the resize: `bilinear`, `bicubic`."""


class Weights(Struct, frozen=True, kw_only=True):
    """The file of pretrained weights that a network started from."""

    file: str
    """Name of the file, without its folder; a file of a hub begins with its repository."""
    sha256: str
    normalization: Normalization
    """Normalization with which the weights were trained."""
    preprocessing: Preprocessing | None = None
    """How the publishers evaluate the weights, which the run did not do; `None` if that is not known."""
    licence: str | None = None
    """Licence of the weights, as the library that offers them says; `None` if it does not."""


class RunSpec(Struct, frozen=True, kw_only=True):
    """Everything that determines the result of a run, and what its report must know of the suite."""

    architecture: FileName
    provider: str
    """Provider of the architecture: `intelbench`, `torchvision VERSION`, or `FILE sha256:...` of a plug-in."""
    seed: int
    suite: str
    """Name of the suite; `conditions` are the effective ones, overrides included."""
    data: DataFacts
    conditions: Conditions
    execution: Execution
    optimizer_provider: str
    """Provider of the optimizer: `torch`, or `FILE sha256:...` of a plug-in."""
    transform_providers: tuple[str, ...] = ()
    """Providers of the recipe's transforms that are not built in: `FILE sha256:...` of plug-ins."""
    weights: Weights | None = None
    """`None` if the recipe has none."""
    suite_conditions: Conditions | None = None
    """Conditions of the suite without overrides, if it has overrides."""
    images_per_class: Count | None = None
    """Training images of each class, drawn by the seed; `None` for all."""
    vary: Vary = "all"
    """What differs between the seeds: `all`, every random stream, but not the validation images; or only what is named:
    one stream, or with `split` the validation images and the training images that `images_per_class` draws."""
    fixed_seed: int | None = None
    """Seed of what does not differ between the seeds; `None` if `vary` is `all`."""
    margin: Fraction = 0.01
    """Largest difference that counts as equivalent, of the suite, in the unit of the metric; of a share, a fraction. It
    is no part of the identity of the run, and runs with other margins are compared with it."""
    metric: FileName = "accuracy"
    """Metric of the suite, by which its report ranks architectures. It is no part of the identity of the run, and runs
    with other metrics are compared with it."""

    def __post_init__(self) -> None:
        if (self.vary == "all") != (self.fixed_seed is None):
            raise ValueError("`fixed_seed` is given if `vary` is not `all`, and only then")

    @property
    def title(self) -> str:
        """Return the run in words: `resnet101, seed 0, 10 images a class`."""
        few = [] if self.images_per_class is None else [f"{plural(self.images_per_class, 'image')} a class"]
        varied = [] if self.vary == "all" else [f"only {self.vary} varies"]
        return ", ".join([self.architecture, f"seed {self.seed}", *few, *varied])

    def seed_of(self, stream: StreamName) -> int:
        """Return the seed of a random stream of the run."""
        source = "split" if stream == "labels" else stream
        return self.seed if self.fixed_seed is None or self.vary == source else self.fixed_seed

    @property
    def num_train(self) -> int:
        """Return the number of training images of the run."""
        few = self.images_per_class
        return self.data.num_train if few is None else few * len(self.data.class_names)

    @property
    def normalization(self) -> Normalization:
        """Return the normalization of the input images."""
        return self.weights.normalization if self.weights else IMAGENET_NORMALIZATION


class Environment(Struct, frozen=True, kw_only=True):
    """The machine and the libraries, read once per process."""

    intelbench: str
    python: str
    torch: str
    torchvision: str
    numpy: str
    platform: str
    cpu: str
    cpu_capability: str
    """Instruction set of PyTorch's kernels."""
    num_cpus: int
    """Processors that the process may use."""
    memory_bytes: int
    device_name: str
    """Name of the GPU, or of the processor for a run on the CPU."""
    cuda: str | None = None
    cudnn: str | None = None
    """MIOpen's version under ROCm."""
    driver: str | None = None
    rocm: str | None = None
    """`None` without an AMD GPU."""
    gpu: GpuFacts | None = None
    variables: dict[str, str] = {}
    """Environment variables that can change speed or bits and are set in the process of the run."""

    @property
    def fingerprint(self) -> tuple[str | None, ...]:
        """Return what determines bits and speed; times with equal fingerprints can be compared."""
        return (
            self.intelbench, self.torch, self.torchvision, self.cpu, self.cpu_capability,
            self.device_name, self.cuda, self.cudnn, self.driver, *filter(None, [self.rocm]),
        )  # fmt: skip


class Measurements(Struct, frozen=True, kw_only=True):
    """Scalars that were observed in a finished run; arrays are in `traces.npz`."""

    num_parameters: Number
    num_trainable_parameters: Number
    training_flops_per_image: Quantity | None
    """FLOPs of forward and backward pass of convolutions and matrix products at the image size of the run, 1 MAC =
    2 FLOPs; `None` if the network cannot be traced, or if steps trained on stored features."""
    num_steps: Count
    num_warmup_steps: Number
    training_seconds: Quantity
    """Time of training at the end of the budget, data loading included, evaluation excluded."""
    total_seconds: Quantity
    """Time from the start of the run to its last evaluation, everything included."""
    peak_memory: PeakMemory
    """Of several processes, the largest of each figure."""
    filter_gradients: FilterGradients | None
    """Measured after training; `None` if no convolution is trained."""
    first_step_seconds: Quantity | None
    """Time from the start of the process to the end of the first training step: imports, data, building the network
    and the first reference kernels."""
    reference_kernels: ReferenceKernelWork
    """The reference kernels whose times are `reference_kernel_*` in `traces.npz`."""
    contention: Contention
    energy: Energy
    preparation: Preparation | None = None
    """`None` for eager steps."""
    features: FeatureExtraction | None = None
    """`None` if all steps were trained on images."""
    resumed_after: tuple[Number, ...] = ()
    """Training steps after which the run was interrupted and resumed from a checkpoint by another process; other
    measurements then add up all processes."""
    kept_step: Count | None = None
    """Step of the evaluation point whose weights were evaluated on the training and the test images, if the recipe
    keeps the best; `None` for those of the last step."""
    ranks: tuple[RankFacts, ...] = ()
    """The processes that computed the run together, by rank; empty for one process."""
    backend: str | None = None
    """What averaged the gradients of these processes: `gloo`, or `nccl` with its version."""


class Failure(Struct, frozen=True, kw_only=True):
    """Why a run has no measurements."""

    cause: FailureCause
    message: str
    step: Number | None
    """Completed training steps; `None` if unknown or before training."""
    details: str = ""
    """End of the traceback, or of the output to stderr."""
    preparation: Preparation | None = None
    """Of a run that diverged: capturing or compiling its steps; `None` for eager steps, and if unknown."""


class RunRecord(Struct, frozen=True, kw_only=True):
    """The content of `record.json`: written once, never changed."""

    schema_version: int
    run_id: str
    started_at: str
    """UTC, ISO 8601, with microseconds: it tells this record from another of the same run."""
    spec: RunSpec
    environment: Environment
    stream_digests: dict[int, str]
    """Chained digest of sample ids and augmentation parameters, by number of steps."""
    profile: ArchitectureProfile | None = None
    """Static analysis of the network under the conditions of the run, made in another process; equal for all seeds."""
    profile_absent: str | None = None
    """Why there is no profile."""
    look: Look | None = None
    """Look of a sequential design for which the run was made; `None` for a run of a fixed number of seeds. It is no
    part of the identity of the run: the same run can be used in both."""
    measurements: Measurements | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if (self.measurements is None) == (self.failure is None):
            raise ValueError("a record holds either `measurements` or `failure`")
