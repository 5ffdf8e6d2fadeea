"""Trackers by name: built-in ones, and those of plug-ins."""

import sys

import pytest

from intelbench.errors import UserError
from intelbench.trackers.registry import TRACKERS, make_tracker, tracker
from intelbench.trackers.tracker import Place


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_a_missing_package_names_the_extra(name: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip takes it."""
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)  # of an earlier test
    monkeypatch.setitem(sys.modules, name, None)
    expected = rf"tracker '{name}': {name} is not installed.*pip install 'intelbench\[{name}\]'"
    with pytest.raises(UserError, match=expected):
        make_tracker(name, place)


def test_an_unknown_name_is_answered_with_the_nearest(place: Place) -> None:
    """Of all that there are."""
    with pytest.raises(UserError, match=r"tracker 'tensorbord' is not known.*Try `tensorboard`"):
        make_tracker("tensorbord", place)


def test_a_plugin_adds_a_tracker(place: Place) -> None:
    """It has the methods of `Tracker`, and says whether it keeps files."""

    @tracker("mine")
    class Mine:
        keeps_files = False

        def __init__(self, place: Place) -> None:
            self.place = place

        def connect(self) -> None: ...

        def start(self, run: object) -> None: ...

    assert isinstance(make_tracker("mine", place), Mine)
    TRACKERS.add(lambda _: object(), "deaf", function=Mine)
    with pytest.raises(UserError, match="tracker 'deaf': failed with TypeError: object has no connect, start"):
        make_tracker("deaf", place)
    del Mine.keeps_files
    with pytest.raises(UserError, match="keeps_files is missing"):
        make_tracker("mine", place)
