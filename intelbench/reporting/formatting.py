"""Numbers as strings, and text from outside as harmless inline Markdown."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache, partial
from itertools import groupby

from intelbench.errors import plural
from intelbench.statistics.estimates import Estimate

ABSENT = "–"
_Unit = tuple[float, str]
"""Factor and name."""
_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
MEMORY_NAMES = {
    "process_bytes": "process memory",
    "cuda_allocated_bytes": "CUDA memory allocated",
    "cuda_reserved_bytes": "CUDA memory reserved",
    "nvml_process_bytes": "GPU memory of the process (NVML)",
    "cublas_workspace_bytes": "workspace of cuBLAS",
}
"""Names of the fields of `PeakMemory` in headings."""
MEMORY_KINDS = {
    "parameters_bytes": "Parameters",
    "gradients_bytes": "Gradients",
    "optimizer_state_bytes": "Optimizer state",
    "activations_bytes": "Activations",
    "temporaries_bytes": "Temporaries",
}
"""Headings of the fields of `PredictedMemory` that add up to the peak."""
_BIDI_CONTROLS = {chr(code) for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_NOT_IN_XML = {"\ufffe", "\uffff"}
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def percent(share: float | None, digits: int = 1, unit: str = " %") -> str:
    """Write 0.4133 as `41.3 %`; 0.9999 as `> 99.9 %`, since it is not all of them."""
    return ABSENT if share is None else f"{_percentage(share, digits)}{unit}"


bare_percent = partial(percent, unit="")
"""`41.3`, where the heading has the unit."""


def drawn_percent(share: float | None, num_draws: int) -> str:
    """Write a share of random draws; none or all of them as `< 0.1` or `> 99.9`, since other draws may differ."""
    return bare_percent(None if share is None else min(max(share, 0.5 / num_draws), 1 - 0.5 / num_draws))


def percent_interval(estimate: Estimate | None, unit: str = " %") -> str:
    """Write `41.3 % [38.0, 44.6]`; one run has no interval and says so: `41.3 % (n = 1)`."""
    text = with_interval(_percentage, unit)(estimate)
    return text if estimate is None or estimate.low is not None else f"{text} (n = {estimate.n})"


percent_number = partial(percent_interval, unit="")
"""`41.3 [38.0, 44.6]`, where the heading has the unit."""


def significant(value: float, digits: int = 3) -> str:
    """Write significant digits, with an exponent for extreme values only: `0.0123`, `1,230`, `1.2e-06`."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    magnitude = math.floor(math.log10(abs(rounded)))
    if magnitude < -4 or magnitude > 9:
        return f"{value:.{digits - 1}e}"
    return f"{rounded:,.{max(digits - 1 - magnitude, 0)}f}"


def giga(value: float | None) -> str:
    """Write 2.43e11 as `243`, where the heading says that thousands of millions are meant."""
    return ABSENT if value is None else significant(value / 1e9)


def _percentage(share: float, digits: int = 1) -> str:
    """Write a share in percent; one that only rounds to none or to all of them is `< 0.1` or `> 99.9`."""
    text = f"{round(100 * share, digits) + 0.0:.{digits}f}".replace("-", "−")  # and never −0.0
    least = 10.0**-digits
    if 0 < share < 1 and text == f"{0:.{digits}f}":
        return f"< {least:.{digits}f}"
    if 0 < share < 1 and text == f"{100:.{digits}f}":
        return f"> {100 - least:.{digits}f}"
    return text


def signed_percent(share: float | None) -> str:
    """Write 0.0133 as `+1.3`, where the heading has the unit."""
    return ABSENT if share is None else f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "−")


def times(factor: float | None) -> str:
    """Write 1.0423 as `1.04 ×`."""
    return ABSENT if factor is None or math.isnan(factor) else f"{factor:.2f} ×"


def mebibytes(num_bytes: int | None) -> str:
    """Write mebibytes with two decimals, as published, where the heading has the unit."""
    return ABSENT if num_bytes is None else f"{num_bytes / 2**20:.2f}"


def milliseconds(seconds: float | None) -> str:
    """Write seconds as a number of milliseconds."""
    return ABSENT if seconds is None else significant(1000 * seconds)


def count(value: float) -> str:
    """Write a whole number with separators of thousands; a mean of whole numbers with one decimal where it needs it."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def si(value: float | None) -> str:
    """Write 42512970 as `42.5 M`."""
    return ABSENT if value is None else _scaled(value, _SI)


def quantity(value: float, unit: str) -> str:
    """Write 4.08e12 and `FLOP` as `4.08 TFLOP`."""
    return quantity_interval(Estimate(value, None, None, 1), unit)


def quantity_interval(estimate: Estimate, unit: str) -> str:
    """Write `4.08 [3.69, 4.48] TFLOP`, all with the prefix of the mean."""
    factor, prefix = _unit(estimate.mean, _SI, "")
    return f"{with_interval(lambda value: significant(value / factor))(estimate)} {prefix}{unit}"


def size(num_bytes: int | None) -> str:
    """Write 1395864371 as `1.30 GiB`."""
    return ABSENT if num_bytes is None else _scaled(num_bytes, _BINARY, "B")


def with_interval(write: Callable[[float], str], unit: str = "") -> Callable[[Estimate | None], str]:
    """Return a function that writes a mean with its unit, and its interval without it where there is one."""

    def written(estimate: Estimate | None) -> str:
        if estimate is None:
            return ABSENT
        text = f"{write(estimate.mean)}{unit}"
        if estimate.low is None or estimate.high is None:
            return text
        return f"{text} [{write(estimate.low)}, {write(estimate.high)}]"

    return written


number_interval = with_interval(significant)
"""`0.123 [0.0456, 1.23]`."""
giga_interval = with_interval(giga)
"""`243 [241, 245]`, where the heading says that thousands of millions are meant."""
points = with_interval(signed_percent)
"""A difference of shares in percentage points: `+3.2 [−0.4, +6.8]`."""
times_interval = with_interval(lambda factor: f"{factor:.2f}", " ×")
"""`1.90 × [1.71, 2.11]`."""


def size_interval(estimate: Estimate | None) -> str:
    """Write `1.01 GiB [0.996 GiB, 1.07 GiB]`, all in the unit of the mean."""
    unit = _unit(0 if estimate is None else round(estimate.mean), _BINARY, "B")
    return with_interval(lambda num_bytes: _in_unit(round(num_bytes), unit))(estimate)


def cause(name: str) -> str:
    """Write `out_of_memory` as `out of memory`."""
    return name.replace("_", " ")


def fact(value: object) -> str:
    """Write a setting as in a suite file: `true`, `0.0001`, `[0.9, 0.999]`."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(fact(item) for item in value)}]"
    return str(value)


def moment(text: str) -> str:
    """Return a time of ISO 8601 to the second; what is not one, unchanged."""
    try:
        return datetime.fromisoformat(text).isoformat(timespec="seconds")
    except ValueError:
        return text


def p_value(value: float) -> str:
    """Write a p value with three decimals, or as `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_relation(value: float) -> str:
    """Write a p value after `p`: `= 0.012`, `< 0.001`."""
    return p_value(value) if value < 0.001 else f"= {p_value(value)}"


def plural_number(value: float, noun: str) -> str:
    """Write `1 point`, `0.5 points`."""
    return f"{value:g} {noun if value == 1 else noun + 's'}"


def span(numbers: Iterable[int], noun: str) -> str:
    """Write `4 seeds`, or `2 to 4 seeds` if several numbers are given."""
    known = sorted(numbers)
    return plural(known[-1], noun) if known[0] == known[-1] else f"{known[0]} to {known[-1]} {noun}s"


def listed(items: Iterable[str]) -> str:
    """Write `a`, `a and b`, `a, b and c`."""
    *head, last = list(items) or [""]
    return f"{', '.join(head)} and {last}" if head else last


def numbers(values: Sequence[int]) -> str:
    """Write seeds or steps in order, runs of three and more shortened: `0, 1, 2` as `0–2`."""
    ordered = enumerate(sorted(values))
    runs = [[value for _, value in run] for _, run in groupby(ordered, lambda item: item[1] - item[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def printable(text: str) -> str:
    """Return one line of text without control characters or marks that reorder what is read."""
    return _without_controls(" ".join(text.split()))


def shortened(text: str, length: int) -> str:
    """Return at most `length` characters, with an ellipsis for what was cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


@lru_cache(maxsize=4096)
def escape(text: str, limit: int = 300) -> str:
    """Return text from outside (class names, messages, paths) that shows as it is, in a table as elsewhere."""
    plain = shortened(printable(text), limit)
    safe = re.sub(r"([\\`*|\[\]~$])", r"\\\1", plain)
    safe = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", safe)  # inside a word an underscore means nothing
    safe = re.sub(r"[&<>]", lambda match: _ENTITIES[match[0]], safe)
    return re.sub(r"^(?:([#+=-])|(\d+)([.)])(?=\s|$))", r"\2\\\1\3", safe)  # no heading, no list


def backticks(text: str, least: int = 1) -> str:
    """Return a row of backticks that text cannot close: longer than each in it."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))


def code(text: str) -> str:
    """Return text as a code span, for identifiers."""
    plain = printable(text)
    fence = backticks(plain)
    pad = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def printable_lines(text: str) -> str:
    """Return lines of text without control characters, indented by spaces."""
    return "\n".join(map(_without_controls, text.rstrip().expandtabs(4).split("\n")))


def _without_controls(line: str) -> str:
    if line.isascii() and line.isprintable():
        return line
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(char) in ("Cc", "Cs") or char in _BIDI_CONTROLS or char in _NOT_IN_XML
        else char
        for char in line
    )


def _scaled(value: float, units: Sequence[_Unit], base: str = "") -> str:
    return _in_unit(value, _unit(value, units, base))


def _unit(value: float, units: Sequence[_Unit], base: str) -> _Unit:
    """Return the largest unit in which a value is at least 1."""
    return next((unit for unit in units if abs(value) >= 0.9995 * unit[0]), (1, base))


def _in_unit(value: float, unit: _Unit) -> str:
    factor, name = unit
    return f"{f'{value:,.0f}' if factor == 1 else significant(value / factor)} {name}".strip()
