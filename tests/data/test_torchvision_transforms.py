"""The transforms change pixels as torchvision's do, with parameters of the same distributions."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2

from intelbench.config.recipe import Recipe
from intelbench.data.augment import Parameters, Random, Transform, make_transforms
from intelbench.errors import UserError

SIZE = 24
NUM_DRAWS = 600


def image(seed: int = 0) -> Tensor:
    """Return random bytes with smooth parts, so that every operation changes something."""
    noise = np.random.default_rng(seed).integers(0, 256, (3, SIZE, SIZE))
    ramp = np.linspace(0, 200, SIZE)[None, None, :]
    return torch.from_numpy((0.4 * noise + 0.6 * ramp).astype(np.uint8))


def make(name: str, **arguments: Any) -> Transform:
    """Return the transform as a recipe asks for it."""
    return make_transforms(Recipe(transforms=(name,), transform_arguments={name: arguments}))[name]


def drawn(transform: Transform, num: int = NUM_DRAWS) -> list[Parameters]:
    """Return the parameters of different images."""
    return [transform.parameters(Random(b"%d" % number), SIZE) for number in range(num)]


def of_torchvision(transform: Any, num: int = NUM_DRAWS) -> list[dict[str, Any]]:
    """Return parameters that torchvision draws."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return [transform.make_params([image()]) for _ in range(num)]


def same_distribution(ours: list[float], theirs: list[float]) -> bool:
    """Return whether two samples are as similar as two samples of one distribution are in 999 of 1,000 cases."""
    return float(stats.ks_2samp(ours, theirs).pvalue) > 1e-3


@given(seed=st.integers(0, 2**16), name=st.sampled_from(["trivial_augment_wide", "rand_augment"]))
def test_operations_are_those_of_torchvision(seed: int, name: str) -> None:
    """Whatever TrivialAugment or RandAugment draws, torchvision's own function gives the same bytes."""
    ours = make(name, fill=[9, 80, 200], interpolation="bilinear" if seed % 2 else "nearest")
    theirs: Any = v2.TrivialAugmentWide() if name == "trivial_augment_wide" else v2.RandAugment()
    parameters = ours.parameters(Random(b"%d" % seed), SIZE)
    expected = image(seed)
    mode = v2.InterpolationMode.BILINEAR if seed % 2 else v2.InterpolationMode.NEAREST
    for operation, position, sign in zip(parameters[::3], parameters[1::3], parameters[2::3], strict=True):
        magnitudes, is_signed = theirs._AUGMENTATION_SPACE[operation]
        values = magnitudes(31, SIZE, SIZE)
        assert is_signed or sign == 1
        magnitude = 0.0 if values is None else float(values[position]) * int(sign)
        expected = theirs._apply_image_or_video_transform(
            expected, operation, magnitude, interpolation=mode, fill={torch.Tensor: [9.0, 80.0, 200.0]}
        )
    assert torch.equal(expected, ours(image(seed), *parameters))


@pytest.mark.parametrize("name", ["trivial_augment_wide", "rand_augment"])
def test_every_operation_is_as_likely(name: str) -> None:
    """Names are those of torchvision, and none is drawn more often than chance allows."""
    theirs: Any = {"trivial_augment_wide": v2.TrivialAugmentWide, "rand_augment": v2.RandAugment}[name]
    names = [part for parameters in drawn(make(name), 3000) for part in parameters[::3]]
    assert set(names) == set(theirs._AUGMENTATION_SPACE)
    assert float(stats.chisquare(list({each: names.count(each) for each in set(names)}.values())).pvalue) > 1e-3


def test_magnitudes_of_trivial_augment_are_uniform_and_of_either_sign() -> None:
    """RandAugment's magnitude is fixed."""
    parameters = [each for each in drawn(make("trivial_augment_wide"), 3000) if each[0] == "Rotate"]
    assert {position for _, position, _ in parameters} == set(range(31))
    assert {sign for _, _, sign in parameters} == {-1, 1}
    assert {each[1] for each in drawn(make("rand_augment", magnitude=5, num_ops=1)) if each[0] == "Rotate"} == {5}


def test_a_vertical_flip_is_that_of_torchvision() -> None:
    """And a share p of the images is mirrored."""
    flip = make("random_vertical_flip", p=0.25)
    assert torch.equal(v2.RandomVerticalFlip(p=1)(image()), flip(image(), "flip"))
    share = sum(map(bool, drawn(flip, 4000))) / 4000
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_a_rotation_is_that_of_torchvision(interpolation: str) -> None:
    """With its angles and its fill."""
    ours = make("random_rotation", degrees=30, interpolation=interpolation, fill=[1, 2, 3])
    theirs = v2.RandomRotation(30, interpolation=v2.InterpolationMode(interpolation), fill=[1, 2, 3])
    for (angle,) in drawn(ours, 20):
        assert torch.equal(theirs.transform(image(), {"angle": angle}), ours(image(), angle))
    angles = [float(angle) for (angle,) in drawn(ours)]
    assert same_distribution(angles, [each["angle"] for each in of_torchvision(theirs)])
    assert all(10 <= float(angle) < 20 for (angle,) in drawn(make("random_rotation", degrees=[10, 20])))


def test_colour_jitter_is_that_of_torchvision() -> None:
    """The same bytes from the same factors in the same order, and factors of the same distributions."""
    options: dict[str, Any] = {"brightness": 0.4, "contrast": [0.5, 2.0], "saturation": 1.5, "hue": 0.1}
    ours, theirs = make("color_jitter", **options), v2.ColorJitter(**options)
    order = ("brightness", "contrast", "saturation", "hue")
    for parameters in drawn(ours, 30):
        names, factors = parameters[::2], parameters[1::2]
        params: dict[str, Any] = {f"{name}_factor": factor for name, factor in zip(names, factors, strict=True)}
        params["fn_idx"] = torch.tensor([order.index(str(name)) for name in names])
        assert torch.equal(theirs.transform(image(), params), ours(image(), *parameters))
    by_name = [dict(zip(each[::2], each[1::2], strict=True)) for each in drawn(ours)]
    reference = of_torchvision(theirs)
    for name in order:
        factors_of_name = [float(each[name]) for each in by_name]
        assert same_distribution(factors_of_name, [each[f"{name}_factor"] for each in reference]), name
    assert 24 == len({each[::2] for each in drawn(ours)})


def test_colour_jitter_changes_what_it_is_asked_to() -> None:
    """Nothing else is drawn."""
    assert {each[::2] for each in drawn(make("color_jitter", brightness=0.4))} == {("brightness",)}


def test_erasing_is_that_of_torchvision() -> None:
    """The same box and colour, and boxes of the same distribution."""
    ours = make("random_erasing", p=1, value=[7, 8, 9])
    theirs = v2.RandomErasing(p=1, value=[7.0, 8.0, 9.0])  # type: ignore[arg-type] # its annotation is wrong
    colour = torch.tensor([7, 8, 9], dtype=torch.uint8)[:, None, None]
    for top, left, height, width in drawn(ours, 20):
        params = {"i": top, "j": left, "h": height, "w": width, "v": colour}
        assert torch.equal(theirs.transform(image(), params), ours(image(), top, left, height, width))
    boxes, reference = drawn(ours), of_torchvision(theirs)
    for index, name in enumerate("ijhw"):
        assert same_distribution([float(box[index]) for box in boxes], [each[name] for each in reference]), name


def test_an_erased_box_is_zero_after_the_normalization_of_imagenet() -> None:
    """By default, as where torchvision erases normalized images."""
    from intelbench.data.transforms import normalize

    erased = make("random_erasing", p=1)(image(), 0, 0, 5, 5)
    normalized = normalize(erased.permute(1, 2, 0)[None].contiguous(), "contiguous")
    assert normalized[0, :, :5, :5].abs().max() < 0.01


def test_no_box_is_erased_if_none_fits() -> None:
    """Torchvision leaves the image as it is."""
    assert {()} == set(drawn(make("random_erasing", p=1, scale=[1, 1], ratio=[1, 1]), 20))


@pytest.mark.parametrize("name", ["random_vertical_flip", "color_jitter", "random_erasing", "rand_augment"])
def test_the_image_keeps_its_pixels(name: str) -> None:
    """Its memory may be that of the pixel cache."""
    transform = make(name, **({"contrast": 0.5} if name == "color_jitter" else {}))
    parameters = next(filter(None, drawn(transform)))
    before = image()
    transform(before, *parameters)
    assert torch.equal(image(), before)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "random_erasing",
            {"p": 2},
            "`recipe.transform_arguments.random_erasing.p`: 2 is not accepted. Expected a num",
        ),
        ("random_erasing", {"q": 1}, "`recipe.transform_arguments.random_erasing.q`: not known. Expected one of: p, "),
        ("random_erasing", {"scale": [0.5, 0.1]}, "`scale` is [smallest, largest]; got [0.5, 0.1]"),
        ("random_rotation", {}, "`recipe.transform_arguments.random_rotation.degrees`: missing"),
        ("random_rotation", {"degrees": 3, "interpolation": "nearer"}, "Try 'nearest'"),
        ("color_jitter", {}, "without a strength it does nothing"),
        ("rand_augment", {"magnitude": 31}, "`magnitude` is 31; it must be below `num_magnitude_bins`, 31"),
        ("trivial_augment", {}, "recipe.transforms: 'trivial_augment' is not known. "),
    ],
)
def test_arguments_are_checked(name: str, arguments: dict[str, Any], message: str) -> None:
    """With the key that is wrong, and what is accepted."""
    with pytest.raises(UserError) as caught:
        make(name, **arguments)
    assert message in str(caught.value)
