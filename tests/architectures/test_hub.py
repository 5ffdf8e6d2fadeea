"""Files of the Hugging Face Hub come from its cache, or through huggingface-hub from a server, or the message helps."""

import builtins
import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from intelbench.architectures.hub import HubAddress, cached, fetch
from intelbench.errors import UserError

COMMIT = "0123456789" * 4
CONTENT = b"weights" * 100_000
ADDRESS = HubAddress.parse("hf-hub:maker/tiny.a1_in1k")


class Server(ThreadingHTTPServer):
    """A hub with the files of one repository."""

    files: dict[str, bytes]
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does: commit and digest in the headers, and the file."""

    server: Server

    def do_HEAD(self) -> None:
        """Send the facts of a file."""
        self.answer(with_content=False)

    def do_GET(self) -> None:
        """Send a file."""
        self.answer(with_content=True)

    def answer(self, with_content: bool) -> None:
        """Send what `/maker/tiny.a1_in1k/resolve/REVISION/FILE` asks for."""
        name = self.path.rpartition("/")[2]
        self.server.asked.append(f"{self.command} {name}")
        content = self.server.files.get(name)
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if with_content and content:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which can be reached nowhere."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A hub on this computer, and the empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as serving:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{serving.server_address[1]}")
        template = f"http://127.0.0.1:{serving.server_address[1]}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        serving.files, serving.asked = {}, []
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def ignore(*_: object) -> None:
    """Watch no download."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf-hub:timm/a.b", HubAddress("timm/a.b")),
        ("hf-hub:timm/a.b@v2", HubAddress("timm/a.b", "v2")),
        ("hf-hub:timm/a.b@v2#c.safetensors", HubAddress("timm/a.b", "v2", "c.safetensors")),
        ("hf-hub:timm/a.b#c.bin", HubAddress("timm/a.b", None, "c.bin")),
    ],
)
def test_an_address_has_a_repository_and_perhaps_a_revision_and_a_file(text: str, expected: HubAddress) -> None:
    """As timm writes it; without a file, safetensors come first."""
    assert expected == HubAddress.parse(text)
    assert expected.files == ((expected.file,) if expected.file else ("model.safetensors", "pytorch_model.bin"))


def test_a_file_is_downloaded_once_into_the_hubs_cache(server: Server, cache: Path) -> None:
    """Progress is reported; afterwards the hub is not asked again, and nothing of it is needed."""
    server.files["model.safetensors"] = CONTENT
    told: list[tuple[str, int, int | None]] = []
    path = fetch(ADDRESS, lambda *seen: told.append(seen))
    assert cache / "models--maker--tiny.a1_in1k" / "snapshots" / COMMIT / "model.safetensors" == path
    assert CONTENT == path.read_bytes()
    assert ("maker/tiny.a1_in1k/model.safetensors", len(CONTENT), len(CONTENT)) == told[-1]
    asked = list(server.asked)
    assert path == fetch(ADDRESS, ignore)
    assert asked == server.asked


def test_a_repository_without_safetensors_gives_its_other_file(server: Server) -> None:
    """The name that PyTorch's files have there."""
    server.files["pytorch_model.bin"] = CONTENT
    assert "pytorch_model.bin" == fetch(ADDRESS, ignore).name


def test_a_repository_without_weights_says_so(server: Server) -> None:
    """With what to put where."""
    with pytest.raises(
        UserError, match=r"weights maker/tiny\.a1_in1k/model\.safetensors: cannot be downloaded \(.*404"
    ):
        fetch(ADDRESS, ignore)
    assert ["HEAD model.safetensors", "HEAD pytorch_model.bin"] == server.asked


def test_without_a_network_the_message_says_which_file_to_put_where(cache: Path) -> None:
    """The command that fetches the file elsewhere, and the folder; put there, the file is used."""
    with pytest.raises(UserError) as caught:
        fetch(HubAddress("maker/tiny", "v2"), ignore)
    said = str(caught.value)
    assert said.startswith("weights maker/tiny/model.safetensors: cannot be downloaded (")
    assert "`hf download maker/tiny model.safetensors --revision v2`" in said
    assert f"copy the folder models--maker--tiny of its cache into {cache}" in said
    repository = cache / "models--maker--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "v2").write_text(COMMIT)
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "snapshots" / COMMIT / "model.safetensors").write_bytes(CONTENT)
    assert CONTENT == fetch(HubAddress("maker/tiny", "v2"), ignore).read_bytes()


def test_a_hub_that_cannot_be_reached_is_asked_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without waits between attempts, and without warnings of the library."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail(f"waits {seconds} s"))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    with pytest.raises(UserError, match=r"cannot be downloaded \(.*[Rr]efused"):
        fetch(ADDRESS, ignore)
    assert [] == caplog.records


def test_what_is_no_name_of_a_repository_is_an_error_of_the_user(cache: Path) -> None:
    """It is in no cache, and the message has the reason of the hub."""
    assert cached(HubAddress("a b/c")) is None
    with pytest.raises(UserError, match=r"weights a b/c/model\.safetensors: cannot be downloaded \(.*'a b/c'"):
        fetch(HubAddress("a b/c"), ignore)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is for someone who installed timm on its own."""
    found = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r"huggingface-hub is not installed: pip install 'intelbench\[timm\]'"):
        fetch(ADDRESS, ignore)
