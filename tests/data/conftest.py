"""A small data folder."""

from pathlib import Path

import pytest

from tests.conftest import write_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, ten images each in train and in test."""
    return write_folder(tmp_path / "data", per_class=10)
