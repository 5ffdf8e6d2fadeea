"""Fetch a file of weights from the Hugging Face Hub, through huggingface-hub and into its own cache."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intelbench.errors import UserError

OnDownload = Callable[[str, int, int | None], None]
"""Function that is called during a download with the file's name, the bytes so far, and the total if it is known."""
SCHEME = "hf-hub:"
"""Beginning of the address of a repository, as timm writes it: `hf-hub:timm/resnet50.a1_in1k`."""
_FILES = ("model.safetensors", "pytorch_model.bin")
"""Files that a repository of timm has, the preferred one first."""


@dataclass(frozen=True)
class HubAddress:
    """A repository of weights, its revision, and its file."""

    repository: str
    revision: str | None = None
    file: str | None = None
    """`None` for the usual names, safetensors first."""

    @classmethod
    def parse(cls, address: str) -> "HubAddress":
        """Read `hf-hub:OWNER/NAME`, `hf-hub:OWNER/NAME@REVISION` or `hf-hub:OWNER/NAME@REVISION#FILE`."""
        location, _, file = address.removeprefix(SCHEME).partition("#")
        repository, _, revision = location.partition("@")
        return cls(repository, revision or None, file or None)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names under which the weights may be in the repository."""
        return (self.file,) if self.file else _FILES


def cached(address: HubAddress) -> Path | None:
    """Return the file of an address from the hub's cache; `None` if it is not there, or without huggingface-hub."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    for name in address.files:
        try:
            path = try_to_load_from_cache(address.repository, name, revision=address.revision)
        except ValueError:
            return None  # no name of a repository, which `fetch` reports
        if isinstance(path, str):
            return Path(path)
    return None


def fetch(address: HubAddress, on_download: OnDownload) -> Path:
    """Return the file of an address from the hub's cache, or download it into that cache.

    A file in the cache is used as it is, without asking the hub whether there is a newer one.

    Raises:
        UserError: huggingface-hub is not installed, or the file cannot be downloaded; then the message says which file
            to put where.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError as error:
        raise UserError(
            f"weights {address.repository}: huggingface-hub is not installed: pip install 'intelbench[timm]'"
        ) from error

    if (path := cached(address)) is not None:
        return path
    reason: Exception | None = None
    for name in address.files:
        progress = _progress(f"{address.repository}/{name}", on_download)
        try:
            with _without_warnings():
                _ask(address, name)
                downloaded = hf_hub_download(address.repository, name, revision=address.revision, tqdm_class=progress)
        except LocalEntryNotFoundError as error:  # no network, or HF_HUB_OFFLINE
            raise UserError(_by_hand(address, error)) from error
        except EntryNotFoundError as error:
            reason = error
        except (OSError, ValueError) as error:
            raise UserError(_by_hand(address, error)) from error
        else:
            return Path(downloaded)
    raise UserError(_by_hand(address, reason)) from reason


def _ask(address: HubAddress, name: str) -> None:
    """Ask the hub once for a file, because without a network a download tries again for 24 s.

    Raises:
        UserError: the hub cannot be reached.
        EntryNotFoundError: the repository has no such file.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    try:
        get_hf_file_metadata(hf_hub_url(address.repository, name, revision=address.revision))
    except EntryNotFoundError:
        raise
    except HfHubHTTPError:
        pass  # a busy hub, which the download asks again, or a refusal, for which it gives the reason
    except Exception as error:  # of the HTTP library, which depends on the version of huggingface-hub
        raise UserError(_by_hand(address, error)) from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Run the block without warnings of huggingface-hub, which are no lines of ours."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _by_hand(address: HubAddress, reason: Exception | None) -> str:
    """Say what could not be downloaded and why, and what to put where."""
    from huggingface_hub import constants

    said = str(reason).strip().partition("\n")[0].rstrip(".")
    file = address.files[0]
    command = f"hf download {address.repository} {file}" + (
        f" --revision {address.revision}" if address.revision else ""
    )
    folder = f"models--{address.repository.replace('/', '--')}"
    return (
        f"weights {address.repository}/{file}: cannot be downloaded ({said}). Run `{command}` on a computer with a "
        f"network and copy the folder {folder} of its cache into {constants.HF_HUB_CACHE}, or copy the file alone and "
        "give its path as `recipe.weights`"
    )


def _progress(file: str, on_download: OnDownload) -> Any:
    """Return a class that huggingface-hub takes for its progress bar, and that calls `on_download` instead."""
    from tqdm import tqdm

    class Progress(tqdm):  # type: ignore[type-arg, misc, unused-ignore]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **(options | {"disable": True}))

        def update(self, n: float | None = 1) -> bool | None:
            self.n += n or 0
            on_download(file, int(self.n), int(self.total) if self.total else None)
            return None

    return Progress
