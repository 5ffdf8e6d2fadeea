"""What options of the command line and of the Python API accept. No other module is imported, so that help is quick."""

import errno
import re
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

IMAGE_SIZE = (8, 4096)
"""Pixels; at 4096 an image takes 200 MB in float32."""
NUM_CLASSES = (2, 32_767)
BATCH_SIZE = (1, 65_536)
"""Images a step: twice what large-batch training was published with (You et al., 2017)."""
GPUS = (1, 64)
THREADS = (1, 1024)
WORKERS = (0, 1024)
MAX_SEED = 2**63 - 1
MAX_SECONDS = 2_000_000
"""The operating system waits for at most 2^31 milliseconds, which are 24.8 days."""
MAX_GIGABYTES = 1_000_000
POINTS = (0.1, 100)
"""Percentage points from the first number on and below the second; a smaller number is probably a fraction, and no test
set that people have can show it."""


def device_name(text: object) -> str:
    """Return the name of a device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str) or not re.fullmatch(r"auto|cpu|mps|cuda(?::(?:0|[1-9][0-9]{0,2}))?", text):
        raise ValueError("not a device. Expected auto, cpu, cuda, cuda with a number, or mps. Try cuda:1")
    return text


def one_line(expected: str, text: str) -> str:
    """Return a text of one line that is not empty; `expected` is what messages call it.

    Raises:
        ValueError: the text is empty, or has a control character or a byte that is not UTF-8.
    """
    if not text or re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
        problem = "holds a character that cannot be printed" if text else "empty"
        raise ValueError(f"{problem}. Expected {expected}")
    return text


def path_of(expected: Literal["folder", "file"], text: str) -> str:
    """Return the path of a folder or of a file, which need not exist.

    Raises:
        ValueError: the path is empty, too long, or does not fit in one line, or something else is there.
    """
    one_line(f"a {expected}", text)
    try:
        mode = Path(text).stat().st_mode
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(f"longer than a path can be. Expected a {expected}") from error
        return text  # there is none, or what uses it says why it cannot be looked at
    kind = "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "pipe or a device"
    if kind != expected:
        raise ValueError(f"a {kind}. Expected a {expected}")
    return text


def each_once(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return the values.

    Raises:
        ValueError: one is given twice.
    """
    given = tuple(values)
    twice = next((value for value, count in Counter(given).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given more than once. Expected each value once")
    return given


def byte_count(text: str) -> int:
    """Bytes as people write them: `8GB`, `500 MB`, `7.5GiB`."""
    match = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([KMGT]i?)?B\s*", text, re.IGNORECASE)
    unit = ((match and match[2]) or "").upper()
    scale = (1024 if unit.endswith("I") else 1000) ** " KMGT".index(unit[:1] or " ")
    if match is None or float(match[1]) * scale < 1:
        raise ValueError("not a size. Expected a number above 0 and a unit. Try 8GB, 500MB or 7.5GiB")
    return int(float(match[1]) * scale)
