"""A kept network gives the logits that its run has recorded, and is used from Python and from the command line."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_model, save_file

from intelbench.api.results import load as load_results
from intelbench.config.recipe import Head
from intelbench.config.suites import load_suite, override
from intelbench.data.dataset import prepare
from intelbench.data.photos import find_photos
from intelbench.errors import UserError
from intelbench.orchestration.execute import execute
from intelbench.orchestration.job import Job
from intelbench.orchestration.plan import plan
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.environment import read_environment
from intelbench.records.kept import DRAFT, KeptFile, draft_folder, kept_files, read_kept
from intelbench.records.types import Execution
from intelbench.training.trained import load, save
from tests.command import Command
from tests.conftest import write_image
from tests.reading import read_runs

CPU = Execution(device="cpu", threads=1, workers=0)


class Trained:
    """A run that was executed in this process, and its kept weights."""

    def __init__(self, job: Job) -> None:
        self.record, self.traces = execute(job, lambda _: None)
        assert self.record.failure is None, self.record.failure
        self.file: KeptFile = read_kept(draft_folder(Path(job.runs), job.run_id) / DRAFT)


MakeTrained = Callable[..., Trained]


@pytest.fixture
def trained(small_folder: Path, small_suite: Path, plugin: Path, tmp_path: Path, little_work: None) -> MakeTrained:
    """A trained network of a small suite with another recipe or precision."""
    load_plugin(plugin)

    def make(precision: str = "fp32", memory_format: str = "channels_last", **recipe: object) -> Trained:
        suite = override(load_suite(str(small_suite)), architectures=("tiny",))
        suite = msgspec.structs.replace(
            suite,
            precision=precision,
            memory_format=memory_format,
            recipe=msgspec.structs.replace(suite.recipe, **recipe),
        )
        dataset = prepare(str(small_folder), suite.conditions, tmp_path / "cache")
        environment = read_environment(CPU)
        (planned,) = plan(suite, dataset, CPU, environment, runs=tmp_path / "results" / "runs")
        return Trained(planned.job)

    return make


def logits_of_test(file: KeptFile, folder: Path) -> tuple[list[str], np.ndarray]:
    """Ids and logits of the images of the test split, as `predict` computes them."""
    photos, unreadable = find_photos(folder / "test"), {}
    logits = load(file).logits(photos, unreadable)
    assert {} == unreadable
    return [f"test/{photo.id}" for photo in photos], logits


def assert_equal_bits(run: Trained, folder: Path) -> None:
    """The recorded logits and those of the kept network are the same bytes."""
    ids, logits = logits_of_test(run.file, folder)
    assert run.traces["test_ids"].tolist() == ids
    assert run.traces["test_logits"].tobytes() == logits.tobytes()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous"])
def test_logits_are_those_of_the_record(
    trained: MakeTrained, small_folder: Path, precision: str, memory_format: str
) -> None:
    """Bit for bit, in every precision and memory format: the last batch is smaller than the others."""
    assert_equal_bits(trained(precision, memory_format, batch_size=7), small_folder)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("head", [Head(), Head(kind="mlp", widths=(5,), dropout=0.25)])
def test_logits_of_a_head_on_stored_features_are_those_of_the_network(
    trained: MakeTrained, small_folder: Path, head: Head, precision: str
) -> None:
    """The run has trained and evaluated the head alone; the file has the complete network."""
    run = trained(precision, head=head, freeze_backbone="always", augmentation="none", batch_size=7)
    assert run.record.measurements.training_flops_per_image is None  # it was trained on features
    assert_equal_bits(run, small_folder)


def test_predict_in_a_process_with_other_settings(trained: MakeTrained, small_folder: Path) -> None:
    """Threads and determinism are those of the run while it computes, and afterwards as before."""
    run = trained()
    model = load(run.file)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    before = torch.backends.cudnn.conv.fp32_precision
    random = torch.get_rng_state()
    frame = model.predict(small_folder / "test")
    assert (2, False, before) == (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.conv.fp32_precision,
    )
    load(run.file)
    assert torch.equal(random, torch.get_rng_state())
    torch.set_num_threads(1)
    labels = run.traces["test_logits"].argmax(axis=1)
    assert [("day", "night")[label] for label in labels] == frame["predicted"].tolist()


def test_a_frame_has_scaled_probabilities(trained: MakeTrained, small_folder: Path, tmp_path: Path) -> None:
    """Confidence is the probability of the predicted class; unreadable images have no row and a reason."""
    run = trained()
    photos = tmp_path / "photos"
    shutil.copytree(small_folder / "test", photos)
    write_image(photos / "deep" / "er" / "more.jpg", seed=5)
    (photos / "broken.jpg").write_bytes(b"no image")
    (photos / "notes.txt").write_text("no image by its name")
    model = load(run.file)
    frame = model.predict(photos)
    assert {"broken.jpg": "not an image"} == frame.attrs["unreadable"]
    assert ["path", "predicted", "confidence", "probability_day", "probability_night"] == list(frame.columns)
    assert 49 == len(frame)
    assert sorted(frame["path"]) == frame["path"].tolist()
    assert "deep/er/more.jpg" in set(frame["path"])
    shares = frame[["probability_day", "probability_night"]].to_numpy(dtype=float)
    np.testing.assert_allclose(1, shares.sum(axis=1))
    np.testing.assert_array_equal(shares.max(axis=1), frame["confidence"].to_numpy(dtype=float))
    logits = model.logits(find_photos(photos), {})
    odds = (logits[:, 0].astype(float) - logits[:, 1]) / model.temperature
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), shares[:, 0])
    (one,) = model.predict(photos / "deep" / "er" / "more.jpg")["path"]
    assert "more.jpg" == one
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no image in it"):
        model.predict(empty)
    with pytest.raises(UserError, match="no such file or folder"):
        model.predict(photos / "missing")
    with pytest.raises(UserError, match=r"^images a{300}…: no such file or folder"):
        model.predict("a" * 3000)
    untyped: Any = model
    with pytest.raises(UserError, match="images: `None` is not accepted"):
        untyped.predict(None)


def test_a_transform_takes_files_images_and_tensors(trained: MakeTrained, tmp_path: Path) -> None:
    """All become the same input, upright by EXIF; the network takes it as it is."""
    run = trained()
    model = load(run.file)
    file = tmp_path / "turned.png"
    write_image(file, size=(64, 50))
    with Image.open(file) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(file, exif=exif)
    of_file = model.transform(file)
    assert ((3, 32, 32), torch.float32) == (tuple(of_file.shape), of_file.dtype)
    with Image.open(file) as image:
        assert torch.equal(of_file, model.transform(image))
        upright = np.asarray(image.convert("RGB").transpose(Image.Transpose.ROTATE_270))
    tensor = torch.from_numpy(upright.copy()).permute(2, 0, 1)
    assert torch.equal(of_file, model.transform(tensor))
    assert torch.equal(of_file, model.transform(tensor.float() / 255))
    assert (1, 2) == tuple(model.network(of_file[None]).shape)
    assert not model.network.training
    array = upright.copy()
    assert torch.equal(of_file, model.transform(array))
    assert torch.equal(of_file, model.transform(array / 255))
    array.flags.writeable = False  # as np.asarray returns the pixels of a Pillow image; no warning either
    assert torch.equal(of_file, model.transform(array))
    with_nan = tensor.float() / 255
    with_nan[0, 0, 0] = torch.nan
    (tmp_path / "empty.jpg").touch()
    for wrong, message in (
        (tensor[:1], r"a tensor of uint8, \(1, \d+, \d+\), has another shape. Expected the file of an image, "),
        (tensor[:, :0], "has another shape"),
        (array[:, :, 0], r"an array of uint8, \(\d+, \d+\), has another shape"),
        (tensor.int(), "a tensor of int32, .* has values of another type"),
        (tensor > 5, "a tensor of bool, .* has values of another type"),
        (tensor.float(), "a tensor of float32, .* has values that are not from 0 to 1"),
        (-tensor.float() / 255, "not from 0 to 1"),
        (with_nan, "not from 0 to 1"),
        (array.astype("uint16"), "an array of uint16, .* has values of another type"),
        (array.astype(object), "an array of object, .* has values of another type"),
        (5, "image: an int is not accepted"),
        (None, "image: None is not accepted"),
        (tmp_path / "missing.jpg", r"missing.jpg: cannot be read \("),
        (str(tmp_path / "empty.jpg"), r"empty.jpg: cannot be read \(empty file\)"),
    ):
        with pytest.raises(UserError, match=message):
            model.transform(wrong)


def test_a_plugin_that_is_missing_or_was_edited_is_named(trained: MakeTrained, plugin: Path, tmp_path: Path) -> None:
    """Its weights would mean something else in another network."""
    file = trained().file
    provider = file.about.spec.provider
    changed = msgspec.structs.replace(
        file.about, spec=msgspec.structs.replace(file.about.spec, provider="small.py sha256:0123456789abcdef")
    )
    with pytest.raises(
        UserError, match=f"trained with small.py sha256:0123456789abcdef, and here it is of {provider}.*--architecture"
    ):
        load(KeptFile(file.path, changed, file.num_bytes))
    unknown = msgspec.structs.replace(
        file.about, spec=msgspec.structs.replace(file.about.spec, architecture="resnet18", provider=provider)
    )
    said = r"is of the plug-in small\.py, which is not loaded\. Try --plugin small\.py, or `plugins` in Python$"
    with pytest.raises(UserError, match=said):
        load(KeptFile(file.path, unknown, file.num_bytes))


def test_tensors_of_another_network_are_refused(trained: MakeTrained, tmp_path: Path) -> None:
    """Or damaged ones, with the name of the file."""
    file = trained().file
    other = tmp_path / "other.safetensors"
    save(torch.nn.Linear(2, 2), file.about, other)
    with pytest.raises(UserError, match=r"other\.safetensors: not the tensors of 'tiny'"):
        load(read_kept(other))
    save_file({"weight": torch.zeros(1)}, other)
    with pytest.raises(UserError, match="has no `intelbench`"):
        read_kept(other)


def test_weights_that_are_replaced_after_they_were_chosen(trained: MakeTrained) -> None:
    """A run that ends may do so: its tensors are not used with the temperature and the score of the earlier ones."""
    chosen = trained().file
    later = msgspec.structs.replace(chosen.about, started_at="2030-01-01T00:00:00+00:00")
    save(load(chosen).network, later, chosen.path)
    with pytest.raises(UserError, match=r"another run has replaced it\. .* Try the command again$"):
        load(chosen)
    chosen.path.unlink()
    with pytest.raises(UserError, match=r"cannot be read \(.*\)\. .* Try the command again$"):
        load(chosen)


def test_shared_tensors_are_kept_and_loaded(tmp_path: Path, trained: MakeTrained) -> None:
    """Two modules that share a weight share it afterwards; the file has it once."""
    layer = torch.nn.Linear(3, 3)
    network = torch.nn.Sequential(layer, torch.nn.ReLU(), layer)
    path = tmp_path / "shared.safetensors"
    save(network, trained().file.about, path)
    assert path.stat().st_size < 100 * 2**10
    again = torch.nn.Linear(3, 3)
    load_model(torch.nn.Sequential(again, torch.nn.ReLU(), again), path)
    assert torch.equal(layer.weight, again.weight)


def test_the_command_line_predicts(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """From a run to a table of classes, with the reason for the architecture, and a count of what cannot be read."""
    arguments = ("--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--threads", "1")
    assert 0 == intelbench("run", *arguments, "--seeds", "0-1").returncode
    images = tmp_path / "images"
    shutil.copytree(small_folder / "test", images)
    done = intelbench("predict", "results", images, "--plugin", plugin)
    assert 0 == done.returncode, done.stderr
    assert "shown to be within 1 point of the best" in done.stderr
    (images / "broken.jpg").write_bytes(b"")
    refused = intelbench("predict", "results", images, "--out", "p.json")
    assert "--out 'p.json': unknown format. Expected a name that ends in .csv" in refused.stderr
    asked = intelbench("predict", "results", images, "--plugin", plugin, "--architecture", "tiny", "--out", "t/p.csv")
    assert 1 == asked.returncode
    assert "tiny: as asked for; its seed" in asked.stderr
    assert "48 images predicted, in t/p.csv" in asked.stderr
    assert "1 image left out, unreadable:\n  broken.jpg: empty file" in asked.stderr
    frame = pd.read_csv(tmp_path / "t" / "p.csv")
    (file,) = (each for each in kept_files(tmp_path / "results" / "runs") if each.about.spec.architecture == "tiny")
    recorded = recorded_logits(tmp_path / "results", file)
    assert [("day", "night")[label] for label in recorded.argmax(axis=1)] == frame["predicted"].tolist()
    refused = intelbench("predict", file.path, images, "--plugin", plugin, "--architecture", "resnet18")
    assert (2, "") == (refused.returncode, refused.stdout)
    assert "--architecture chooses a network of a results folder, and " in refused.stderr
    of_file = intelbench("predict", file.path, images / "day" / "000.png", "--plugin", plugin)
    assert 0 == of_file.returncode, of_file.stderr
    assert of_file.stderr.startswith(f"tiny, seed {file.about.spec.seed}, validation score ")
    assert of_file.stdout.startswith("path,predicted,confidence,probability_day,probability_night\n000.png,")


def test_of_several_groups_of_runs_the_one_of_the_network_is_named(
    intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """The largest is used, here not the newest; a file in the folder is the network of another one."""
    arguments = ("--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--threads", "1")
    assert 0 == intelbench("run", *arguments, "--seeds", "0-1").returncode
    assert 0 == intelbench("run", *arguments, "--seeds", "0", "--image-size", "40").returncode
    done = intelbench("predict", "results", small_folder / "test", "--plugin", plugin)
    assert 0 == done.returncode, done.stderr
    assert "its runs are group 1 of 2 (groups differ in conditions.image_size); a file in " in done.stderr


def recorded_logits(results: Path, file: KeptFile) -> np.ndarray:
    """Test logits in the record of the run that kept its weights."""
    (traces,) = (run.traces() for run in read_runs(results / "runs")[0] if run.record.run_id == file.about.run_id)
    assert isinstance(traces, dict)
    return traces["test_logits"]


def test_python_gives_the_network(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """By name, or the recommended one; the errors of the command line are those of Python."""
    arguments = ("--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--threads", "1")
    assert 0 == intelbench("run", *arguments).returncode
    results = load_results(tmp_path / "results")
    model = results.model("tiny", plugins=[plugin])
    assert (("day", "night"), 32) == (model.classes, model.transform.image_size)
    assert "tiny" == model.about.spec.architecture
    logits = model.logits(find_photos(small_folder / "test"), {})
    (file,) = (each for each in kept_files(tmp_path / "results" / "runs") if each.about.spec.architecture == "tiny")
    assert recorded_logits(tmp_path / "results", file).tobytes() == logits.tobytes()
    assert results.model(plugins=[plugin]).about.spec.architecture in ("tiny", "tiny_twin")
    with pytest.raises(UserError, match="architecture 'tyny' has no kept weights here"):
        results.model("tyny")
    shutil.rmtree(tmp_path / "results" / "weights")
    with pytest.raises(UserError, match=r"no weights of these runs.*--keep-weights best --rerun all"):
        results.model("tiny")
    said = intelbench("predict", "results", small_folder)
    assert (2, 1) == (said.returncode, said.stderr.count("no weights of these runs"))
    (tmp_path / "empty").mkdir()
    said = intelbench("predict", "results", "empty")  # before anything else is looked for
    assert (2, True) == (said.returncode, said.stderr.startswith("intelbench: images empty: no image in it"))
