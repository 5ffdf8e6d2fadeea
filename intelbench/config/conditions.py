"""The conditions of a comparison, and a suite: architectures and seeds under one set of conditions."""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from intelbench.config.budget import Budget
from intelbench.config.fields import (
    MAX_RUNS,
    Count,
    Fraction,
    ImageSize,
    ImagesPerClass,
    KeepWeights,
    MemoryFormat,
    Name,
    Points,
    Precision,
    Seeds,
    SeveralVary,
    StepKind,
    Text,
    Vary,
)
from intelbench.config.recipe import Recipe


class Conditions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must be equal, besides the data, before two accuracies are compared."""

    image_size: ImageSize = 224
    """Height and width of the network's input in pixels."""
    validation_fraction: Fraction = 0.1
    """Share of the training images used for validation, chosen by their content, and not by the seed unless `vary` is
    `split`."""
    test_fraction: Fraction = 0.2
    """Share of all images used as the test split if the folder has none."""
    precision: Precision = "fp32"
    """`fp32` is true float32 (no TF32); `bf16` and `fp16` are autocast over float32 weights; `auto` is bf16 on a device
    with instructions for it, else fp32; the record has the resolved value."""
    memory_format: MemoryFormat = "channels_last"
    fused_optimizer: bool = True
    """Use one kernel for all parameters, if the optimizer has such a kernel: the same update, rounded differently."""
    deterministic: bool = True
    """Ask PyTorch for deterministic kernels."""
    step: StepKind = "eager"
    """How forward and backward pass of a training step are executed: `eager`, operation by operation; `graph`,
    replayed from a CUDA graph; `compile`, by `torch.compile`. Evaluation is always eager. Steps are eager if the device
    or the network does not allow another kind, and the record says why."""
    evaluation_points: Annotated[int, Meta(ge=1, le=10_000)] = 4
    """Number of validation passes, evenly spaced over the budget, the last one at its end; the record keeps the
    predictions of each."""
    training_evaluation_images: Count | None = None
    """Number of training images (a fixed, stratified subset) evaluated after training; `None` for all."""
    warmup_steps: Annotated[int, Meta(ge=0, le=2**53)] = 3
    """Number of first steps that are in the traces but not in statistics of step times."""
    budget: Budget
    recipe: Recipe

    def __post_init__(self) -> None:
        if self.budget.unit == "flops" and self.recipe.freezes:
            raise ValueError(
                "a budget in FLOPs needs a backbone that always trains (`recipe.freeze_backbone` is `never`, "
                "`recipe.frozen_fraction` is 0): otherwise the FLOPs of steps differ"
            )
        if self.recipe.shards > 1 and self.step != "eager":
            raise ValueError(
                f'`step` is "{self.step}", and `recipe.shards` is {self.recipe.shards}. Expected `step` "eager", '
                "because random numbers and buffers are set before each shard"
            )


class Override(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What replaces the shared budget and recipe for one architecture of a suite."""

    budget: Budget | None = None
    recipe: dict[str, Any] = {}
    """Keys of `Recipe`; each value replaces the shared one completely."""


class Suite(Conditions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A comparison on one data set under one set of conditions.

    Its runs are architectures x seeds x numbers of training images x sources of variance.
    """

    other_names: ClassVar[Mapping[str, str]] = {
        "dataset": "data",
        "models": "architectures",
        "networks": "architectures",
        "resolution": "image_size",
    }
    """Keys by the names that they have in other programs, for messages about unknown keys."""
    name: Name
    description: Text = ""
    architectures: Annotated[tuple[Name, ...], Meta(min_length=1)]
    seeds: Seeds
    data: Name = "scenes"
    """`scenes`, the built-in drawn data set, or a folder of images."""
    images_per_class: ImagesPerClass = ("all",)
    """Training images of each class; every architecture and seed is run with each number."""
    vary: Vary | SeveralVary = "all"
    """What differs between the seeds: `all`, every random stream; or only `init`, `order`, `augment`, `dropout` or
    `split`, while the others keep the first seed. Of several, every architecture and seed is run with each."""
    margin: Points = 1.0
    """Largest difference that counts as equivalent, in percentage points, or in hundredths of the unit of a metric that
    is no share; as `--margin` of the commands. It changes no run: records keep it for their report, and it is no part
    of their names."""
    metric: Name = "accuracy"
    """Metric of the test images by which the report ranks and compares architectures, such as `balanced_accuracy`,
    `macro_f1`, `auroc`, `log_loss`, or one of a plug-in. It changes no run: records keep it for their report, and it is
    no part of their names."""
    keep_weights: KeepWeights = "best"
    """Trained networks that are kept in weights/ of the results: of each architecture and execution the seed
    that is best by the metric of the suite on the validation images, of the runs on the most images and with the first
    word of `vary`; those of all runs; or none. This changes no run."""
    overrides: dict[Name, Override] = {}
    """Budgets and recipes of single architectures, by name, such as the recipes they were published with. Differences
    between these architectures are then differences of their recipes too, and the report says so."""

    def __post_init__(self) -> None:
        Conditions.__post_init__(self)
        factors = {name: len(getattr(self, name)) for name in ("architectures", "seeds", "images_per_class")}
        factors["vary"] = len(self.sources)
        if (num_runs := prod(factors.values())) > MAX_RUNS:
            several = " x ".join(f"`{name}`" for name, number in factors.items() if number > 1)
            raise ValueError(f"{several} are {num_runs:,} runs; at most {MAX_RUNS:,} are accepted")

    @property
    def sources(self) -> tuple[Vary, ...]:
        """Return what `vary` names, as a tuple."""
        return (self.vary,) if isinstance(self.vary, str) else self.vary

    @property
    def margin_fraction(self) -> float:
        """Return the margin as a fraction: 0.01 for one percentage point."""
        return round(self.margin / 100, 12)

    @property
    def conditions(self) -> Conditions:
        """The conditions that all runs share, without overrides."""
        return Conditions(**{name: getattr(self, name) for name in Conditions.__struct_fields__})
