"""Any torchvision classifier by name."""

import pytest
import torch
from torchvision import models
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from intelbench.architectures import library
from intelbench.architectures.registry import ModelRequest, find, resolutions
from intelbench.errors import UserError


@pytest.mark.parametrize(
    ("name", "image_size"),
    [
        ("resnet18", 64), ("googlenet", 64), ("inception_v3", 75), ("vgg11", 64), ("vit_b_16", 64),
        ("efficientnet_b0", 64), ("mobilenet_v3_small", 64), ("densenet121", 64), ("convnext_tiny", 64),
        ("squeezenet1_1", 64), ("swin_t", 64), ("shufflenet_v2_x0_5", 64), ("alexnet", 64), ("maxvit_t", 224),
    ],
)  # fmt: skip
def test_classifiers_of_every_family_are_built(name: str, image_size: int) -> None:
    """With a head for the given classes, plain logits in training, and torchvision's version as provider."""
    architecture, provider = find(f"torchvision:{name}")
    assert f"torchvision:{name}" == architecture.name
    assert provider.startswith("torchvision ")
    with torch.device("meta"):
        model = architecture.build(ModelRequest(num_classes=7, image_size=image_size)).train()
        assert (2, 7) == tuple(model(torch.empty(2, 3, image_size, image_size)).shape)


def test_classifiers_that_compute_while_they_are_built() -> None:
    """RegNet works out its widths with tensors, which the meta device cannot do; on a processor it is built."""
    model = find("torchvision:regnet_y_400mf")[0].build(ModelRequest(num_classes=7, image_size=64))
    assert 7 == model.fc.out_features


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"zero_init_residual": True}),
        ("vgg11", {"init_weights": False}),
        ("googlenet", {"init_weights": False, "aux_logits": False}),
        ("inception_v3", {"init_weights": False, "aux_logits": False}),
        ("vit_b_16", {"image_size": 64}),
        ("maxvit_t", {"input_size": (64, 64)}),
        ("alexnet", {}),
    ],
)
def test_settings_reach_the_families_that_take_them(
    monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, object]
) -> None:
    """Initialisation and size are passed on where torchvision's constructor has them."""
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(models, "get_model", lambda _, **given: asked.append(given))
    request = ModelRequest(num_classes=7, image_size=64, zero_init_residual=True, init_weights=False)
    find(f"torchvision:{name}")[0].build(request)
    assert [{"num_classes": 7, **options}] == asked


@pytest.mark.parametrize(("wrong", "right"), [("resnet_18", "resnet18"), ("efficientnetb0", "efficientnet_b0")])
def test_unknown_classifiers_offer_near_ones(wrong: str, right: str) -> None:
    """A slip of the pen is answered with what was meant, prefix included."""
    with pytest.raises(UserError, match=f"torchvision:{right}") as caught:
        find(f"torchvision:{wrong}")
    assert str(caught.value).startswith(f"architecture 'torchvision:{wrong}' is not known. Try ")


@pytest.mark.parametrize("name", ["qqqqqqqqqqqqqqqq", ""])
def test_hopeless_names_are_answered_with_all(name: str) -> None:
    """Nothing is near: everything is offered."""
    with pytest.raises(UserError, match=r"alexnet, .*wide_resnet50_2"):
        find(f"torchvision:{name}")


def test_detectors_are_no_classifiers() -> None:
    """Torchvision's models for other tasks are not offered."""
    for name in ("torchvision:fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn"):
        with pytest.raises(UserError, match="is not known"):
            find(name)


def test_a_bare_name_is_torchvisions_where_nothing_else_has_it() -> None:
    """Both spellings give one architecture under one name, so that a run is recorded and skipped as the same."""
    assert find("resnet18") == find("torchvision:resnet18")
    assert "torchvision:resnet18" == find("resnet18")[0].name
    assert find("resnet18")[0] is find("torchvision:resnet18")[0]


@pytest.mark.parametrize("name", ["resnet101", "resnet152", "wide_resnet101_2", "inception_v3"])
def test_a_name_that_intelbench_has_too_is_intelbenchs(name: str) -> None:
    """One line says so, and how torchvision's is asked for."""
    assert (name, "intelbench") == (find(name)[0].name, find(name)[1])
    said = f"{name} is the architecture of intelbench, not torchvision:{name}"
    assert f"{said}; resnet18 is torchvision:resnet18" == resolutions((name, "wrn", "resnet18"))
    assert f"torchvision:{name}" == find(f"torchvision:{name}")[0].name


def test_names_that_say_whose_they_are_need_no_words() -> None:
    """Neither one that the harness alone has, nor one with a prefix."""
    assert "" == resolutions(("resnet101_leaky", "wrn", "torchvision:resnet101"))


def vision_transformer(image_size: int) -> VisionTransformer:
    """Build a small network of patches of 8 px, whose head has 5 classes."""
    arguments = {"patch_size": 8, "num_layers": 1, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 16, "num_classes": 5}
    return VisionTransformer(image_size=image_size, **arguments)


@pytest.mark.parametrize("image_size", [16, 48, 56])
def test_position_embeddings_are_resampled_as_torchvision_does(image_size: int) -> None:
    """Of weights for 32 px, which stay as they are; class token and corners of the image keep their embeddings."""
    convert = find("torchvision:vit_b_16")[0].convert
    assert convert
    state = vision_transformer(32).state_dict()
    before = {name: value.clone() for name, value in state.items()}
    converted = convert(state, ModelRequest(num_classes=5, image_size=image_size))
    torch.testing.assert_close(dict(state), before, rtol=0, atol=0)
    expected = dict(interpolate_embeddings(image_size, 8, state.copy()))
    torch.testing.assert_close(converted, expected, rtol=0, atol=0)
    vision_transformer(image_size).load_state_dict(converted)
    key, side = "encoder.pos_embedding", image_size // 8
    old, new = before[key][0], converted[key][0]
    corners = [0, 1, 4, 13, 16], [0, 1, side, side * (side - 1) + 1, side**2]
    torch.testing.assert_close(new[corners[1]], old[corners[0]], rtol=0, atol=1e-6)


def test_weights_of_the_size_of_the_suite_stay_as_they_are() -> None:
    """And so does a state dict of another network, which is refused later with the parameter that it lacks."""
    convert = find("torchvision:vit_b_16")[0].convert
    assert convert
    request = ModelRequest(num_classes=5, image_size=32)
    for state in (dict(vision_transformer(32).state_dict()), {"fc.weight": torch.zeros(5, 2)}):
        torch.testing.assert_close(convert(state, request), state, rtol=0, atol=0)


def test_accuracies_of_torchvision_have_its_own_digits() -> None:
    """No more: 0.76130, and nothing at the end that is a rounding error of the division."""
    assert all(len(repr(offer.imagenet_top1)) <= len("0.12345") for offer in library.catalogue().pretrained)
