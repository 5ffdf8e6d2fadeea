"""Which sizes of images a network can be trained on, found by trying them on the meta device."""

from dataclasses import replace

import torch

from intelbench.errors import UserError, printable
from intelbench.profiling.workload import Workload

_USUAL_SIZES = (28, 32, 48, 64, 80, 96, 112, 128, 144, 150, 160, 192, 224, 256, 299, 320, 384, 448, 512)
"""What is tried where the requested size does not fit, in pixels."""
_BATCH = 2
"""Batch norm needs two images to train on."""
_MAX_REASON = 200
"""Characters of PyTorch's message."""


def require_size(workload: Workload) -> None:
    """Check that the network can be trained on images of the requested size; else suggest sizes that fit.

    A network that takes no usual size fails for another reason, or needs pixel values, which the meta device does not
    have; it passes the check.

    Raises:
        UserError: the network accepts images of other sizes, but not of the requested one.
    """
    workload.architecture.require_size(workload.request.image_size)
    problem = _problem(workload)
    if problem is None:
        return
    size = workload.request.image_size
    smaller = [each for each in reversed(_USUAL_SIZES) if workload.architecture.minimum_size <= each < size]
    larger = [each for each in _USUAL_SIZES if each > size]
    fitting = [str(each) for sizes in (smaller, larger) if (each := _first_fitting(workload, sizes))]
    if fitting:
        raise UserError(
            f"architecture {workload.architecture.name!r} does not take images of {size} px ({problem}); "
            f"it takes {' or '.join(fitting)} px, the nearest usual size{'s'[: len(fitting) - 1]}"
        )


def _first_fitting(workload: Workload, sizes: list[int]) -> int | None:
    requests = (replace(workload.request, image_size=size) for size in sizes)
    return next((each.image_size for each in requests if _problem(replace(workload, request=each)) is None), None)


def _problem(workload: Workload) -> str | None:
    """Return the error of a forward pass in training mode; `None` if it succeeds."""
    size = workload.request.image_size
    try:
        model = workload.shapes()
        with torch.device("meta"), torch.no_grad():
            workload.loss(model, torch.empty(_BATCH, 3, size, size), torch.zeros(_BATCH, dtype=torch.long))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - networks, PyTorch and torchvision raise what they like
        return f"{type(error).__name__}: {printable(str(error).partition(chr(10))[0])[:_MAX_REASON]}"
    return None
