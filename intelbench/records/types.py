"""The frozen structs that travel between processes and lie in files.

Everything above this package speaks in these types; nothing here computes. Units stand in the names (`_seconds`,
`_bytes`, `num_`), an absent value is `None` and never 0, and the order of the fields is the order in the files.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

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
from intelbench.records.refusals import expected

SCHEMA_VERSION = 1

MOST_BATCH = 65_536
"""Images a step: twice what large-batch training was published with (You et al., 2017)."""
MOST_CLASSES = 2000
"""Twice those of ImageNet; a confusion matrix grows with the square."""
MOST_RUNS = 10_000
"""Architectures x seeds x numbers of images of a suite; the report is made for so many records."""

Count = Annotated[int, Meta(ge=1, le=2**53)]
"""Up to 2^53 a float holds every whole number, and a budget's amount is one."""
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*\Z"
"""One line without control characters, which a terminal would obey."""
Text = Annotated[
    str, Meta(pattern=PRINTABLE, max_length=4096, description="on one line and without control characters")
]
Name = Annotated[Text, Meta(min_length=1)]
Fraction = Annotated[float, Meta(gt=0, lt=1)]
Colour = tuple[float, float, float]
FileName = Annotated[str, Meta(min_length=1, max_length=255)]
"""No file system has longer names."""
Precision = Literal["auto", "fp32", "bf16", "fp16"]
DeviceKind = Literal["cpu", "cuda", "mps"]
"""`cuda` is an AMD GPU under ROCm too; `mps` is the GPU of an Apple computer."""
MemoryFormat = Literal["channels_last", "contiguous"]
StepKind = Literal["eager", "graph", "compile"]
BudgetUnit = Literal["steps", "epochs", "images", "seconds", "flops"]
FailureCause = Literal["out_of_memory", "killed", "timeout", "diverged", "error"]

_UNIT_SPELLINGS: dict[str, tuple[BudgetUnit, float]] = {
    "step": ("steps", 1), "steps": ("steps", 1),
    "epoch": ("epochs", 1), "epochs": ("epochs", 1),
    "image": ("images", 1), "images": ("images", 1),
    "s": ("seconds", 1), "sec": ("seconds", 1), "second": ("seconds", 1), "seconds": ("seconds", 1),
    "min": ("seconds", 60), "minute": ("seconds", 60), "minutes": ("seconds", 60),
    "h": ("seconds", 3600), "hour": ("seconds", 3600), "hours": ("seconds", 3600),
    "flop": ("flops", 1), "flops": ("flops", 1),
}  # fmt: skip


class Budget(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a run may spend on training: exactly one of five things, the same for every architecture of a suite."""

    steps: Count | None = None
    """Optimizer steps."""
    epochs: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """Passes over the training images; each holds as many whole batches as fit."""
    images: Count | None = None
    """Training images consumed, rounded up to a whole batch."""
    seconds: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """Wall-clock seconds of training; evaluation, saving and logging are outside the clock."""
    flops: Annotated[float, Meta(gt=0, le=1e30)] | None = None
    """Training FLOPs (forward and backward, 1 MAC = 2 FLOPs), rounded down to a whole batch."""

    def __post_init__(self) -> None:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a budget is exactly one of {', '.join(self.__struct_fields__)}; got {', '.join(given) or 'none'}"
            )

    @property
    def unit(self) -> BudgetUnit:
        """Which of the five was given."""
        for name in ("steps", "epochs", "images", "seconds"):
            if getattr(self, name) is not None:
                return name
        return "flops"

    @property
    def amount(self) -> float:
        """How much of `unit`."""
        value: float = getattr(self, self.unit)
        return value

    def __str__(self) -> str:
        """In full, so that `parse` reads the same budget back: `60 s`, `2.5 epochs`."""
        amount = int(self.amount) if float(self.amount).is_integer() and self.amount < 1e15 else self.amount
        return f"{amount!r} {'s' if self.unit == 'seconds' else self.unit}"

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read a budget as people write it: `60 s`, `5 min`, `30 steps`, `2 epochs`, `10000 images`, `1e15 flops`.

        Raises:
            ValueError: `text` is not a number and a known unit, or the number is out of bounds.
        """
        amount_pattern = r"(?:[0-9]+(?:_[0-9]+)*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
        match = re.fullmatch(rf"\s*({amount_pattern})\s*([A-Za-z]+)\s*", text)
        if match is None or match[2].lower() not in _UNIT_SPELLINGS:
            raise ValueError(
                "not a budget. Expected a positive number and a unit. Try '60 s', '5 min', '30 steps', '2 epochs', "
                "'10000 images' or '1e15 flops'"
            )
        unit, factor = _UNIT_SPELLINGS[match[2].lower()]
        amount = float(match[1]) * factor
        try:
            return msgspec.convert({unit: int(amount) if amount.is_integer() else amount}, cls)
        except msgspec.ValidationError as error:
            field = next(each for each in msgspec.structs.fields(cls) if each.name == unit)
            raise ValueError(f"not a budget. Expected, in {unit}, {expected(field.type)}") from error


class Head(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What turns the features of an image into logits, in place of each head that the architecture has."""

    kind: Literal["linear", "mlp"] = "linear"
    """`linear` leaves the architecture's own; `mlp` puts hidden layers before it."""
    widths: Annotated[tuple[Annotated[int, Meta(ge=1, le=65_536)], ...], Meta(max_length=16)] = ()
    """Units of each hidden layer of an `mlp`."""
    activation: Literal["relu", "leaky_relu"] = "relu"
    """After each hidden layer; LeakyReLU with slope 0.01."""
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """After each activation."""

    def __post_init__(self) -> None:
        if self.kind == "mlp" and not self.widths:
            raise ValueError("an `mlp` has `widths`, the units of its hidden layers, as in [1024, 256]")
        if self.kind == "linear" and (self.widths or self.dropout or self.activation != "relu"):
            raise ValueError(
                "a `linear` head has no hidden layer; `widths`, `activation` and `dropout` are of an `mlp`"
            )


OWN_HEAD = Head()
"""The architecture's own."""


class Recipe(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a network is trained: all that a comparison could smuggle in under the name of an architecture."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Meta(gt=0, le=1e6)] = 1e-4
    """Peak learning rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: `cosine` falls to zero at the budget's end (Loshchilov and Hutter, 2017)."""
    warmup_fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Share of the budget in which the learning rate rises linearly, from a 25th of its peak."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's two decay rates; for `sgd` the first is the momentum."""
    weight_decay: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    batch_size: Annotated[int, Meta(ge=2, le=MOST_BATCH)] = 32
    """Images a step; at least 2, because batch norm needs them."""
    crop_scale: tuple[Annotated[float, Meta(gt=0, le=1)], Annotated[float, Meta(gt=0, le=1)]] = (0.08, 1.0)
    """Smallest and largest share of the image's area that a random resized crop takes."""
    crop_ratio: tuple[Annotated[float, Meta(ge=0.01, le=100)], Annotated[float, Meta(ge=0.01, le=100)]] = (3 / 4, 4 / 3)
    """Narrowest and widest aspect ratio (width / height) of the crop."""
    flip: bool = True
    """Mirror every second training image, left to right."""
    zero_init_residual: bool = False
    """Start each residual block as the identity (Goyal et al., 2017), where the architecture offers it."""
    own_initialization: bool = True
    """Initialise as the architecture's authors did, where torchvision makes that a choice; else PyTorch's defaults."""
    weights: Name = "none"
    """What all but the head starts from: `none`, which is the seed's own initialisation; `imagenet`, the published
    weights of each architecture (torchvision's IMAGENET1K_V1), or `imagenet-v2`; or a file with a state dict."""
    head: Head = OWN_HEAD
    freeze_backbone: Literal["never", "always"] | Annotated[float, Meta(gt=0, le=1e9)] = "never"
    """Whether all but the head is left as it is: never, always, or for so many epochs, after which everything trains.
    What is frozen is in evaluation mode, batch norm and dropout included."""
    backbone_learning_rate: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    """Learning rate of all but the head, as a multiple of the head's."""
    augmentation: Literal["fresh", "none"] | Count = "fresh"
    """How training images are shown: cropped and mirrored afresh in each epoch; as evaluation sees them; or in so many
    views, drawn as for the first epochs and used in turn."""

    def __post_init__(self) -> None:
        for name in ("crop_scale", "crop_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"`{name}` is [smallest, largest]; got [{low}, {high}]")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"`betas` must lie in [0, 1); got {list(self.betas)}")


class Conditions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must be equal before two accuracies may stand in one table (beside the data themselves)."""

    image_size: Annotated[int, Meta(ge=8, le=4096)] = 224
    """Height and width of what the network sees, in pixels; at 4096 an image takes 200 MB as float32."""
    validation_fraction: Fraction = 0.1
    """Share of the training images set aside for validation, by content and not by seed."""
    test_fraction: Fraction = 0.2
    """Share carved out as the test split where the folder brings none."""
    precision: Precision = "fp32"
    """`fp32` is true float32 (no TF32); `bf16` and `fp16` are autocast over float32 weights; `auto` is bf16 on a device
    with instructions for it, else fp32, and a record says which."""
    memory_format: MemoryFormat = "channels_last"
    fused_optimizer: bool = True
    """One kernel for the whole optimizer step; the same update in a different rounding."""
    deterministic: bool = True
    """Ask PyTorch for deterministic kernels."""
    step: StepKind = "eager"
    """How the forward and the backward pass of a training step are carried out: `eager`, operation by operation;
    `graph`, replayed from a CUDA graph; `compile`, by `torch.compile`. Evaluation is always eager. Where the device or
    the network does not allow it, steps are eager, and the record says why."""
    evaluation_points: Annotated[int, Meta(ge=1, le=10_000)] = 4
    """Validation passes, evenly spaced over the budget; the last one falls at its end. Predictions of each are kept."""
    training_evaluation_images: Count | None = None
    """Training images (a fixed, stratified subset) evaluated at the end; all of them when absent."""
    warmup_steps: Annotated[int, Meta(ge=0, le=2**53)] = 3
    """First steps kept in the traces and left out of step-time statistics."""
    budget: Budget
    recipe: Recipe

    def __post_init__(self) -> None:
        if self.budget.unit == "flops" and self.recipe.freeze_backbone != "never":
            raise ValueError(
                "a budget in FLOPs needs `recipe.freeze_backbone` to be `never`: else they differ from step to step"
            )


class Own(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What an architecture of a suite has in place of what the others share."""

    budget: Budget | None = None
    recipe: dict[str, Any] = {}
    """Keys of `Recipe`; each replaces the shared value as a whole."""


class Suite(Conditions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A comparison: architectures x seeds x numbers of images, under one set of conditions, on one data set."""

    name: Name
    description: Text = ""
    architectures: Annotated[tuple[Name, ...], Meta(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Meta(ge=0, le=2**63 - 1)], ...], Meta(min_length=1)]
    data: Name = "scenes"
    """`scenes`, the built-in drawn data set, or a folder of images."""
    images_per_class: Annotated[tuple[Count | Literal["all"], ...], Meta(min_length=1)] = ("all",)
    """Training images of each class that a run may learn from; each number is run with every architecture and seed."""
    own: dict[Name, Own] = {}
    """By architecture: recipes that are not the same for all, as publications have them. Differences between these
    architectures are then those of their recipes too, and the report says so."""

    def __post_init__(self) -> None:
        Conditions.__post_init__(self)
        if (num_runs := len(self.architectures) * len(self.seeds) * len(self.images_per_class)) > MOST_RUNS:
            factors = "`architectures` x `seeds`" + " x `images_per_class`" * (len(self.images_per_class) > 1)
            raise ValueError(f"{factors} are {num_runs:,} runs; at most {MOST_RUNS:,} are accepted")

    @property
    def conditions(self) -> Conditions:
        """The part that every run of the suite shares, but for what is an architecture's own."""
        return Conditions(**{name: getattr(self, name) for name in Conditions.__struct_fields__})


class DataFacts(Struct, frozen=True, kw_only=True):
    """Which images a run saw."""

    source: str
    """As the user gave it."""
    digest: str
    """Over classes, split, path and content of every image used."""
    class_names: Annotated[tuple[FileName, ...], Meta(min_length=1, max_length=MOST_CLASSES)]
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
