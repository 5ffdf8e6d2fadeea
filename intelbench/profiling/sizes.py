"""Find the image sizes that a network can be trained on, by trying them on the meta device."""

from dataclasses import replace

import torch

from intelbench.architectures.surgery import UnfitHeadError
from intelbench.errors import UserError, printable
from intelbench.profiling.workload import Workload

_USUAL_SIZES = (28, 32, 48, 64, 80, 96, 112, 128, 144, 150, 160, 192, 224, 256, 299, 320, 384, 448, 512)
"""Sizes to suggest if the network does not accept the requested size, in pixels."""
_MAX_REASON = 200
"""Characters of PyTorch's message that an error repeats."""


def require_size(workload: Workload) -> None:
    """Check that the network can be trained on images of the requested size.

    A network that accepts no usual size passes the check: it fails for another reason, or needs pixel values, which the
    meta device does not have.

    Raises:
        UserError: the network accepts other sizes but not the requested one; the message suggests sizes.
        UnfitHeadError: its head cannot be that of the recipe, or is not known although the backbone is frozen.
    """
    workload.architecture.require_size(workload.request.image_size)
    problem = _problem(workload)
    if problem is None:
        return
    size = workload.request.image_size
    smaller = [usual for usual in reversed(_USUAL_SIZES) if workload.architecture.minimum_size <= usual < size]
    larger = [usual for usual in _USUAL_SIZES if usual > size]

    def fits(size: int) -> bool:
        return _problem(replace(workload, request=replace(workload.request, image_size=size))) is None

    fitting = [str(first) for sizes in (smaller, larger) if (first := next(filter(fits, sizes), None))]
    if fitting:
        raise UserError(
            f"architecture {workload.architecture.name!r} does not take images of {size} px ({problem}); "
            f"it takes {' or '.join(fitting)} px, the nearest usual size{'s'[: len(fitting) - 1]}"
        )


def _problem(workload: Workload) -> str | None:
    """Return the error of a forward pass in training mode; `None` if there is none."""
    try:
        model = workload.shapes()
        with torch.device("meta"), torch.no_grad():
            workload.loss(model, *workload.batch())
    except UnfitHeadError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - networks, PyTorch and torchvision raise what they like
        return f"{type(error).__name__}: {printable(str(error).partition(chr(10))[0])[:_MAX_REASON]}"
    return None
