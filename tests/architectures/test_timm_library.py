"""Networks of timm by name: their heads, sizes and weights, loaded offline from files as its hub has them."""

import re
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from intelbench.architectures import registry
from intelbench.architectures.registry import ModelRequest, find, resolutions
from intelbench.architectures.surgery import build_shapes, find_heads
from intelbench.architectures.weights import Source, check, load_weights, obtain
from intelbench.errors import UserError
from intelbench.records.types import IMAGENET_NORMALIZATION, Normalization, Preprocessing

COMMIT = "0123456789" * 4
REQUEST = ModelRequest(num_classes=6, image_size=96)
FAMILIES = (
    "resnet10t", "efficientnet_b0", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "regnety_002", "densenet121", "test_vit3",
    "deit3_small_patch16_224", "resnetv2_50x1_bit", "test_maxvit", "mixer_s32_224", "eva02_tiny_patch14_224",
    "vit_tiny_patch16_224.augreg_in21k", "efficientnetv2_rw_t",
)  # fmt: skip


def ignore(*_: object) -> None:
    """Watch no download."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which can be reached nowhere."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def publish(cache: Path, repository: str, state: dict[str, Tensor]) -> Path:
    """Put a state dict into the cache as huggingface-hub does after a download."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    path = folder / "snapshots" / COMMIT / "model.safetensors"
    path.parent.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def trained(name: str, num_classes: int = 1000) -> dict[str, Tensor]:
    """A state dict of timm's network with numbers of its own, as its publishers would save it."""
    torch.manual_seed(7)
    state: dict[str, Tensor] = timm.create_model(name, num_classes=num_classes).state_dict()
    return state


def network_with(name: str, source: Source, request: ModelRequest = REQUEST) -> nn.Module:
    """The harness's network with the weights."""
    architecture = find(name)[0]
    model = architecture.build(request)
    load_weights(model, architecture, request, find_heads(architecture, request, model), source.path)
    return model


def obtained(name: str, choice: str = "imagenet") -> Source:
    """The file of a choice."""
    source = obtain(find(name)[0], choice, ignore)
    assert source is not None
    return source


@pytest.mark.parametrize("name", FAMILIES)
def test_networks_of_every_family_are_built_with_the_head_that_timm_names(name: str) -> None:
    """For the requested classes and 224 px; what grows with the classes is what timm's `get_classifier` returns."""
    architecture, provider = find(f"timm:{name}")
    assert (f"timm:{name}", f"timm {timm.__version__}") == (architecture.name, provider)
    request = ModelRequest(num_classes=7, image_size=224)
    model = build_shapes(architecture, request).train()
    (head,) = find_heads(architecture, request, model)
    assert model.get_classifier() is model.get_submodule(head)
    with torch.device("meta"):
        assert (2, 7) == tuple(model(torch.empty(2, 3, 224, 224)).shape)


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "volo_d1_224", "levit_128s"])
def test_networks_with_two_heads_have_both(name: str) -> None:
    """Timm's `reset_classifier` makes both again."""
    architecture = find(f"timm:{name}")[0]
    request = ModelRequest(num_classes=7, image_size=224)
    model = build_shapes(architecture, request)
    before = {head: model.get_submodule(head) for head in find_heads(architecture, request, model)}
    assert 2 == len(before)
    with torch.device("meta"):
        model.reset_classifier(8)
    assert all(8 == model.get_submodule(head).out_features for head in before)


@pytest.mark.parametrize("image_size", [64, 96, 160, 256])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "test_maxvit"])
def test_networks_of_a_fixed_size_are_built_for_the_requested_size(name: str, image_size: int) -> None:
    """Timm takes it as `img_size`."""
    request = ModelRequest(num_classes=7, image_size=image_size)
    model = build_shapes(find(f"timm:{name}")[0], request)
    with torch.device("meta"):
        assert (2, 7) == tuple(model(torch.empty(2, 3, image_size, image_size)).shape)


def test_bare_names_are_torchvisions_then_timms() -> None:
    """One line says whose; both spellings are one architecture, and names with tags are timm's."""
    assert "torchvision:resnet18" == find("resnet18")[0].name
    assert find("resnet10t")[0] is find("timm:resnet10t")[0]
    assert "timm:resnet18.a1_in1k" == find("resnet18.a1_in1k")[0].name
    assert "resnet18 is torchvision:resnet18; resnet10t is timm:resnet10t" == resolutions(("resnet18", "resnet10t"))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("timm:convnext_ato", "timm:convnext_atto"),
        ("convnextatto", "convnext_atto"),
        ("resnet50.a1_in1", "resnet50.a1_in1k"),
        ("timm:resnet-18", "timm:resnet18"),
        ("torchvision:convnext_ato", "timm:convnext_atto"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest_of_all(wrong: str, right: str) -> None:
    """Of every library, in a spelling that is accepted."""
    with pytest.raises(UserError, match=f"Try .*{re.escape(right)}") as caught:
        find(wrong)
    assert str(caught.value).startswith(f"architecture {wrong!r} is not known. ")
    find(right)


@pytest.mark.parametrize("name", ["timm:resnet10t", "resnet10t"])
def test_without_timm_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With a prefix, and where a bare name may be one of timm's."""
    monkeypatch.setattr(registry, "has_timm", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'intelbench\[timm\]'"):
        find(name)


def test_facts_of_weights_are_those_of_the_tag(cache: Path) -> None:
    """Hash, repository, normalisation, licence and preprocessing; the default tag's where the name has none."""
    path = publish(cache, "timm/test_vit.r160_in1k", trained("test_vit"))
    source = obtained("timm:test_vit")
    assert path == source.path
    assert source.facts == obtained("timm:test_vit.r160_in1k", "default").facts
    assert "timm/test_vit.r160_in1k/model.safetensors" == source.facts.file
    half = (0.5, 0.5, 0.5)
    assert Normalization(mean=half, std=half) == source.facts.normalization != IMAGENET_NORMALIZATION
    assert Preprocessing(image_size=160, crop_fraction=0.95, interpolation="bicubic") == source.facts.preprocessing
    assert "apache-2.0" == source.facts.licence


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet", "test_byobnet"])
def test_everything_but_the_head_is_loaded(cache: Path, name: str) -> None:
    """The head of 1,000 classes is left out, and the network keeps its own."""
    state = trained(name)
    publish(cache, f"timm/{name}.r160_in1k", state)
    torch.manual_seed(1)
    model = network_with(f"timm:{name}", obtained(f"timm:{name}"))
    torch.manual_seed(1)
    fresh = find(f"timm:{name}")[0].build(REQUEST).state_dict()
    (head,) = find_heads(find(f"timm:{name}")[0], REQUEST, model)
    for key, value in model.state_dict().items():
        assert torch.equal(value, (fresh if key.startswith(f"{head}.") else state)[key]), key


def test_position_embeddings_are_resampled_as_timm_does(cache: Path) -> None:
    """A network of 160 px gets those of 96 px, without drawing a random number."""
    state = trained("test_vit")
    publish(cache, "timm/test_vit.r160_in1k", state)
    source = obtained("timm:test_vit")
    architecture = find("timm:test_vit")[0]
    model = architecture.build(REQUEST)
    before = torch.get_rng_state()
    load_weights(model, architecture, REQUEST, ("head",), source.path)
    assert torch.equal(before, torch.get_rng_state())
    expected = resample_abs_pos_embed(state["pos_embed"], (6, 6), num_prefix_tokens=1)
    assert (1, 37, 64) == tuple(expected.shape)
    torch.testing.assert_close(expected, model.pos_embed.data, rtol=0, atol=0)
    assert torch.equal(state["blocks.0.attn.qkv.weight"], model.blocks[0].attn.qkv.weight)


def test_a_file_of_ones_own_brings_its_head(tmp_path: Path) -> None:
    """A state dict of the network for these classes is loaded completely, at another size too."""
    state = trained("test_vit", num_classes=6)
    torch.save(state, tmp_path / "mine.pth")
    architecture = find("timm:test_vit")[0]
    check(architecture, REQUEST, tmp_path / "mine.pth")
    model = network_with("timm:test_vit", obtained("timm:test_vit", str(tmp_path / "mine.pth")))
    assert torch.equal(state["head.weight"], model.head.weight)
    assert torch.equal(state["norm.weight"], model.norm.weight)


@pytest.mark.parametrize("lost", ["blocks.0.norm1.weight", "patch_embed.proj.bias"])
def test_an_incomplete_file_is_refused(tmp_path: Path, lost: str) -> None:
    """By the parameter that it lacks; nothing is left at random."""
    state = trained("test_vit")
    del state[lost]
    torch.save(state, tmp_path / "lacks.pth")
    with pytest.raises(UserError, match=rf"lacks\.pth are not those of 'timm:test_vit', or do not fit .*{lost}"):
        check(find("timm:test_vit")[0], REQUEST, tmp_path / "lacks.pth")


def test_weights_that_cannot_be_resampled_are_refused_before_the_start(tmp_path: Path) -> None:
    """MLP-Mixer has one weight for each patch."""
    torch.save(trained("mixer_s32_224"), tmp_path / "mixer.pth")
    with pytest.raises(UserError, match=r"'timm:mixer_s32_224', or do not fit images of 96 px: RuntimeError: .*size"):
        check(find("timm:mixer_s32_224")[0], REQUEST, tmp_path / "mixer.pth")
    check(find("timm:mixer_s32_224")[0], ModelRequest(num_classes=6, image_size=224), tmp_path / "mixer.pth")


def test_a_network_without_weights_offers_none() -> None:
    """The file of one's own remains."""
    with pytest.raises(
        UserError, match=r"'timm:resnet10t.*' has no weights|has no weights 'imagenet-v2'; accepted for"
    ):
        obtain(find("timm:resnet10t")[0], "imagenet-v2", ignore)
    without = next(name for name in timm.list_models() if not timm.models.is_model_pretrained(name))
    with pytest.raises(UserError, match=r"has no weights 'imagenet'; accepted for it: none, or a file"):
        obtain(find(f"timm:{without}")[0], "imagenet", ignore)


def test_a_wrong_tag_is_answered_with_the_tags_of_the_network() -> None:
    """And not with other networks."""
    with pytest.raises(UserError) as caught:
        find("timm:resnet10t.c3_in2k")
    assert str(caught.value) == (
        "architecture 'timm:resnet10t.c3_in2k' is not known. Try timm:resnet10t.c3_in1k. "
        "Expected one of the tags of its weights: c3_in1k"
    )
