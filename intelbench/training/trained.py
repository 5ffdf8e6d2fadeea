"""Trained networks: saved as files of tensors, loaded, and applied to images.

A loaded network gives the logits that its run has recorded, bit for bit on the same machine, if it gets the images of
the test split: decoding, batches, precision, memory format and threads are those of the run.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from scipy.special import softmax
from torch import Tensor, nn

from intelbench.architectures.generators import preserve_generators
from intelbench.architectures.registry import contained_unless_built_in, find, plugins_of
from intelbench.config.requests import text
from intelbench.data.decoding import UnreadableImageError, decode_all
from intelbench.data.names import probability_column
from intelbench.data.photos import Photo, find_photos
from intelbench.data.transforms import normalize
from intelbench.data.unlabelled import EvaluationTransform
from intelbench.errors import UserError, printable
from intelbench.plugins.providers import file_of
from intelbench.profiling.device import device_for, find_device, is_available
from intelbench.records.files import sync
from intelbench.records.kept import METADATA, KeptFile, KeptWeights, read_kept
from intelbench.records.types import Execution
from intelbench.training.precision import MEMORY_FORMATS, autocast, configure
from intelbench.training.setup import build_network, workload_of

_REPLACED = "A run that ends removes and replaces weights. Try the command again"
"""What to do if weights are not those that were chosen."""


def save(model: nn.Module, about: KeptWeights, path: Path) -> None:
    """Write the state of a network to a `.safetensors` file that is on the disk when this returns.

    Tensors that several modules share are written once.

    Raises:
        OSError, safetensors.SafetensorError: the file cannot be written, because the disk is full for example.
        ValueError, TypeError: a part of the state is no tensor.
    """
    save_model(model, str(path), {METADATA: msgspec.json.encode(about).decode()})
    path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors creates files that only their owner can read
    sync(path)


@dataclass(frozen=True)
class TrainedModel:
    """A trained network with everything that is needed to use it."""

    network: nn.Module = field(repr=False)
    """In evaluation mode. It maps normalised images (N x 3 x size x size) to logits (N x classes)."""
    transform: EvaluationTransform
    """Turns an image into an input of the network: `network(transform(image)[None])`."""
    classes: tuple[str, ...]
    temperature: float
    """The logits are divided by it before the softmax; 1 if no temperature was found on the validation images."""
    about: KeptWeights
    """The run that trained the network, with its validation score."""
    execution: Execution
    """Device and threads that `predict` uses."""

    def predict(self, images: str | Path) -> pd.DataFrame:
        """Return one row for each image in a folder, or for one image.

        Columns are `path` (below the folder), `predicted` (class), `confidence` (probability of that class), and
        `probability_CLASS` for each class. Images that cannot be read have no row; `frame.attrs["unreadable"]` says
        why, by path.

        Raises:
            UserError: there is no such file or folder, or no image in it.
        """
        photos = find_photos(Path(text("images", images)))
        with _preserve_arithmetic():
            frame, unreadable = self.predict_photos(photos)
        frame.attrs["unreadable"] = unreadable
        return frame

    def predict_photos(
        self, photos: Sequence[Photo], on_images: Callable[[int], object] = lambda _: None
    ) -> tuple[pd.DataFrame, dict[str, str]]:
        """Return the frame of `predict` and why images cannot be read, by path.

        `on_images` is called with the number of images so far. Threads and precision of this process are those of the
        run afterwards.
        """
        unreadable: dict[str, str] = {}
        logits = self.logits(photos, unreadable, on_images)
        readable = [photo.id for photo in photos if photo.id not in unreadable]
        probabilities = softmax(logits.astype(np.float64) / self.temperature, axis=1)
        best = logits.argmax(axis=1)
        columns = {
            "path": pd.Series(readable, dtype=pd.StringDtype()),
            "predicted": pd.Series(np.array(self.classes)[best], dtype=pd.CategoricalDtype(list(self.classes))),
            "confidence": pd.Series(probabilities[np.arange(len(best)), best], dtype=pd.Float64Dtype()),
        }
        of_classes = {
            probability_column(name): pd.Series(probabilities[:, index], dtype=pd.Float64Dtype())
            for index, name in enumerate(self.classes)
        }
        return pd.DataFrame({**columns, **of_classes}), unreadable

    @torch.no_grad()
    def logits(
        self,
        photos: Sequence[Photo],
        unreadable: dict[str, str],
        on_images: Callable[[int], object] = lambda _: None,
    ) -> NDArray[np.float32]:
        """Return the logits of every image that can be read (images x classes), and add why others cannot, by id.

        The images of the test split, in the order of their ids, get the logits in the record of the run, bit for bit on
        the same machine. `on_images` is called with the number of images so far.
        """
        conditions = self.about.spec.conditions
        device = configure(conditions, self.execution)
        parts: list[Tensor] = []
        views = self._views(photos, unreadable, on_images)
        with autocast(conditions, device)():
            while batch := list(islice(views, conditions.recipe.evaluation_batch_size)):
                images = torch.stack(batch).to(device)
                inputs = normalize(images, conditions.memory_format, self.transform.normalization)
                parts.append(self.network(inputs).float().cpu())
        return torch.cat(parts).numpy() if parts else np.empty((0, len(self.classes)), dtype=np.float32)

    def _views(
        self, photos: Sequence[Photo], unreadable: dict[str, str], on_images: Callable[[int], object]
    ) -> Iterator[Tensor]:
        decoded = decode_all(photos, self.transform.stored_side)
        for number, (photo, pixels) in enumerate(zip(photos, decoded, strict=True), start=1):
            if isinstance(pixels, UnreadableImageError):
                unreadable[photo.id] = str(pixels)
            else:
                yield self.transform.view(pixels.copy())  # Pillow's buffer is read-only
            on_images(number)


def load(file: KeptFile, device: str | None = None) -> TrainedModel:
    """Build the network of a run, and load its kept weights.

    The device is named as by `--device`; `None` is that of the run, or the CPU if this machine has no such device.

    Raises:
        UserError: the architecture is not known or has changed, the file is damaged, its tensors are not those of the
            network, another run has removed or replaced it, or there is no such device.
    """
    about, name = file.about, f"weights {printable(file.path)}"
    spec = about.spec
    conditions = spec.conditions
    _require_provider(about, name)
    execution = spec.execution
    if device is not None or not is_available(execution.device):
        chosen = find_device("cpu" if device is None else device)
        execution = msgspec.structs.replace(execution, device=chosen.kind, device_index=chosen.torch_device.index)
    num_classes = len(spec.data.class_names)
    with preserve_generators(), contained_unless_built_in(spec.architecture):
        workload = workload_of(find(spec.architecture)[0], num_classes, conditions, spec.seed_of("init"))
        network, _ = build_network(workload, conditions.recipe)
    on_device = device_for(execution).torch_device
    network = network.to(on_device).to(memory_format=MEMORY_FORMATS[conditions.memory_format])
    try:
        load_model(network, file.path)
        loaded = read_kept(file.path).about
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror or error}). {_REPLACED}") from error
    except (RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{name}: not the tensors of {spec.architecture!r} ({' '.join(str(error).split())[:300]}). Expected those "
            f"of the library that trained them, {spec.provider}"
        ) from error
    if loaded.started_at != about.started_at:
        raise UserError(f"{name}: another run has replaced it. {_REPLACED}")
    return TrainedModel(
        network=network.eval(),
        transform=EvaluationTransform(conditions.image_size, spec.normalization),
        classes=spec.data.class_names,
        temperature=about.temperature or 1.0,
        about=about,
        execution=execution,
    )


def _require_provider(about: KeptWeights, name: str) -> None:
    """Raise a `UserError` if the architecture is of a plug-in that is not loaded, or that was edited."""
    spec = about.spec
    file = file_of(spec.provider)
    if file and not plugins_of(spec.architecture):
        raise UserError(
            f"{name}: its architecture {spec.architecture!r} is of the plug-in {file}, which is not loaded. Try "
            f"--plugin {file}, or `plugins` in Python"
        )
    provider = find(spec.architecture)[1]
    if provider != spec.provider and (file or file_of(provider)):
        raise UserError(
            f"{name}: architecture {spec.architecture!r} was trained with {spec.provider}, and here it is of "
            f"{provider}. Expected the plug-in as it was. Try the earlier file, or --architecture with the name of a "
            "network that this one has trained, or run again"
        )


@contextmanager
def _preserve_arithmetic() -> Iterator[None]:
    """Run the block, then restore the settings of this process that `configure` changes."""
    threads = torch.get_num_threads()
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined] # of the module's class
    cudnn = torch.backends.cudnn
    benchmark, of_convolutions = cudnn.benchmark, cudnn.conv.fp32_precision  # type: ignore[attr-defined] # as above
    of_all = torch.backends.fp32_precision  # type: ignore[attr-defined] # as above
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(is_deterministic, warn_only=warns_only)
        torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined] # as above
        cudnn.benchmark = benchmark
        torch.backends.fp32_precision = of_all  # type: ignore[attr-defined] # as above
        cudnn.conv.fp32_precision = of_convolutions  # type: ignore[attr-defined] # as above
