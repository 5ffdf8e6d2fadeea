"""`intelbench predict`."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from intelbench.cli.output import complain, write_product
from intelbench.cli.parameters import GroupedCommand, margin_option, option, plugin_option
from intelbench.cli.values import FILE, NAME, Value, existing_path, require_suffix
from intelbench.config.bounds import device_name
from intelbench.errors import plural, printable

_EXIT_UNREADABLE = 1
_MAX_LISTED = 20
_LINE_SECONDS = 15.0
"""Time between two lines of progress, where stderr is no terminal."""


@click.command(cls=GroupedCommand)
@click.argument("results", type=Value(existing_path), metavar="RUNS_DIR")
@click.argument("images", type=Value(existing_path), metavar="IMAGES")
@option(
    "--architecture",
    type=NAME,
    metavar="NAME",
    help="Architecture whose trained network is used. [default: the one that the report recommends]",
)
@option("--out", type=FILE, help="CSV file to write instead of stdout.")
@option("--device", type=Value(device_name), help="Device to use, such as cpu. [default: that of the run]")
@margin_option
@plugin_option(adds="architectures")
def predict(
    results: Path,
    images: Path,
    architecture: str | None,
    out: Path | None,
    margin: float | None,
    **options: Any,
) -> int:
    """Predict the classes of IMAGES with a network that `intelbench run` has trained.

    RUNS_DIR is a results folder, or a file in its weights/. IMAGES is a folder of images, with subfolders or without,
    or one image. Writes CSV: path, predicted class, its confidence, and the probability of each class, which are scaled
    by a temperature that was fitted on the validation images. Exits with status 1 if an image cannot be read; the
    others are predicted.
    """
    from intelbench.api.trained import Choice, choose
    from intelbench.data.photos import find_photos
    from intelbench.profiling.variables import process_variables
    from intelbench.records.kept import read_kept
    from intelbench.records.store import runs_folder
    from intelbench.results.study import read

    if out:
        require_suffix(out, ".csv")
    if results.is_file() and (unused := "--architecture" if architecture else "--margin" if margin else None):
        raise click.UsageError(
            f"{unused} chooses a network of a results folder, and {printable(results)} is a file with one. Try it "
            "without"
        )
    photos = find_photos(images)
    if results.is_file():
        choice = Choice(read_kept(results), reason=None)
    else:
        runs = runs_folder(results)
        choice = choose(read(runs, margin), runs, architecture)
    about = choice.file.about
    seed = f": {choice.reason}; its seed" if choice.reason else ", seed"
    complain(
        f"{about.spec.architecture}{seed} {about.spec.seed}, validation score {about.validation_score:.3f} "
        f"({about.validation_metric})"
    )
    if choice.group:
        weights = printable(choice.file.path.parent)
        complain(f"its runs are {choice.group}; a file in {weights} instead of a folder is the network of another run")
    if about.temperature is None:
        complain("confidence is not scaled: no temperature could be fitted on the validation images")
    os.environ.update(process_variables(about.spec.execution.threads))  # before PyTorch is imported, which reads them
    from intelbench.plugins.loading import load_plugins
    from intelbench.training.trained import load

    load_plugins(options["plugins"])
    model = load(choice.file, options["device"])
    with _progress(len(photos)) as on_images:
        frame, unreadable = model.predict_photos(photos, on_images)
    write_product(frame.to_csv(index=False, lineterminator="\n", float_format="%.6g"), out)
    complain(f"{plural(len(frame), 'image')} predicted{f', in {printable(out)}' if out else ''}")
    _list_unreadable(unreadable)
    return _EXIT_UNREADABLE if unreadable else 0


def _list_unreadable(reasons: Mapping[str, str]) -> None:
    """Name the images that are left out, if there are any, and why, up to a number of them."""
    if not reasons:
        return
    complain(f"{plural(len(reasons), 'image')} left out, unreadable:")
    for path, reason in list(reasons.items())[:_MAX_LISTED]:
        complain(f"  {path}: {reason}")
    if len(reasons) > _MAX_LISTED:
        complain(f"  and {len(reasons) - _MAX_LISTED:,} more")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of the images are done: a bar on a terminal, else a line every 15 seconds."""
    from rich.progress import Progress

    from intelbench.orchestration.display import stderr_console

    console = stderr_console()
    last = time.monotonic()

    def write_line(number: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            complain(f"{number:,} of {plural(total, 'image')}")

    if not console.is_terminal:
        yield write_line
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("predicting", total=total)
        yield lambda number: bar.update(task, completed=number)
