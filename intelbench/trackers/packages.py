"""Packages of trackers, which are imported when a tracker is asked for."""

import importlib
from typing import Any

from intelbench.errors import UserError


def require(*modules: str, extra: str) -> list[Any]:
    """Import modules of a tracker and return them.

    Raises:
        UserError: a module cannot be imported; the message names the extra of this package that installs it.
    """
    try:
        return [importlib.import_module(module) for module in modules]
    except ImportError as error:
        package = (error.name or extra).partition(".")[0]
        raise UserError(
            f"tracker {extra!r}: {package} is not installed. Expected the packages of the extra. "
            f"Try pip install 'intelbench[{extra}]'"
        ) from error
