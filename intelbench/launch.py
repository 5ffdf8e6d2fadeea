"""The program behind the `intelbench` command: it leaves the working directory out before anything else is imported."""

import gc
import os
import sys

_ALLOCATIONS_PER_COLLECTION = 200_000
"""Python's own number, 700, has it search the objects of PyTorch again and again while it imports them: 1.3 s."""


def leave_out_working_directory() -> None:
    """Import nothing from the working directory, in this process and in those that it starts.

    Python adds the working directory for `python -m` and for an empty part of `PYTHONPATH`, as in
    `PYTHONPATH=$PYTHONPATH:/code` where the variable was not set. A part that names the working directory is kept.
    """
    here = ("", os.getcwd())  # noqa: PTH109 - pathlib might be imported from there
    if not sys.flags.safe_path and sys.path[0] in here:
        del sys.path[0]
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    named = [part for part in parts if part]
    if named and named != parts:
        os.environ["PYTHONPATH"] = os.pathsep.join(named)
        if here[1] not in map(os.path.abspath, named):
            sys.path[:] = [entry for entry in sys.path if entry not in here]
    os.environ["PYTHONSAFEPATH"] = "1"


def main() -> None:
    """Run the command line."""
    leave_out_working_directory()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION)
    from intelbench.cli.main import main as run

    try:
        run()
    finally:
        gc.freeze()  # or Python would search all objects for garbage before it exits, for 0.9 s with those of PyTorch
