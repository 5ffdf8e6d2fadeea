"""Types of single fields, with their bounds, and the bounds that several modules share."""

from typing import Annotated, Literal

from msgspec import Meta

from intelbench.config.bounds import IMAGE_SIZE, MAX_SECONDS, MAX_SEED, POINTS

MAX_CLASSES = 2000
"""Twice those of ImageNet; a confusion matrix grows with the square."""
MAX_RUNS = 10_000
"""Largest number of runs of a suite; reports are tested with this number of records."""

Count = Annotated[int, Meta(ge=1, le=2**53)]
"""Up to 2^53 a float holds every whole number, and a budget's amount is one."""
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z"
"""One line without control characters, which a terminal would obey, and without bytes that are not UTF-8."""
Text = Annotated[
    str, Meta(pattern=PRINTABLE, max_length=4096, description="on one line, in UTF-8 and without control characters")
]
Name = Annotated[Text, Meta(min_length=1)]
Identifier = Annotated[
    str, Meta(pattern=r"^[a-z_][a-z0-9_]{0,99}\Z", description="of lower-case letters, digits and '_'")
]
Fraction = Annotated[float, Meta(gt=0, lt=1)]
Points = Annotated[float, Meta(ge=POINTS[0], lt=POINTS[1], description="in percentage points (1 is 1 %)")]
"""Difference of two shares."""
FileName = Annotated[str, Meta(min_length=1, max_length=255)]
"""No file system has longer names."""
Precision = Literal["auto", "fp32", "bf16", "fp16"]
DeviceKind = Literal["cpu", "cuda", "mps"]
"""`cuda` is an AMD GPU under ROCm too; `mps` is the GPU of an Apple computer."""
MemoryFormat = Literal["channels_last", "contiguous"]
StepKind = Literal["eager", "graph", "compile"]
StreamName = Literal["init", "order", "augment", "dropout", "labels", "split"]
"""Random streams that are derived from a seed."""
Vary = Literal["all", "init", "order", "augment", "dropout", "split"]
"""What differs between the seeds of a comparison."""
SeveralVary = Annotated[tuple[Vary, ...], Meta(min_length=1)]
Seeds = Annotated[tuple[Annotated[int, Meta(ge=0, le=MAX_SEED)], ...], Meta(min_length=1)]
ImageSize = Annotated[int, Meta(ge=IMAGE_SIZE[0], le=IMAGE_SIZE[1])]
ImagesPerClass = Annotated[tuple[Count | Literal["all"], ...], Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS, description="in seconds")]
CheckpointTime = Seconds | Literal["evaluations", "never"]
"""When to save a checkpoint: after this number of seconds, at each evaluation point, or never."""
Rerun = Literal["none", "interrupted", "failed", "all"]
"""Runs that are repeated."""
KeepWeights = Literal["best", "all", "none"]
"""Runs whose trained weights are kept."""
