"""Weights are downloaded once into the cache of PyTorch's hub, by whichever session needs them first."""

import hashlib
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

from intelbench.architectures import downloads
from intelbench.architectures.downloads import is_reachable
from intelbench.architectures.registry import Architecture
from intelbench.architectures.weights import locate, obtain, read_state_dict
from intelbench.errors import UserError
from intelbench.records.locks import hold
from intelbench.records.types import IMAGENET_NORMALIZATION
from tests.architectures.test_weights import ignore, network, published, trained


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


def cached(tmp_path: Path, name: str) -> Path:
    """Where PyTorch's hub keeps it."""
    return tmp_path / "hub" / "checkpoints" / name


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
    """A download that was cut off continues from its last byte."""
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


def test_a_session_waits_for_one_on_another_host(server: Server, tmp_path: Path) -> None:
    """Where the disk keeps locks for each host alone, both would append to one partial file, which a lease prevents."""
    name = name_of(server.content)
    partial = cached(tmp_path, f"{name}.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.content[:1000])
    lease = partial.with_name(f"{partial.name}.lease")
    lease.write_bytes(b"elsewhere 0123")
    told: list[tuple[str, int, int | None]] = []

    def watch(*seen: Any) -> None:
        told.append(seen)
        if len(told) == 1:
            assert [] == server.asked
            lease.unlink()

    assert obtain(published(server.address, name), "imagenet", watch) is not None
    assert (name, 1000, None) == told[0]
    assert ["bytes=1000-"] == server.asked
    assert [name] == [file.name for file in partial.parent.iterdir()]


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


def test_connections_that_break_are_taken_up_again(server: Server) -> None:
    """Each attempt continues from the last byte of the one before."""
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
    """The server has no bytes after those of the file, so the download starts again from the first one."""
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
