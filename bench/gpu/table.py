"""Render the table that `make gpu` prints."""

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from bench.gpu.results import Figure, Results, Row
from bench.gpu.stages import Stage

_HEADINGS = ("Stage", "Measured", "Result", "Limit", "State")
_WIDTHS = (16, 36, 44, 6, 20)
"""Width of each column in characters."""
_SCALED = {
    "bytes": (1e9, "GB"), "bytes/s": (1e9, "GB/s"), "FLOP/image": (1e9, "GFLOP/image"), "FLOP/s": (1e12, "TFLOP/s"),
    "share": (0.01, "%"),
}  # fmt: skip
"""Factor and name of the unit in the table, by base unit."""


def render(results: Results, stages: Sequence[Stage]) -> str:
    """Return the table of all stages, below the name of the card."""
    heading = f"{results.environment.device_name}, PyTorch {results.environment.torch}"
    lines = [line for stage in stages for line in _of_stage(results, stage)]
    table = tabulate(lines, headers=_HEADINGS, tablefmt="simple", disable_numparse=True, maxcolwidths=list(_WIDTHS))
    return "\n".join(filter(None, [heading, table, results.note])) + "\n"


def describe(row: Row) -> str:
    """Return the figures of a row as text, or why it failed."""
    return "; ".join([*map(_figure, row.figures), *filter(None, [row.failure])])


def _of_stage(results: Results, stage: Stage) -> Iterator[tuple[str, ...]]:
    result = results.stages.get(stage.name)
    if result is None:
        yield stage.title, "", "", "", "skipped: deadline"
        return
    yield stage.title, "", result.message or "", "", f"{result.status}, {result.seconds:.1f} s"
    for row in result.rows:
        yield "", row.subject, describe(row), _limit(row), _verdict(results, row)


def _figure(figure: Figure) -> str:
    if figure.value is None:
        return f"{figure.name} absent ({figure.absent})"
    if isinstance(figure.value, str | bool):
        return f"{figure.name} {figure.value}"
    factor, unit = _SCALED.get(figure.unit, (1, figure.unit))
    value = figure.value / factor if figure.unit in _SCALED else figure.value
    text = f"{value:,.0f}" if isinstance(value, int) or value >= 1000 else f"{value:.3g}"
    return f"{figure.name} {text} {unit}".rstrip()


def _limit(row: Row) -> str:
    if row.at_least is not None:
        return f"≥ {row.at_least:g}"
    return "" if row.at_most is None else f"≤ {row.at_most:g}"


def _verdict(results: Results, row: Row) -> str:
    if row.failure is not None:
        return "failed"
    if row.met is None:
        has_limit = row.at_least is not None or row.at_most is not None
        return ("not judged (fake)" if results.fake else "not judged: no value") if has_limit else ""
    return "met" if row.met else "NOT MET"
