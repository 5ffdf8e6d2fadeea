"""Arguments of the Python API are checked before anything is executed, in the words of the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intelbench
from intelbench.api.execution import RunOptions, work
from intelbench.api.results import Results
from intelbench.api.running import ProfileOptions
from intelbench.config.requests import ProfileRequest, RunRequest, accepted
from intelbench.errors import UserError
from tests.synthetic import synthetic_runs

RUN = {
    "suite": [(3, "suite: 3 is not accepted. Expected text")],
    "data": [(3, "data: 3 is not accepted"), ("", "data: '' is not accepted")],
    "budget": [
        (-0.1, "budget -0.1: not a budget. Expected a text with a unit, or a share"),
        (float("nan"), "budget nan: not a budget"),
        (0, "budget 0: has no unit. .* Try '1 step'"),
        (5, "budget 5: has no unit. .* Try '5 steps'"),
        (True, "budget True: not a budget"),
        ("5", "budget '5': not a budget. Expected a positive number and a unit"),
        ([], "budget \\[\\]: not a budget"),
    ],
    "seeds": [
        ("0-2", "seeds: '0-2' is not accepted. Expected a list of at least 1 item, each a whole number from [^T]*$"),
        (3, "seeds: 3 is not accepted. .* Try seeds=\\[3\\]$"),
        ([], "seeds: an empty list is not accepted"),
        ([0, -1], "seeds\\[1\\]: -1 is not accepted"),
        ([0, 0], "seeds .*: 0 is given more than once. Expected each value once"),
    ],
    "until": [("x", "until: 'x' is not accepted. Expected 'decided'")],
    "margin": [
        (0.0001, "margin: 0.0001 is not accepted. Expected a number of at least 0.001 and below 1, a fraction"),
        ("x", "margin: 'x' is not accepted"),
    ],
    "metric": [(3, "metric: 3 is not accepted"), ({}, "metric: a dict is not accepted"), (True, "metric: True is not")],
    "spending": [
        ("pocock", "spending: given without `until`. .* Try until='decided'$"),
        ("x", "spending: 'x' is not accepted"),
    ],
    "at_most": [("4 h", "at_most: given without"), ("4 steps", "at_most '4 steps': not a time"), (-1, "at_most: -1 ")],
    "image_size": [(4, "image_size: 4 is not .* a whole number from 8 to 4,096"), ("x", "image_size: ")],
    "precision": [("fp8", "precision: 'fp8' is not accepted. Expected 'auto', 'bf16', 'fp16' or 'fp32'")],
    "images_per_class": [
        ("x", "images_per_class: 'x' is not accepted. Expected a list [^T]*$"),
        ("all", "images_per_class: 'all' is .* Try images_per_class=\\['all'\\]$"),
        ([0], "images_per_class\\[0\\]: 0 is not accepted"),
    ],
    "vary": [("x", "vary: 'x' is not accepted"), (["init", "init"], "vary .*: init is given more than once")],
    "keep_weights": [("some", "keep_weights: 'some' is not accepted. Expected 'all', 'best' or 'none'")],
    "device": [
        *((name, f"device '{name}': not a device. Expected auto, cpu, cuda") for name in ("tpu", "gpu", "")),
        (0, "device: 0 is not accepted. Expected text"),
    ],
    "gpus": [(number, f"gpus: {number!r} is not .* from 1 to 64$") for number in (-1, 0, "2")],
    "threads": [(number, f"threads: {number!r} is not .* from 1 to 1,024$") for number in (-1, 0, "2", 5000)],
    "workers": [(number, f"workers: {number!r} is not .* from 0 to 1,024$") for number in (-1, "2")],
    "timeout_seconds": [(time, "timeout_seconds: .* above 0 and at most 2,000,000, in seconds") for time in (-1, "x")],
    "memory_limit_bytes": [(size, "memory_limit_bytes: .* Expected a whole .*, in bytes$") for size in (-1, "8GB", 0)],
    "checkpoint": [(when, f"checkpoint: {when!r} is not accepted") for when in ("x", -1, 0)],
    "rerun": [("x", "rerun: 'x' is not accepted. Expected 'all', 'failed', 'interrupted' or 'none'")],
    "plugins": [("no.py", "plugins: 'no.py' is not .* Try plugins=\\['no.py'\\]"), ([3], "plugins\\[0\\]: 3 is not")],
    "on": [(3, "on: 3 is not accepted")],
    "shared_clock": [("no", "shared_clock: 'no' is not accepted. Expected True or False")],
    "track": [("mlflow", "track: 'mlflow' is not .* Try track=\\['mlflow'\\]")],
    "use_cache": [("no", "use_cache: 'no' is not accepted. Expected True or False")],
    "skip_unreadable": [(1, "skip_unreadable: 1 is not accepted. Expected True or False")],
    "cache_folder": [(3, "cache_folder: 3 is not accepted"), ("", "cache_folder: '' is not accepted")],
}  # fmt: skip
"""Wrong values of each option of `run`, and the message."""
PROFILE = {
    "batch_sizes": [("x", "batch_sizes: 'x' is not"), ([0], "batch_sizes\\[0\\]: 0"), ([1, 1], "more than once")],
    "memories": [(8, "memories: 8 is not .* Try memories=\\[8\\]"), (["8GB"], "memories\\[0\\]: '8GB'")],
    "num_classes": [(1, "num_classes: 1 is not accepted. Expected a whole number from 2 to 32,767")],
    "image_size": [(4, "image_size: 4 is not")],
    "precision": [("fp16", "precision: 'fp16' is not accepted. Expected 'bf16' or 'fp32'")],
    "optimizer": [("SGD!", "optimizer: 'SGD!' is not"), (3, "optimizer: 3 is not")],
    "frozen": [("no", "frozen: 'no' is not accepted")],
    "plugins": [("no.py", "plugins: 'no.py' is not .* Try plugins=\\['no.py'\\]")],
}  # fmt: skip


LONG = "a" * 3000
"""Longer than a path can be."""
run: Any = intelbench.run
"""With options that no type checker accepts, as is `profile`."""
profile: Any = intelbench.profile
SHORT = "'a{99}…: longer than a path can be. Expected a (file|folder)$"


def cases(table: dict[str, list[tuple[object, str]]]) -> list[tuple[str, object, str]]:
    """Each option with a value and the message."""
    return [(name, value, message) for name, wrong in table.items() for value, message in wrong]


@pytest.mark.parametrize(("name", "value", "message"), cases(RUN))
def test_a_wrong_option_of_a_run_is_refused(tmp_path: Path, name: str, value: object, message: str) -> None:
    """Before a process is started or a file written."""
    with pytest.raises(UserError, match=f"^{message}"):
        run(["resnet18"], out=tmp_path / "results", **{"data": tmp_path, name: value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out", "cache_folder"])
def test_a_folder_that_is_a_file_is_refused(name: str) -> None:
    """In the words of the command line; also a path that no system accepts, which is shortened."""
    for value, message in ((__file__, "'.*': a file. Expected a folder$"), (LONG, SHORT)):
        with pytest.raises(UserError, match=f"^{name} {message}"):
            run(["resnet18"], **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("data", LONG, "data a{300}…: File name too long"), ("plugins", [LONG], "plug-in a{300}…: no such file")],
)
def test_an_option_that_is_too_long_for_a_path_is_shortened(
    tmp_path: Path, name: str, value: object, message: str
) -> None:
    """Rather than an `OSError` with all of it."""
    with pytest.raises(UserError, match=f"^{message}$"):
        run(["resnet18"], out=tmp_path, **{"data": tmp_path, name: value})


@pytest.mark.parametrize("name", RunOptions.__annotations__)
def test_an_option_that_is_not_utf_8_is_refused(tmp_path: Path, name: str) -> None:
    """As names of files may be; by the name of the option, and not with Python's error."""
    with pytest.raises(UserError, match=f"^{name}.*'bad.udcff'|^{name}: 'bad"):
        run(["resnet18"], out=tmp_path, **{"data": tmp_path, name: "bad\udcff"})


@pytest.mark.parametrize(("name", "value", "message"), cases(PROFILE))
def test_a_wrong_option_of_a_profile_is_refused(name: str, value: object, message: str) -> None:
    """Before a network is built."""
    with pytest.raises(UserError, match=message):
        profile(["resnet18"], **{name: value})


def test_every_option_has_a_wrong_value_here() -> None:
    """And each option is a field of the request that is checked, so that none is left out of the check."""
    assert set(RUN) == set(RunOptions.__annotations__)
    assert set(RUN) | {"architectures", "out"} == set(RunRequest.__struct_fields__)
    assert set(PROFILE) == set(ProfileOptions.__annotations__)
    assert set(PROFILE) | {"architectures"} == set(ProfileRequest.__struct_fields__)


@pytest.mark.parametrize("call", [intelbench.run, intelbench.profile])
def test_names_of_architectures_are_a_list(call: Callable[[object], object]) -> None:
    """One name alone is not read as a list of its letters."""
    with pytest.raises(UserError, match=r"architectures: 'resnet18' is not .* Try architectures=\['resnet18'\]"):
        call("resnet18")


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    """As Python does, by a `TypeError`."""
    with pytest.raises(TypeError, match=r"run\(\) got an unexpected option 'timeout'. Try `timeout_seconds`"):
        run(["resnet18"], timeout=3)
    with pytest.raises(TypeError, match=r"profile\(\) got an unexpected option 'image_sise'. .* Try `image_size`"):
        profile(["resnet18"], image_sise=32)


def test_values_of_other_libraries_are_plain_values() -> None:
    """Paths, ranges, arrays and numbers of NumPy; a text is a budget and a time."""
    given = {
        "out": Path("a"), "cache_folder": Path("b"), "seeds": range(2), "images_per_class": np.array([5, 10]),
        "threads": np.int64(2), "use_cache": np.bool_(False), "until": "decided", "at_most": "4 h", "budget": "10 %",
        "margin": None, "plugins": [Path("c.py")],
    }  # fmt: skip
    request = accepted(RunRequest, given)
    assert ("a", "b", (0, 1), (5, 10), 2) == (
        request.out, request.cache_folder, request.seeds, request.images_per_class, request.threads,
    )  # fmt: skip
    assert (False, 0.1, None, ("c.py",)) == (request.use_cache, request.budget, request.margin, request.plugins)
    assert request.design
    assert 14400 == request.design.at_most_seconds


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Of two architectures."""
    folder = tmp_path_factory.mktemp("results")
    synthetic_runs(folder / "runs", ["resnet101", "resnet152"], [0, 1])
    return intelbench.load(folder)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: intelbench.load(None), "folder: `None` is not accepted. Expected text"),
        (lambda _: intelbench.load(3), "folder: 3 is not accepted"),
        (lambda of: intelbench.load(of.folder, margin=0.0001), "margin: 0.0001 is not .* at least 0.001"),
        (lambda of: intelbench.load(of.folder, metric=3), "metric: 3 is not accepted"),
        (lambda of: intelbench.diff(of.folder, None), "after: `None` is not accepted"),
        (lambda of: of.differences(3), "metric: 3 is not accepted"),
        (lambda of: of.trace(None), "name: `None` is not accepted"),
        (lambda of: of.claims(3), "file: 3 is not accepted"),
        (lambda of: of.predictions(Path("a")), "cohort 'a' is not known. Expected one of: "),
        (lambda of: of.predictions(3), "cohort: 3 is not accepted"),
        (lambda of: of.confusion(None), "architecture: `None` is not accepted"),
        (lambda of: of.model(3), "architecture: 3 is not accepted"),
        (lambda of: of.model(plugins="no.py"), r"plugins: 'no.py' is not .* Try plugins=\['no.py'\]"),
        (lambda of: of.model(device=3), "device: 3 is not accepted"),
        (lambda of: of.plot.accuracy_cost(3), "cost: 3 is not accepted"),
        (lambda of: of.plot.accuracy_cost(ax=3), "ax: an int is not accepted. Expected the axes of one plot. Try "),
        (lambda of: of.plot.confusion("resnet101", ax=[]), "ax: a list is not accepted"),
        (lambda of: of.plot.curves(ax="a"), "ax: a str is not accepted"),
        (lambda of: of.to_markdown(full="no"), "full: 'no' is not accepted. Expected True or False"),
        (lambda of: of.to_card(3), "architecture: 3 is not accepted"),
        (lambda of: of.to_csv(None), "folder: `None` is not accepted"),
        (lambda of: of.to_html(None), "path: `None` is not accepted"),
        (lambda of: of.to_html(LONG), f"{SHORT}$"),
        (lambda of: of.to_html("page.html", images=LONG), SHORT),
        (lambda of: of.to_html("page.html", images="no such"), "images 'no such': no such folder. Expected the folder"),
        (lambda of: of.to_html("page.html", images=__file__), r"images '.*': a file\. Expected a folder$"),
        (lambda of: of.to_csv(LONG), SHORT),
        (lambda _: intelbench.load(LONG), SHORT),
        (lambda of: of.to_html("page.html", images=3), "images: 3 is not accepted"),
        (lambda of: of.to_html("/proc/o.html"), "cannot be read or written"),
        (lambda of: of.to_csv("/proc/folder"), "cannot be read or written"),
        (lambda of: of.publish(None), "tracker: `None` is not accepted"),
        (lambda of: of.publish("mlflow", 3), "place: 3 is not accepted"),
        (lambda of: of.architecture(LONG), "architecture 'a{99}… has no finished run here. Expected one of: "),
        (lambda of: of.to_card(LONG), "architecture 'a{99}…: no finished run with test images"),
        (lambda of: of.trace(LONG), "no array 'a{99}… of one value a step"),
        (lambda of: of.publish("tensorboard", LONG), "tracker 'tensorboard': a{300}…: cannot be written"),
        (lambda _: work(LONG), "^study a{300}…: not a study. Expected a file studies/ID.json"),
        (lambda _: work(f"{LONG}.json"), r"a+…: cannot be read \(File name too long\)$"),
        (lambda _: work(None), "study: `None` is not accepted"),
        (lambda _: work("study.json", run=3), "run: 3 is not accepted"),
        (lambda _: work("study.json", on=3), "on: 3 is not accepted"),
        (lambda _: work("study.json", track="mlflow"), r"track: 'mlflow' is not .* Try track=\['mlflow'\]"),
    ],
)
def test_a_wrong_argument_of_results_is_refused(results: Results, call: Callable[[Any], object], message: str) -> None:
    """By its name, with what is accepted."""
    with pytest.raises(UserError, match=message):
        call(results)
