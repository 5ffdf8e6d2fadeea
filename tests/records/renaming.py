"""A writer of a file that is held up before it renames its partial file."""

from pathlib import Path
from threading import Event

import pytest

from intelbench.records import files


def hold_rename(monkeypatch: pytest.MonkeyPatch) -> tuple[Event, Event]:
    """Let the first writer wait before it renames its file; return what says that it waits, and what lets it go on."""
    waits, may_rename, move = Event(), Event(), files.move

    def move_after_the_other(source: Path, target: Path) -> None:
        monkeypatch.setattr(files, "move", move)
        waits.set()
        assert may_rename.wait(60)
        move(source, target)

    monkeypatch.setattr(files, "move", move_after_the_other)
    return waits, may_rename
