"""Trackers by name."""

from collections.abc import Callable
from typing import TypeVar

from intelbench.errors import UserError
from intelbench.plugins.guard import failed_with, require_methods
from intelbench.plugins.providers import BUILT_IN
from intelbench.plugins.registry import Registry, takes_name
from intelbench.trackers.mlflow import MlflowTracker
from intelbench.trackers.tensorboard import TensorboardTracker
from intelbench.trackers.tracker import Place, Tracker
from intelbench.trackers.wandb import WandbTracker

Factory = TypeVar("Factory", bound=Callable[[Place], Tracker])

TRACKERS: Registry[Callable[[Place], Tracker]] = Registry(
    "tracker", {"mlflow": MlflowTracker, "tensorboard": TensorboardTracker, "wandb": WandbTracker}
)
"""Factories of trackers. Those of the package import what they need when they are called."""


@takes_name
def tracker(name: str) -> Callable[[Factory], Factory]:
    """Register the decorated class or function, which creates a tracker for a `Place`, under `name`."""
    return TRACKERS.decorator(name)


def make_tracker(name: str, place: Place) -> Tracker:
    """Return a new tracker.

    Raises:
        UserError: the name is not known, a package is not installed, or a plug-in fails.
    """
    make, entry = TRACKERS.get(name), TRACKERS.entries[name]
    if entry.provider == BUILT_IN:  # its library may keep the standard streams, so they are not replaced
        try:
            return make(place)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"tracker {name!r}: {failed_with(error, '')}") from error
    with TRACKERS.guarded(entry):
        made = make(place)
        require_methods(made, Tracker)
        if not isinstance(getattr(made, "keeps_files", None), bool):
            raise TypeError("keeps_files is missing. Expected whether the tracker keeps files, True or False")
    return made
