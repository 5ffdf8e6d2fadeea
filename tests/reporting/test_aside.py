"""Work aside goes on in a copy of the process, and what comes of it is waited for."""

import gc
import os
import sys
from pathlib import Path

import pytest

from intelbench.errors import UserError
from intelbench.reporting.aside import aside


@pytest.fixture(params=["linux", "darwin"])
def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a copy is made, and where not."""
    monkeypatch.setattr(sys, "platform", request.param)
    return str(request.param)


def test_result_comes_back(platform: str) -> None:
    """What is in memory is at hand without being packed, as a function with its surroundings cannot be."""
    with aside(lambda: (platform, os.getpid())) as result:
        assert result() == result()
        found, process = result()
    assert platform == found
    assert (process == os.getpid()) == (platform != "linux")


def test_error_comes_back(platform: str) -> None:
    """Where the result is asked for."""

    def fail() -> None:
        raise UserError(f"no room on {platform}")

    with aside(fail) as result, pytest.raises(UserError, match=f"no room on {platform}"):
        result()


def test_collector_looks_at_everything_again() -> None:
    """Nothing stays hidden from it, whatever goes wrong meanwhile."""
    before = gc.get_freeze_count()
    with pytest.raises(UserError), aside(Path.cwd):
        raise UserError("the text cannot be written")
    assert before == gc.get_freeze_count()
