"""The five reference architectures are the published networks with a linear head, built as the recipe asks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from intelbench.architectures.reference import LEAKY_SLOPE, REFERENCE, inception_loss
from intelbench.architectures.registry import ModelRequest, find


def build(name: str, image_size: int = 96, num_classes: int = 6, **options: bool) -> nn.Module:
    """A network on the meta device, which costs neither time nor memory."""
    with torch.device("meta"):
        return find(name)[0].build(ModelRequest(num_classes=num_classes, image_size=image_size, **options))


def size(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "image_size", "expected"),
    [
        ("resnet152", 96, 58_156_102),
        ("wide_resnet101_2", 96, 124_849_990),
        ("wrn", 96, 124_849_990),
        ("inception_v3", 76, 21_797_862),
        ("inception_v3", 298, 21_797_862),
        ("inception_v3", 299, 24_360_172),
        ("resnet101", 96, 42_512_454),
        ("resnet101_leaky", 96, 42_512_454),
    ],
)
def test_parameters_with_six_classes(name: str, image_size: int, expected: int) -> None:
    """Golden counts; Inception has its auxiliary head from 299 px up alone."""
    assert expected == size(build(name, image_size))


@pytest.mark.parametrize("name", ["resnet152", "wide_resnet101_2", "inception_v3", "resnet101"])
def test_parameters_with_a_thousand_classes_are_the_published_ones(name: str) -> None:
    """The stock network has as many parameters as its published facts and torchvision's metadata say."""
    published = find(name)[0].published
    assert published is not None
    assert published.num_parameters == size(build(name, 299, 1000))
    weights = models.get_model_weights(name).IMAGENET1K_V1
    assert published.num_parameters == weights.meta["num_params"]
    assert published.imagenet_top1 == pytest.approx(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)


def test_the_leaky_twin_has_no_published_facts() -> None:
    """Nothing was published about it but the claim under test."""
    assert find("resnet101_leaky")[0].published is None


@pytest.mark.parametrize("name", REFERENCE)
def test_the_head_is_one_linear_layer(name: str) -> None:
    """No architecture smuggles in a deeper head."""
    head = build(name, num_classes=11).fc
    assert type(head) is nn.Linear
    assert 11 == head.out_features
    assert 2048 == head.in_features


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_architectures_are_built_in(name: str) -> None:
    """They carry their own name and are provided by this package."""
    architecture, provider = find(name)
    assert name == architecture.name
    assert "intelbench" == provider


def test_the_leaky_twin_has_no_relu_left() -> None:
    """34 modules are replaced, with slope 0.01 and in place as the original."""
    leaky = [module for module in build("resnet101_leaky").modules() if isinstance(module, nn.LeakyReLU)]
    assert 34 == len(leaky)
    assert {LEAKY_SLOPE} == {0.01} == {module.negative_slope for module in leaky}
    assert {True} == {module.inplace for module in leaky}
    assert not any(isinstance(module, nn.ReLU) for module in build("resnet101_leaky").modules())
    assert 34 == sum(isinstance(module, nn.ReLU) for module in build("resnet101").modules())


def test_a_changed_torchvision_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the stock network had another number of ReLU modules, the twin would refuse to be built."""
    monkeypatch.setattr(models, "get_model", lambda *_, **__: nn.Sequential(nn.ReLU(), nn.ReLU()))
    with pytest.raises(RuntimeError, match="replaced 2 ReLU modules of ResNet-101 instead of 34"):
        build("resnet101_leaky")


def test_twins_start_from_equal_weights() -> None:
    """From one seed, ReLU and LeakyReLU differ in nothing but the activation."""
    states = []
    for name in ("resnet101", "resnet101_leaky"):
        torch.manual_seed(5)
        states.append(find(name)[0].build(ModelRequest(num_classes=6, image_size=32)).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_building_draws_from_the_global_generator() -> None:
    """Another seed, other weights: the head alone shows it."""
    heads = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        heads.append(find("torchvision:resnet18")[0].build(ModelRequest(num_classes=6, image_size=32)).fc.weight)
    assert torch.equal(heads[0], heads[2])
    assert not torch.equal(heads[0], heads[1])


@pytest.mark.parametrize("name", ["resnet152", "wide_resnet101_2", "resnet101", "resnet101_leaky"])
@pytest.mark.parametrize("zero", [True, False])
def test_zero_init_residual_reaches_torchvision(monkeypatch: pytest.MonkeyPatch, name: str, zero: bool) -> None:
    """Each option arrives in torchvision's constructor as it was asked for."""
    asked = spy(monkeypatch)
    build(name, zero_init_residual=zero)
    assert [{"num_classes": 6, "zero_init_residual": zero}] == asked


@pytest.mark.parametrize("own", [True, False])
def test_own_initialization_reaches_torchvision(monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    """Inception's slow truncated normal is a choice."""
    asked = spy(monkeypatch)
    build("inception_v3", init_weights=own)
    assert [{"num_classes": 6, "aux_logits": False, "init_weights": own}] == asked


def spy(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Note what torchvision is asked for."""
    asked: list[dict[str, object]] = []
    real = models.get_model

    def get_model(name: str, **options: object) -> nn.Module:
        asked.append(options)
        return real(name, **options)

    monkeypatch.setattr(models, "get_model", get_model)
    return asked


def test_zero_init_residual_zeroes_the_last_norm_of_each_block() -> None:
    """The 33 blocks of a ResNet-101 start as the identity."""
    model = find("resnet101")[0].build(ModelRequest(num_classes=6, image_size=32, zero_init_residual=True))
    assert 33 == sum(not module.bn3.weight.any() for module in model.modules() if hasattr(module, "bn3"))


def test_inception_loss_adds_four_tenths_of_the_auxiliary() -> None:
    """Main loss + 0.4 x auxiliary loss, with the named tuple that the network returns in training."""
    main, auxiliary, target = torch.randn(4, 6), torch.randn(4, 6), torch.tensor([0, 5, 2, 2])
    expected = F.cross_entropy(main, target) + 0.4 * F.cross_entropy(auxiliary, target)
    for output in (models.inception.InceptionOutputs(main, auxiliary), (main, auxiliary)):
        torch.testing.assert_close(inception_loss(output, target, F.cross_entropy), expected)


def test_inception_loss_without_auxiliary_is_the_main_loss() -> None:
    """Below 299 px the network returns plain logits."""
    main, target = torch.randn(4, 6), torch.tensor([0, 5, 2, 2])
    torch.testing.assert_close(inception_loss(main, target, F.cross_entropy), F.cross_entropy(main, target))


@pytest.mark.parametrize(("image_size", "kind"), [(299, tuple), (75, torch.Tensor)])
def test_inception_trains_at_its_sizes(image_size: int, kind: type) -> None:
    """With its auxiliary head at 299 px, without it at its minimum of 75 px: forward, loss and backward."""
    architecture, _ = find("inception_v3")
    architecture.require_size(image_size)
    model = build("inception_v3", image_size).train()
    output = model(torch.empty(2, 3, image_size, image_size, device="meta"))
    assert isinstance(output, kind)
    loss = architecture.loss(output, torch.zeros(2, dtype=torch.long, device="meta"), F.cross_entropy)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", REFERENCE)
def test_every_reference_trains_at_its_minimum_size(name: str) -> None:
    """The smallest size that is accepted gives logits of the right shape in training mode."""
    architecture, _ = find(name)
    smallest = architecture.minimum_size
    logits = build(name, smallest).train()(torch.empty(2, 3, smallest, smallest, device="meta"))
    assert (2, 6) == tuple(logits.shape)
