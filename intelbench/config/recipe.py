"""The training recipe: optimizer, schedule, augmentation, weights and head."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, to_builtins

from intelbench.config.bounds import BATCH_SIZE
from intelbench.config.fields import Count, Identifier, Name

_FiniteNumber = Annotated[float, Meta(ge=-1e9, le=1e9)]
ArgumentValue = bool | int | _FiniteNumber | str | tuple[bool | int | _FiniteNumber, ...]
"""Value of a keyword argument of an optimizer or of a transform."""


class Head(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The layers that turn features into logits; they replace each head of the architecture."""

    kind: Literal["linear", "mlp"] = "linear"
    """`linear` keeps the head of the architecture; `mlp` puts hidden layers before it."""
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


ORIGINAL_HEAD = Head()
"""The head of the architecture, unchanged."""


class Recipe(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a network is trained: everything that could be mistaken for a merit of the architecture."""

    other_names: ClassVar[Mapping[str, str]] = {
        "lr": "learning_rate",
        "scheduler": "schedule",
        **{name: f"optimizer_arguments.{name}" for name in ("betas", "eps", "momentum", "nesterov", "weight_decay")},
    }
    """Keys by the names that they have in other programs, for messages about unknown keys."""
    optimizer: Identifier = "adam"
    """Name of a class of `torch.optim` in lower case (`adam`, `adamw`, `sgd`, `rmsprop`), or of an optimizer that a
    plug-in registers."""
    optimizer_arguments: dict[Identifier, ArgumentValue] = {}
    """Keyword arguments of the optimizer, such as `{ momentum = 0.9 }`, without the learning rate; PyTorch's defaults
    apply to all others."""
    learning_rate: Annotated[float, Meta(gt=0, le=1e6)] = 1e-4
    """Peak learning rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: `cosine` falls to zero at the budget's end (Loshchilov and Hutter, 2017)."""
    warmup_fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Share of the budget in which the learning rate rises linearly, from a 25th of its peak."""
    decay_norms_and_biases: bool = True
    """Whether the optimizer's `weight_decay` is for all parameters; if not, it is for those with two or more dimensions
    that are not biases (Goyal et al., 2017)."""
    clip_grad_norm: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """Largest 2-norm of all gradients together; longer ones are scaled down to it (Pascanu et al., 2013)."""
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced", "sqrt"] = "none"
    """Weight of each class in the training loss: `balanced` is inversely proportional to its number of training images,
    `sqrt` to the square root of that; the mean over all training images is 1."""
    batch_size: Annotated[int, Meta(ge=2, le=BATCH_SIZE[1])] = 32
    """Images a step, all shards and micro batches together."""
    shards: Annotated[int, Meta(ge=1, le=BATCH_SIZE[1] // 2)] = 1
    """Equal parts into which a batch is split as if each was on a GPU of its own: batch norm and dropout work within a
    shard, and the gradients of a step are the mean of theirs (data parallelism). The number of GPUs that compute them
    (`--gpus`) divides it. Each has at least 2 images, because batch norm needs them."""
    micro_batches: Annotated[int, Meta(ge=1, le=BATCH_SIZE[1] // 2)] = 1
    """Equal parts into which each shard is split, to need less memory: the gradients of a step are the mean of theirs
    (gradient accumulation). Each has at least 2 images."""
    ema_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Evaluate an exponential moving average of the weights over the steps, with this decay, or with (1 + step) / (10 +
    step) where that is less; 0 evaluates the weights themselves."""
    keep: Literal["last", "best"] = "last"
    """Weights that are evaluated on the test images: of the last step, or of the evaluation point with the highest
    validation accuracy; of several, with the lowest validation loss. Always by accuracy: the metric of a suite changes
    no run."""
    crop_scale: tuple[Annotated[float, Meta(gt=0, le=1)], Annotated[float, Meta(gt=0, le=1)]] = (0.08, 1.0)
    """Smallest and largest share of the image's area that a random resized crop takes."""
    crop_ratio: tuple[Annotated[float, Meta(ge=0.01, le=100)], Annotated[float, Meta(ge=0.01, le=100)]] = (3 / 4, 4 / 3)
    """Narrowest and widest aspect ratio (width / height) of the crop."""
    flip: bool = True
    """Mirror every second training image, left to right."""
    transforms: Annotated[tuple[Identifier, ...], Meta(max_length=16)] = ()
    """Random transforms of training images after crop and flip, in this order: classes of `torchvision.transforms.v2`
    in snake case (`trivial_augment_wide`, `rand_augment`, `color_jitter`, `random_erasing`, `random_vertical_flip`,
    `random_rotation`), or transforms that a plug-in registers."""
    transform_arguments: dict[Identifier, dict[Identifier, ArgumentValue]] = {}
    """Keyword arguments of transforms by name, such as `random_erasing = { p = 0.1 }`; defaults apply to all others."""
    mixup_alpha: Annotated[float, Meta(ge=0, le=100)] = 0.0
    """Blend each training image with another one, with a weight from Beta(alpha, alpha) (Zhang et al., 2018); 0 does
    not."""
    cutmix_alpha: Annotated[float, Meta(ge=0, le=100)] = 0.0
    """Replace a box of each training image by that of another one; the box has a share of the area from Beta(alpha,
    alpha) (Yun et al., 2019). With mixup too, each image is mixed one way or the other, at random; 0 does not."""
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    """Training images of an epoch: `shuffle` has each once; `balanced` has equally many of each class, so that images
    of small classes are repeated and some of large classes are left out."""
    zero_init_residual: bool = False
    """Start each residual block as the identity (Goyal et al., 2017), where the architecture offers it."""
    init_weights: bool = True
    """Initialise weights as the authors of the architecture did, where torchvision has this option; else with PyTorch's
    defaults."""
    weights: Name = "none"
    """What all but the head starts from: `none`, which is the seed's own initialisation; `imagenet`, the published
    weights of each architecture (torchvision's IMAGENET1K_V1), or `imagenet-v2`; `default`, what the library of the
    architecture loads when it is asked for pretrained weights (torchvision's DEFAULT); or a file with a state dict."""
    head: Head = ORIGINAL_HEAD
    freeze_backbone: Literal["never", "always"] | Annotated[float, Meta(gt=0, le=1e9)] = "never"
    """Whether everything but the head is frozen: never, always, or for a number of epochs, after which everything
    trains. Frozen modules are in evaluation mode, batch norm and dropout included."""
    frozen_fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Share of the budget, whatever its unit, in which everything but the head is frozen; then everything trains. It is
    given instead of a number of epochs in `freeze_backbone`."""
    backbone_learning_rate: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    """Learning rate of everything but the head, as a multiple of the learning rate of the head."""
    augmentation: Literal["fresh", "none"] | Count = "fresh"
    """Augmentation of training images: `fresh` crops and mirrors them differently in each epoch; `none` shows them as
    evaluation does; a number N uses the views of the first N epochs in turn."""

    def __post_init__(self) -> None:
        for name in ("crop_scale", "crop_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"`{name}` is [smallest, largest]; got [{low}, {high}]")
        if self.batch_size % self.num_parts or self.batch_size // self.num_parts < 2:
            parts = [(name, number) for name in ("shards", "micro_batches") if (number := getattr(self, name)) > 1]
            fitting = [n for n in range(1, self.batch_size // 2 + 1) if self.batch_size % n == 0]
            raise ValueError(
                f"`batch_size` is {self.batch_size}, which has no {' x '.join(f'{n} `{name}`' for name, n in parts)} "
                f"of equally many images, at least 2. Expected {', '.join(map(str, fitting))} in all"
            )
        if self.sampling == "balanced" and self.class_weights != "none":
            raise ValueError('`sampling` is "balanced", so `class_weights` must be "none": both favour small classes')
        if repeated := [name for name in self.transforms if self.transforms.count(name) > 1]:
            raise ValueError(f"`transforms` has {repeated[0]!r} twice; expected each name once")
        if unused := sorted(self.transform_arguments.keys() - set(self.transforms)):
            raise ValueError(f"`transform_arguments.{unused[0]}` needs {unused[0]!r} in `transforms`")
        if self.augmentation == "none" and self.transforms:
            raise ValueError(
                '`augmentation` is "none", which shows images as evaluation does, so `transforms` must be empty'
            )
        if self.frozen_fraction and self.freeze_backbone != "never":
            raise ValueError("`frozen_fraction` and `freeze_backbone` both say when the backbone is frozen; give one")

    @property
    def num_parts(self) -> int:
        """Return the number of parts of a batch that one device computes one after the other."""
        return self.shards * self.micro_batches

    @property
    def evaluation_batch_size(self) -> int:
        """Return the number of images of an evaluation batch: twice that of a training step without frozen layers.

        A forward pass without gradients keeps few activations, so it takes less memory than the step with half as many
        images (by the predicted peaks of 20 networks at 224 px, with SGD: 17 to 83 %), and less time for each image. A
        frozen backbone or a part of a batch keeps few activations too, so those recipes evaluate the images of a step.
        """
        return self.batch_size * (2 if self.freeze_backbone != "always" and self.num_parts == 1 else 1)

    @property
    def mixes(self) -> bool:
        """Return whether each training image is mixed with another one."""
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    @property
    def freezes(self) -> bool:
        """Return whether everything but the head is frozen in some steps or in all."""
        return self.freeze_backbone != "never" or self.frozen_fraction > 0


_OPTIONAL = (
    "decay_norms_and_biases", "clip_grad_norm", "class_weights", "shards", "micro_batches", "ema_decay", "keep",
    "transforms", "transform_arguments", "mixup_alpha", "cutmix_alpha", "sampling", "frozen_fraction",
)  # fmt: skip
"""Keys that change nothing by default, and that most recipes do without."""


def without_unused(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a recipe, as plain values, without those optional ones that have their defaults."""
    defaults = to_builtins(Recipe())
    return {name: value for name, value in recipe.items() if name not in _OPTIONAL or value != defaults[name]}
