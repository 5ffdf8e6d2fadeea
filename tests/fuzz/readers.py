"""Feed the readers of foreign files whatever atheris comes up with, guided by coverage, until one of them breaks.

`python -m tests.fuzz.readers TARGET [CORPUS] [libFuzzer flags]`, as in `... suite -max_total_time=900`, wants `atheris`
and what the readers import (msgspec, numpy, pillow, tomli-w), but no PyTorch. TARGET is `suite`, `claims`, `record` or
`images`. CORPUS, a folder that is made and grows, keeps what was found interesting for the next time.

What each target may do with any bytes at all is written in its function; anything else is a finding, and libFuzzer
saves the bytes as `crash-...`, `timeout-...` or `oom-...`. A finding becomes a test beside those of its reader.
"""

import io
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["intelbench", "numpy.lib", "PIL", "tomllib", "zipfile"]):
    import tomllib  # noqa: F401 - msgspec imports it when it is first needed, which is too late
    import zipfile

    import numpy as np
    from PIL import Image

    from intelbench.config.suites import encode_suite, load_suite
    from intelbench.data.decoding import UnreadableImageError, decode
    from intelbench.data.folder import list_images
    from intelbench.errors import UserError
    from intelbench.records.store import read_run, read_with_traces
    from intelbench.results.claims import load_claims
    from tests.reading import read_runs

REPOSITORY = Path(__file__).parent.parent.parent
SAMPLE = REPOSITORY / "tests" / "records" / "version-1"
RUN = read_run(SAMPLE).record.run_id
RECORD_FILES = ("record.json", "traces.npz", "SHA256SUMS", "array")
SIDE = 32


class Scratch:
    """A folder in memory, where there is one, with files that are written anew for each input."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))

    def write(self, name: str, content: bytes) -> Path:
        """A file with this content."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


def suite(content: bytes, scratch: Scratch) -> None:
    """A suite, which survives being written and read again, or a `UserError`."""
    try:
        found = load_suite(str(scratch.write("fuzzed.toml", content)))
    except UserError:
        return
    assert found == load_suite(str(scratch.write("again.toml", encode_suite(found).encode())))


def claims(content: bytes, scratch: Scratch) -> None:
    """Claims with ids of their own, or a `UserError`."""
    try:
        found = load_claims(scratch.write("fuzzed.toml", content))
    except UserError:
        return
    assert len(found) == len({claim.id for claim in found}) > 0


def record(content: bytes, scratch: Scratch) -> None:
    """A record, arrays and a verdict on their sums, or a `UserError` for each.

    The first byte says which file the rest is; the last kind is one array, in an archive whose own sums are right.
    """
    kind, rest = content[:1] or b"0", content[1:]
    name = RECORD_FILES[kind[0] % len(RECORD_FILES)]
    shutil.rmtree(scratch.folder / RUN, ignore_errors=True)
    shutil.copytree(SAMPLE, scratch.folder / RUN)
    if name == "array":
        with zipfile.ZipFile(scratch.folder / RUN / "traces.npz", "w") as archive:
            archive.writestr("step_loss.npy", rest)
    else:
        scratch.write(f"{RUN}/{name}", rest)
    found, problems = read_runs(scratch.folder)
    assert 1 == len(found) + len(problems)
    for stored in found:
        assert stored.record == read_run(stored.path).record
        with suppress(UserError):
            stored.traces()
        with suppress(UserError):
            stored.unchanged()
        with suppress(UserError, ValueError):
            list(read_with_traces(stored.path)[1].values())


def images(content: bytes, scratch: Scratch) -> None:
    """A listing or a `UserError`; small RGB pixels, or an `UnreadableImageError`, or a lack of memory.

    The first bytes, up to a line feed, name the file.
    """
    name, _, pixels = content.partition(b"\n")
    shutil.rmtree(scratch.folder / "train", ignore_errors=True)
    for each in ("day", "night"):
        scratch.write(f"train/{each}/0.png", b"")
    try:
        scratch.write(f"train/day/{name.replace(b'/', b'').decode(errors='surrogateescape')}", pixels)
    except (OSError, ValueError):
        return  # no name that a file can have
    with suppress(UserError):
        assert {"day", "night"} == set(list_images(scratch.folder).class_names)
    try:
        found = decode(pixels, SIDE)
    except (UnreadableImageError, MemoryError):
        return
    assert (3, np.uint8) == (found.shape[2], found.dtype)
    assert min(found.shape[:2]) <= SIDE


def seeds(target: str) -> Iterator[bytes]:
    """Valid inputs, from which the first changes start."""
    if target == "suite":
        yield from (file.read_bytes() for file in (REPOSITORY / "intelbench" / "suites").glob("*.toml"))
    elif target == "claims":
        whole = (REPOSITORY / "intelbench" / "claims" / "published.toml").read_bytes()
        yield from (b"[[claim]]" + each for each in whole.split(b"[[claim]]")[1:])
    elif target == "record":
        for kind, name in enumerate(RECORD_FILES[:2]):
            yield bytes([kind]) + (SAMPLE / name).read_bytes()
        yield b"\2" + b"0" * 64 + b"  record.json\n"
        for values in (np.arange(5.0), np.array([["day", "night"]])):
            buffer = io.BytesIO()
            np.save(buffer, values)
            yield b"\3" + buffer.getvalue()
    else:
        noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        for form in ("png", "jpeg", "gif", "bmp", "webp", "tiff", "ppm"):
            buffer = io.BytesIO()
            Image.fromarray(noise).save(buffer, form)
            yield f"a.{form}\n".encode() + buffer.getvalue()


TARGETS: dict[str, Callable[[bytes, Scratch], None]] = {
    "suite": suite, "claims": claims, "record": record, "images": images,
}  # fmt: skip


def main() -> None:
    """Fuzz one target."""
    name, *rest = sys.argv[1:]
    target, scratch = TARGETS[name], Scratch()
    flags = [each for each in rest if each.startswith("-")]
    corpus = Path(next((each for each in rest if not each.startswith("-")), tempfile.mkdtemp(prefix="corpus-")))
    corpus.mkdir(parents=True, exist_ok=True)
    words: set[bytes] = set()
    for number, content in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(content)
        words.update(re.findall(rb'[a-z_]{3,}|"[ -!#-\[\]-~]+"', content))
    dictionary = scratch.write("dictionary", b"".join(b'"%b"\n' % word.replace(b'"', rb"\"") for word in words))
    warnings.simplefilter("ignore")  # of a decompression bomb, say
    atheris.Setup([sys.argv[0], str(corpus), f"-dict={dictionary}", *flags], lambda content: target(content, scratch))
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(scratch.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
