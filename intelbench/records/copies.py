"""Copies of files in a folder that is created atomically, with the SHA-256 sum of each file."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from intelbench.records.atomic import draft_of

_SUMS_FILE = "SHA256SUMS"


def write_copy(root: Path, paths: Iterable[str], content: Callable[[str], bytes], threads: int = 1) -> None:
    """Write the content of each path in the folder `root`, and the SHA-256 sum of each file.

    If another process has created `root` in the meantime, the new copy, which is equal, is discarded.

    Raises:
        UserError: the folder cannot be written.
    """
    with draft_of(root) as draft, ThreadPoolExecutor(threads) as pool:

        def write(path: str) -> None:
            file = draft / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content(path))

        for _ in pool.map(write, paths):
            pass
        (draft / _SUMS_FILE).write_text(_sums(draft), encoding="utf-8")


def is_intact(root: Path) -> bool:
    """Return whether the files in `root` match its sums, with no file added or missing."""
    try:
        return (root / _SUMS_FILE).read_text(encoding="utf-8", errors="replace") == _sums(root)
    except OSError:
        return False


def _sums(root: Path) -> str:
    """Return a line for each file, as `sha256sum` writes it."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != _SUMS_FILE)
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda path: sha256(path.read_bytes()).hexdigest(), files)
        return "".join(
            f"{digest}  {path.relative_to(root).as_posix()}\n" for digest, path in zip(digests, files, strict=True)
        )
