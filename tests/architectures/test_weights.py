"""Weights come from a server, the cache or the user's own file, and fit the network or say why they do not."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from intelbench.architectures.registry import FROM_MINUS_ONE, Architecture, ModelRequest, PretrainedFile, find
from intelbench.architectures.weights import check, load_weights, locate, matching, obtain, read_state_dict
from intelbench.data.transforms import normalize
from intelbench.errors import UserError
from intelbench.records.types import Normalization


def network(request: ModelRequest) -> nn.Module:
    """A backbone with batch norm, and a head."""
    return nn.Sequential(nn.Conv2d(3, 64, 5), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(64, request.num_classes))


REQUEST = ModelRequest(num_classes=6, image_size=32)
TINY = Architecture(name="tiny", build=network)


def trained(num_classes: int = 10) -> dict[str, Tensor]:
    """A state dict with numbers of its own."""
    torch.manual_seed(7)
    return network(ModelRequest(num_classes=num_classes, image_size=32)).state_dict()


def published(address: str, name: str) -> Architecture:
    """An architecture whose weights lie there."""
    return Architecture(name="tiny", build=network, pretrained=lambda: {"imagenet": f"{address}/models/{name}"})


def ignore(*_: object) -> None:
    """Watch no download."""


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        (lambda: {"imagenet": "http://127.0.0.1:1/"}, r"weights 'http://127\.0\.0\.1:1/': not the address of a file"),
        (lambda: {"imagenet": "http://["}, r"weights 'http://\[': not the address of a file"),
        (lambda: {"imagenet": "://x.pth"}, r"weights '://x\.pth': not the address of a file"),
        (lambda: {"imagenet": "nosuch.pth"}, r"'tiny': weights 'imagenet' are 'nosuch\.pth': no such file"),
        (lambda: {"imagenet": ""}, r"'tiny': `pretrained` returned '' for 'imagenet'; it must be"),
        (lambda: {"imagenet": None}, r"'tiny': `pretrained` returned None for 'imagenet'; it must be"),
        (lambda: ["imagenet"], r"'tiny': `pretrained` returned a list; it must be a dict"),
        (lambda: {"mine": "x.pth"}, r"'tiny' has no weights 'imagenet'; accepted for it: none, default, or a file"),
        (lambda: 1 // 0, r"'tiny': `pretrained`: failed with ZeroDivisionError.*\(test_weights\.py:\d+\)"),
    ],
)
def test_plugins_that_say_wrongly_where_their_weights_are_are_told(offered: Any, said: str) -> None:
    """The message has the architecture or the address, and what is accepted."""
    with pytest.raises(UserError, match=said):
        obtain(Architecture(name="tiny", build=network, pretrained=offered), "imagenet", ignore)


def test_a_dict_is_no_function_that_says_where_weights_are() -> None:
    """It is refused where the architecture is declared."""
    offered: Any = {"imagenet": "x.pth"}
    with pytest.raises(UserError, match="'tiny': `pretrained` is a dict; it must be a function"):
        Architecture(name="tiny", build=network, pretrained=offered)


def test_the_suffix_of_a_file_is_in_any_case(tmp_path: Path) -> None:
    """A file of safetensors is none for `torch.load`."""
    save_file(trained(), tmp_path / "W.SAFETENSORS")
    assert trained().keys() == read_state_dict(tmp_path / "W.SAFETENSORS").keys()


def test_none_is_none() -> None:
    """Nothing is fetched, from wherever it could be."""
    assert obtain(published("http://127.0.0.1:1", "x-00000000.pth"), "none", ignore) is None


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("imagenet-v2", r"'tiny' has no weights 'imagenet-v2'; accepted for it: none, imagenet, or a file"),
        ("imagnet", r"'imagnet': no such file. Expected one of: none, imagenet, imagenet-v2, default, or a file"),
        ("a" * 3000, r"^recipe\.weights 'a{299}…: no such file"),
    ],
)
def test_weights_that_do_not_exist_are_answered_with_those_that_do(choice: str, said: str) -> None:
    """Of the architecture, or of all."""
    with pytest.raises(UserError, match=said):
        obtain(published("http://127.0.0.1:1", "x-00000000.pth"), choice, ignore)


def test_torchvision_states_the_sizes_of_its_files() -> None:
    """In bytes: that of ResNet-50 is known."""
    assert locate(find("torchvision:resnet50")[0], "default").file.num_bytes == pytest.approx(102_540_417, rel=1e-3)


def test_torchvision_publishes_two_generations() -> None:
    """Of ResNets; of Inception one, which wants pixels from -1 to 1; the leaky twin starts from its twin's."""
    offered = {
        name: find(name)[0] for name in ("resnet101", "resnet101_leaky", "inception_v3", "torchvision:googlenet")
    }
    places = {name: each.pretrained() for name, each in offered.items() if each.pretrained}
    assert ["imagenet", "imagenet-v2", "default"] == list(places["resnet101"])
    first = places["resnet101"]["imagenet"]
    assert isinstance(first, PretrainedFile)
    assert "https://download.pytorch.org/models/resnet101-63fe2227.pth" == first.address
    assert places["resnet101"] == places["resnet101_leaky"]
    assert ["imagenet", "default"] == list(places["inception_v3"]) == list(places["torchvision:googlenet"])
    assert [None, None, FROM_MINUS_ONE, FROM_MINUS_ONE] == [each.normalization for each in offered.values()]


def test_inceptions_images_are_as_torchvision_shows_them_to_its_weights() -> None:
    """Its `transform_input` after ImageNet's normalisation is the normalisation recorded with the weights."""
    images = torch.randint(256, (2, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = FROM_MINUS_ONE
    got = normalize(images, "contiguous", Normalization(mean=mean, std=std))
    with torch.device("meta"):
        inception = find("inception_v3")[0].build(ModelRequest(num_classes=6, image_size=76))
    inception.transform_input = True
    torch.testing.assert_close(inception._transform_input(normalize(images, "contiguous")), got, atol=1e-5, rtol=0)


def test_all_but_a_head_of_another_size_is_loaded(tmp_path: Path) -> None:
    """The head stays as the network was built; a head that fits is loaded too."""
    torch.save(trained(10), tmp_path / "ten.pth")
    model = network(REQUEST)
    head = model[3].weight.clone()
    load_weights(model, TINY, REQUEST, ("3",), tmp_path / "ten.pth")
    state = trained(10)
    assert torch.equal(state["0.weight"], model[0].weight)
    assert torch.equal(state["1.running_mean"], model[1].running_mean)
    assert torch.equal(head, model[3].weight)
    torch.save(trained(6), tmp_path / "six.pth")
    load_weights(model, TINY, REQUEST, ("3",), tmp_path / "six.pth")
    assert torch.equal(trained(6)["3.weight"], model[3].weight)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"0.bias": None}, r"1 missing: 0\.bias$"),
        ({"7.weight": torch.ones(1)}, r"1 unexpected: 7\.weight$"),
        ({"0.weight": torch.ones(64, 3, 3, 3)}, r"1 of another shape: 0\.weight$"),
        ({f"m{n}": torch.ones(1) for n in range(8)}, "8 unexpected: m0, m1, m2, m3, m4 and 3 more"),
        ({"0.bias": None, "bias": torch.ones(1)}, r"1 missing: 0\.bias; 1 unexpected: bias"),
    ],
)
def test_a_file_of_something_else_is_refused_with_the_keys(
    tmp_path: Path, changes: dict[str, Tensor | None], said: str
) -> None:
    """What is missing, left over or of another shape, by name; in the network itself nothing is changed."""
    state = {name: value for name, value in (trained() | changes).items() if value is not None}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match=rf"weights other\.pth are not those of 'tiny': {said}"):
        check(TINY, REQUEST, tmp_path / "other.pth")
    model = network(REQUEST)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=said):
        load_weights(model, TINY, REQUEST, ("3",), tmp_path / "other.pth")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_counters_that_old_files_lack_are_no_weights() -> None:
    """Batch norm counts its batches since 2018."""
    state = {name: value for name, value in trained().items() if not name.endswith("num_batches_tracked")}
    assert "1.running_mean" in matching(network(REQUEST), state, TINY, ("3",), "old.pth")


def test_an_auxiliary_head_is_left_out_where_the_network_has_none() -> None:
    """Inception's file holds one; below 299 px the network does not, above it the new one stays as it was built."""
    architecture, small, large = find("inception_v3")[0], 76, 299
    with torch.device("meta"):
        state = architecture.build(ModelRequest(num_classes=1000, image_size=large)).state_dict()
        built = {size: architecture.build(ModelRequest(num_classes=6, image_size=size)) for size in (small, large)}
    without = matching(built[small], state, architecture, ("fc",), "x")
    beside = matching(built[large], state, architecture, ("AuxLogits.fc", "fc"), "x")
    assert not [name for name in without if name.startswith("AuxLogits")]
    assert {"AuxLogits.conv0.conv.weight", "Conv2d_1a_3x3.conv.weight"} < set(beside)
    assert not [name for name in beside if ".fc." in name or name.startswith("fc.")]


def test_densenets_file_has_old_names(tmp_path: Path) -> None:
    """`norm.1` is `norm1` today."""
    torch.save({"features.denseblock1.denselayer2.norm.1.weight": torch.ones(1)}, tmp_path / "old.pth")
    assert ["features.denseblock1.denselayer2.norm1.weight"] == list(read_state_dict(tmp_path / "old.pth"))


class Spell:
    """Casts itself when it is unpickled by somebody who trusts it."""

    def __reduce__(self) -> tuple[object, ...]:
        return print, ("cast",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": {}, "epoch": 3}, "holds a dict with state_dict, epoch, not a state dict; save"),
        ([1, 2], "holds a list, not a state dict"),
        ({"weight": Spell()}, "x.pth: not a file of tensors alone; save a state dict"),  # no advice to execute it
    ],
)
def test_what_is_no_state_dict_is_refused(
    tmp_path: Path, content: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training checkpoint, another object, and code, which is not run."""
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=said):
        read_state_dict(tmp_path / "x.pth")
    assert "cast" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a file of PyTorch", pickle.dumps({"a": 1}, protocol=2)[:-3]])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """With its path."""
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"weights .*x\.pth: not a file of tensors alone"):
        read_state_dict(tmp_path / "x.pth")


def test_safetensors_are_read(tmp_path: Path) -> None:
    """To the same tensors; a damaged file is refused."""
    save_file(trained(), tmp_path / "x.safetensors")
    state = read_state_dict(tmp_path / "x.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in trained().items())
    (tmp_path / "x.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="damaged"):
        read_state_dict(tmp_path / "x.safetensors")
