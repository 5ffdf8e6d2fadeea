"""The frozen structs that travel between processes and lie in files.

Everything above this package speaks in these types; nothing here computes. Units stand in the names (`_seconds`,
`_bytes`, `num_`), an absent value is `None` and never 0, and the order of the fields is the order in the files.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from intelbench.config.conditions import Conditions
from intelbench.config.fields import MAX_CLASSES, Count, DeviceKind, FileName
from intelbench.records.profiles import (
    ArchitectureProfile,
    CalibrationWork,
    Contention,
    Energy,
    FilterGradients,
    GpuFacts,
    Number,
    PeakMemory,
    Preparation,
    Quantity,
)

SCHEMA_VERSION = 1

Colour = tuple[float, float, float]
FailureCause = Literal["out_of_memory", "killed", "timeout", "diverged", "error"]


class DataFacts(Struct, frozen=True, kw_only=True):
    """Which images a run saw."""

    source: str
    """As the user gave it."""
    digest: str
    """Over classes, split, path and content of every image used."""
    class_names: Annotated[tuple[FileName, ...], Meta(min_length=1, max_length=MAX_CLASSES)]
    num_train: Number
    num_validation: Number
    num_test: Number
    test_origin: Literal["given", "carved"]
    """Whether the folder brought a test split or one was carved from its only split."""
    num_unreadable: Number = 0
    """Files left out under `--skip-unreadable`."""
    num_train_test_duplicates: Number = 0
    """Test images whose bytes also stand in train or validation."""
    num_other_files: Number | None = None
    """Files in class folders that are no images by their name, are links to folders or the like, and were not used.
    `None` in records of before they were counted."""


class Execution(Struct, frozen=True, kw_only=True):
    """How a run is carried out: may change its speed, never which batches it sees."""

    device: DeviceKind
    threads: Annotated[int, Meta(ge=1, le=4096)]
    """Intra-op threads of PyTorch; part of what fixes the bits."""
    workers: Annotated[int, Meta(ge=0, le=4096)]
    """Threads that prepare batches ahead; 0 prepares them in the training thread."""
    cache: bool = True
    """Pixels from the decoded cache, or decoded anew each time."""
    device_index: Annotated[int, Meta(ge=0, le=1023)] | None = None
    """Number of the GPU, as of `cuda:1`; `None` for the first one, on a CPU, and in records older than this field. Runs
    on different GPUs may be compared if their names are equal."""


class Normalization(Struct, frozen=True, kw_only=True):
    """How pixels from 0 to 1 become what a network sees: the mean is taken off, and the rest divided; by colour."""

    mean: Colour
    std: Colour


IMAGENET_NORMALIZATION = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Of most published weights, and of every network that starts from none."""


class Weights(Struct, frozen=True, kw_only=True):
    """The file that a network started from."""

    file: str
    """Its name, without the folder."""
    sha256: str
    normalization: Normalization
    """What these weights were trained on."""


class RunSpec(Struct, frozen=True, kw_only=True):
    """One run: everything that decides its result, and nothing else."""

    architecture: FileName
    provider: str
    """Whose code builds it: `intelbench`, `torchvision VERSION`, or `FILE sha256:...` of a plug-in."""
    seed: int
    suite: str
    """Name of the suite it came from; the conditions below are the effective ones, overrides included."""
    data: DataFacts
    conditions: Conditions
    execution: Execution
    weights: Weights | None = None
    """`None` where the recipe has none, and in records older than this field."""
    suite_conditions: Conditions | None = None
    """What the suite says for all, where it gives architectures recipes of their own and `conditions` are those of this
    one. `None` where `conditions` are the suite's, and in records older than this field."""
    images_per_class: Count | None = None
    """Training images of each class, drawn by the seed; `None` for all, and in records older than this field."""

    @property
    def title(self) -> str:
        """What people call it: `resnet101, seed 0, 10 images a class`."""
        few = [] if self.images_per_class is None else [f"{self.images_per_class:,} images a class"]
        return ", ".join([self.architecture, f"seed {self.seed}", *few])

    @property
    def num_train(self) -> int:
        """Training images of the run."""
        few = self.images_per_class
        return self.data.num_train if few is None else few * len(self.data.class_names)

    @property
    def normalization(self) -> Normalization:
        """How the network is shown its images."""
        return self.weights.normalization if self.weights else IMAGENET_NORMALIZATION


class Environment(Struct, frozen=True, kw_only=True):
    """The machine and the libraries, as found; read once per process."""

    intelbench: str
    python: str
    torch: str
    torchvision: str
    numpy: str
    platform: str
    cpu: str
    cpu_capability: str
    """The instruction set that PyTorch's kernels use."""
    num_cpus: int
    """Processors this process may use."""
    memory_bytes: int
    device_name: str
    """The GPU's name, or the processor's for a CPU run."""
    cuda: str | None = None
    cudnn: str | None = None
    """MIOpen's version under ROCm."""
    driver: str | None = None
    rocm: str | None = None
    """`None` without an AMD GPU, and in records older than this field and the two below."""
    gpu: GpuFacts | None = None
    variables: dict[str, str] | None = None
    """Environment variables that change speed or bits, as far as they are set in the process of the run."""

    @property
    def fingerprint(self) -> tuple[str | None, ...]:
        """What decides bits and speed; equal fingerprints may share a table of times."""
        return (
            self.intelbench, self.torch, self.torchvision, self.cpu, self.cpu_capability,
            self.device_name, self.cuda, self.cudnn, self.driver, *filter(None, [self.rocm]),
        )  # fmt: skip


class Measurements(Struct, frozen=True, kw_only=True):
    """What was observed in a finished run, as scalars; the arrays lie in `traces.npz`."""

    num_parameters: Number
    num_trainable_parameters: Number
    training_flops_per_image: Quantity | None
    """Forward and backward of convolutions and matrix products at the run's size, 1 MAC = 2 FLOPs; `None` where the
    network cannot be traced, or where steps ran on features that were computed once."""
    num_steps: Count
    num_warmup_steps: Number
    training_seconds: Quantity
    """The budget's clock at the end: training alone, data wait included."""
    total_seconds: Quantity
    """From the start of the run to its last evaluation, everything included."""
    peak_memory: PeakMemory
    filter_gradients: FilterGradients | None = None
    """After training; `None` without convolutions that train. In records older than this field and the next it is
    `None` too."""
    first_step_seconds: Quantity | None = None
    """From the start of the process to the end of the first training step, with imports, data, building and the first
    calibration."""
    calibration: CalibrationWork | None = None
    """What was timed for `calibration_*` in `traces.npz`."""
    contention: Contention | None = None
    energy: Energy | None = None
    preparation: Preparation | None = None
    """`None` where the conditions ask for eager steps, and in records older than this field."""
    resumed_after: tuple[Number, ...] = ()
    """Training steps after which the run was interrupted and another process went on from a checkpoint; what is
    measured beside training is then of all its processes together."""


class Failure(Struct, frozen=True, kw_only=True):
    """Why a run has no measurements."""

    cause: FailureCause
    message: str
    step: Number | None
    """Training steps completed when it happened; `None` where it is not known or training had not begun."""
    details: str = ""
    """End of the traceback or of what the process wrote to stderr."""


class RunRecord(Struct, frozen=True, kw_only=True):
    """One `record.json`: written once, never changed."""

    schema_version: int
    run_id: str
    started_at: str
    """UTC, ISO 8601."""
    spec: RunSpec
    environment: Environment
    stream_digests: dict[int, str]
    """Chained digest of sample ids and augmentation parameters after so many steps."""
    profile: ArchitectureProfile | None = None
    """The network under the run's conditions at its batch size, found out in another process; the same for all seeds.
    `None` in records older than this field."""
    profile_absent: str | None = None
    """Why that could not be found out."""
    measurements: Measurements | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if (self.measurements is None) == (self.failure is None):
            raise ValueError("a record holds either `measurements` or `failure`")

    def __reduce__(self) -> tuple[Callable[[bytes], "RunRecord"], tuple[bytes]]:
        """Travel between processes in one piece, in a fifth of the time that its many parts take."""
        return _unpacked, (msgspec.msgpack.encode(self),)


def _unpacked(packed: bytes) -> RunRecord:
    return msgspec.msgpack.decode(packed, type=RunRecord)
