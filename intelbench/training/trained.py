"""Trained networks: saved as files of tensors, loaded, and applied to images.

A loaded network gives the logits that its run has recorded, bit for bit on the same machine, if it gets the images of
the test split: decoding, batches, precision, memory format and threads are those of the run.
"""

import os
from pathlib import Path

import msgspec
from safetensors.torch import save_model
from torch import nn

from intelbench.records.kept import METADATA, KeptWeights


def save(model: nn.Module, about: KeptWeights, path: Path) -> None:
    """Write the state of a network to a `.safetensors` file that is on the disk when this returns.

    Tensors that several modules share are written once.

    Raises:
        OSError, safetensors.SafetensorError: the file cannot be written, because the disk is full for example.
        ValueError, TypeError: a part of the state is no tensor.
    """
    save_model(model, str(path), {METADATA: msgspec.json.encode(about).decode()})
    path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors creates files that only their owner can read
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
