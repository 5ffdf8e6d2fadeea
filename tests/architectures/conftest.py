"""The registry is global; each test gets a copy of it."""

import pytest


@pytest.fixture(autouse=True)
def isolated(own_registry: None) -> None:
    """Let every test here register and load what it likes."""
