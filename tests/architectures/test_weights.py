"""Weights come from a server, the cache or the user's own file, and fit the network or say why they do not."""

import hashlib
import pickle
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from intelbench.architectures import downloads
from intelbench.architectures.downloads import is_reachable
from intelbench.architectures.registry import FROM_MINUS_ONE, Architecture, ModelRequest, PretrainedFile, find
from intelbench.architectures.weights import check, load_weights, locate, matching, obtain, read_state_dict
from intelbench.data.transforms import normalize
from intelbench.errors import UserError
from intelbench.records.locks import hold
from intelbench.records.types import IMAGENET_NORMALIZATION, Normalization


def network(request: ModelRequest) -> nn.Module:
    """A backbone with batch norm, and a head."""
    return nn.Sequential(nn.Conv2d(3, 64, 5), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(64, request.num_classes))


REQUEST = ModelRequest(num_classes=6, image_size=32)
TINY = Architecture(name="tiny", build=network)


def trained(num_classes: int = 10) -> dict[str, Tensor]:
    """A state dict with numbers of its own."""
    torch.manual_seed(7)
    return network(ModelRequest(num_classes=num_classes, image_size=32)).state_dict()


class Server(ThreadingHTTPServer):
    """Serves one file, as well as it is told to."""

    content = b""
    knows_ranges = True
    status = 200
    breaks_after: list[int]
    """Bytes after which each of the next connections ends too early."""
    asked: list[str | None]
    """The range of each request."""

    @property
    def address(self) -> str:
        """Of the server."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    server: Server

    def do_HEAD(self) -> None:
        """Send the head of an answer."""
        self.server.asked.append("HEAD")
        self.send_response(self.server.status)
        self.end_headers()

    def do_GET(self) -> None:
        """Send the file, or the end of it."""
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.knows_ranges else 0
        body = self.server.content[start:]
        status = self.server.status
        if status == 200 and start:
            status = 206 if body else 416
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks_after.pop(0)] if self.server.breaks_after else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server with a state dict, an empty cache, no proxy, and no pause between two attempts."""
    torch.save(trained(), tmp_path / "made.pth")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(downloads, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(downloads, "_LOOK_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(urllib.request, "_opener", None)
    with Server(("127.0.0.1", 0), Handler) as serving:
        serving.content = (tmp_path / "made.pth").read_bytes()
        serving.breaks_after, serving.asked = [], []
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def name_of(content: bytes) -> str:
    """A file's name as PyTorch gives it."""
    return f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.pth"


def published(address: str, name: str) -> Architecture:
    """An architecture whose weights lie there."""
    return Architecture(name="tiny", build=network, pretrained=lambda: {"imagenet": f"{address}/models/{name}"})


def cached(tmp_path: Path, name: str) -> Path:
    """Where PyTorch's hub keeps it."""
    return tmp_path / "hub" / "checkpoints" / name


def ignore(*_: object) -> None:
    """Watch no download."""


def test_a_download_lies_in_pytorchs_cache_and_is_made_once(server: Server, tmp_path: Path) -> None:
    """Progress is told, name and hash are recorded, the state dict is what was served, and nothing else is left."""
    name = name_of(server.content)
    told: list[tuple[str, int, int | None]] = []
    source = obtain(published(server.address, name), "imagenet", lambda *seen: told.append(seen))
    assert source is not None
    assert cached(tmp_path, name) == source.path
    assert (name, hashlib.sha256(server.content).hexdigest()) == (source.facts.file, source.facts.sha256)
    assert IMAGENET_NORMALIZATION == source.facts.normalization
    assert (name, len(server.content), len(server.content)) == told[-1]
    assert [name] == [file.name for file in source.path.parent.iterdir()]
    state = read_state_dict(source.path)
    assert all(torch.equal(value, state[key]) for key, value in trained().items())
    assert source == obtain(published(server.address, name), "imagenet", ignore)
    assert [None] == server.asked


def test_what_is_there_already_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    """A download that was cut off goes on where it ended."""
    name = name_of(server.content)
    partial = cached(tmp_path, f"{name}.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.content[:1000])
    source = obtain(published(server.address, name), "imagenet", ignore)
    assert source is not None
    assert server.content == source.path.read_bytes()
    assert ["bytes=1000-"] == server.asked


def test_sessions_that_need_one_file_download_it_once(server: Server, tmp_path: Path) -> None:
    """The second one waits for the first one, and takes what it has downloaded."""
    name = name_of(server.content)
    has_begun = threading.Event()

    told: list[tuple[str, int, int | None]] = []

    def watch(*seen: Any) -> None:
        told.append(seen)
        has_begun.wait()

    def get(_: int) -> bytes:
        source = obtain(published(server.address, name), "imagenet", watch)
        assert source is not None
        return source.path.read_bytes()

    with ThreadPoolExecutor() as sessions:
        contents = sessions.map(get, range(3))
        time.sleep(0.2)  # while the first one is at work
        has_begun.set()
        assert [server.content] * 3 == list(contents)
    assert [None] == server.asked
    size = len(server.content)
    assert 3 == told.count((name, size, size))  # the bars of all of them are full
    assert [name] == [file.name for file in cached(tmp_path, name).parent.iterdir()]


def test_a_session_that_waits_shows_how_far_the_other_one_is(server: Server, tmp_path: Path) -> None:
    """It looks at the partial file, whose size it tells, and downloads what the other session has left."""
    name = name_of(server.content)
    partial = cached(tmp_path, f"{name}.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.content[:1000])
    other = hold(partial)
    assert other is not None
    told: list[tuple[str, int, int | None]] = []

    def watch(*seen: Any) -> None:
        told.append(seen)
        if len(told) == 1:
            other.release()

    assert obtain(published(server.address, name), "imagenet", watch) is not None
    assert (name, 1000, None) == told[0]
    assert ["bytes=1000-"] == server.asked


def test_a_session_locks_the_file_that_it_writes(server: Server, tmp_path: Path) -> None:
    """Another session has removed its partial file, as damaged, while this one waited for the lock."""
    name = name_of(server.content)
    partial = cached(tmp_path, f"{name}.partial")
    partial.parent.mkdir(parents=True)
    partial.touch()
    other = hold(partial)
    assert other is not None
    is_free: list[bool] = []

    def watch(_: str, __: int, total: int | None) -> None:
        if total is None:
            partial.unlink()
            other.release()
        else:
            is_free.append(hold(partial) is not None)

    assert obtain(published(server.address, name), "imagenet", watch) is not None
    assert [False] == is_free
    assert [name] == [file.name for file in partial.parent.iterdir()]


def test_a_session_that_failed_leaves_the_empty_file_of_another_one(server: Server, tmp_path: Path) -> None:
    """The other session has just created it."""
    partial = tmp_path / "x.pth.partial"
    with downloads._held(partial, ignore):
        partial.unlink()
        partial.touch()
    assert partial.exists()
    with downloads._held(partial, ignore):
        pass
    assert not partial.exists()


def test_files_of_one_name_at_several_addresses_are_several_files(server: Server) -> None:
    """As `model.safetensors` is, which has no hash; a query is no part of the name."""
    first = obtain(published(server.address, "a/model.pth?download=true"), "imagenet", ignore)
    server.content += b"of another network"
    second = obtain(published(server.address, "b/model.pth"), "imagenet", ignore)
    assert first is not None
    assert second is not None
    assert ["model.pth"] * 2 == [first.path.name, second.path.name]
    assert first.facts.sha256 != second.facts.sha256


def test_a_file_of_a_file_url_is_copied(server: Server, tmp_path: Path) -> None:
    """Its answer has neither a status nor a length."""
    address = (tmp_path / "made.pth").as_uri()
    source = obtain(
        Architecture(name="tiny", build=network, pretrained=lambda: {"default": address}), "default", ignore
    )
    assert source is not None
    assert server.content == source.path.read_bytes()


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
    with pytest.raises(UserError, match="'tiny': `pretrained` is a dict; it must be a function"):
        Architecture(name="tiny", build=network, pretrained={"imagenet": "x.pth"})  # type: ignore[arg-type]


def test_the_suffix_of_a_file_is_in_any_case(tmp_path: Path) -> None:
    """A file of safetensors is none for `torch.load`."""
    save_file(trained(), tmp_path / "W.SAFETENSORS")
    assert trained().keys() == read_state_dict(tmp_path / "W.SAFETENSORS").keys()


def test_connections_that_break_are_taken_up_again(server: Server) -> None:
    """Each attempt goes on where the last one ended."""
    server.breaks_after = [500, 700]
    source = obtain(published(server.address, name_of(server.content)), "imagenet", ignore)
    assert source is not None
    assert server.content == source.path.read_bytes()
    assert [None, "bytes=500-", "bytes=1200-"] == server.asked


def test_a_server_without_ranges_begins_anew(server: Server) -> None:
    """What it sends replaces what was there."""
    server.knows_ranges = False
    server.breaks_after = [500]
    source = obtain(published(server.address, name_of(server.content)), "imagenet", ignore)
    assert source is not None
    assert server.content == source.path.read_bytes()


def test_a_partial_file_that_is_too_long_is_dropped(server: Server, tmp_path: Path) -> None:
    """The server has nothing beyond its end; the download begins anew."""
    name = name_of(server.content)
    partial = cached(tmp_path, f"{name}.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.content + b"more")
    source = obtain(published(server.address, name), "imagenet", ignore)
    assert source is not None
    assert server.content == source.path.read_bytes()


def test_what_is_not_what_its_name_says_is_refused(server: Server, tmp_path: Path) -> None:
    """A damaged download leaves nothing behind; a damaged file in the cache is named."""
    name = name_of(b"another file")
    with pytest.raises(UserError, match=r"weights http://.*: what was downloaded is damaged"):
        obtain(published(server.address, name), "imagenet", ignore)
    assert [] == list(cached(tmp_path, name).parent.iterdir())
    cached(tmp_path, name).write_bytes(b"damaged")
    with pytest.raises(UserError, match=rf"{name}: damaged, its SHA-256 is .*; delete it"):
        obtain(published(server.address, name), "imagenet", ignore)


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (503, 3)])
def test_what_a_server_refuses_can_be_put_there_by_hand(
    server: Server, tmp_path: Path, status: int, attempts: int
) -> None:
    """What it does not have is asked for once, what it cannot give now several times; then the message helps."""
    server.status = status
    with pytest.raises(UserError, match=rf"cannot be downloaded .*{status}.*; fetch that file elsewhere") as caught:
        obtain(published(server.address, "tiny-00000000.pth"), "imagenet", ignore)
    assert str(cached(tmp_path, "tiny-00000000.pth")) in str(caught.value)
    assert attempts == len(server.asked)


def test_without_a_network_the_message_says_which_file_to_put_where(server: Server, tmp_path: Path) -> None:
    """The address and the place; put there, the file is used."""
    name = name_of(server.content)
    nowhere = published("http://127.0.0.1:1", name)
    with pytest.raises(UserError) as caught:
        obtain(nowhere, "imagenet", ignore)
    assert f"http://127.0.0.1:1/models/{name}" in str(caught.value)
    assert f"put it at {cached(tmp_path, name)}" in str(caught.value)
    cached(tmp_path, name).write_bytes(server.content)
    assert obtain(nowhere, "imagenet", ignore) is not None


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


def test_weights_are_located_without_a_download(server: Server, tmp_path: Path) -> None:
    """A file that is not in the cache has no path; whether its server answers is asked without downloading it."""
    name = name_of(server.content)
    architecture = published(server.address, name)
    location = locate(architecture, "default")
    assert (None, f"{server.address}/models/{name}") == (location.path, location.file.address)
    assert [] == server.asked
    assert is_reachable(location.file.address)
    assert ["HEAD"] == server.asked
    assert not cached(tmp_path, name).exists()
    obtain(architecture, "imagenet", ignore)
    assert cached(tmp_path, name) == locate(architecture, "imagenet").path
    with pytest.raises(UserError, match="has no weights 'imagenet-v2'"):
        locate(architecture, "imagenet-v2")


def test_a_server_that_refuses_is_not_reachable(server: Server) -> None:
    """Nor is one that is not there."""
    server.status = 403
    assert not is_reachable(f"{server.address}/models/x.pth")
    assert not is_reachable("http://127.0.0.1:9/models/x.pth")


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
