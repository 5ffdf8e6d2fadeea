"""The conditions of a comparison, and a suite: architectures and seeds under one set of conditions."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from intelbench.config.budget import Budget
from intelbench.config.fields import MAX_RUNS, Count, Fraction, MemoryFormat, Name, Precision, StepKind, Text
from intelbench.config.recipe import Recipe


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


class Override(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
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
    overrides: dict[Name, Override] = {}
    """By architecture: recipes that are not the same for all, as publications have them. Differences between these
    architectures are then those of their recipes too, and the report says so."""

    def __post_init__(self) -> None:
        Conditions.__post_init__(self)
        if (num_runs := len(self.architectures) * len(self.seeds) * len(self.images_per_class)) > MAX_RUNS:
            factors = "`architectures` x `seeds`" + " x `images_per_class`" * (len(self.images_per_class) > 1)
            raise ValueError(f"{factors} are {num_runs:,} runs; at most {MAX_RUNS:,} are accepted")

    @property
    def conditions(self) -> Conditions:
        """The part that every run of the suite shares, but for what is an architecture's own."""
        return Conditions(**{name: getattr(self, name) for name in Conditions.__struct_fields__})
