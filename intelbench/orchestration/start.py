"""The program of every process that this package starts: `python -P start.py MODULE ...` executes `MODULE.main`.

The module finds its name and its arguments in `sys.argv`.

It is started by its path and imports the package around it first, so that parent and child run the same code, whatever
is in the working directory or installed elsewhere. Its `multiprocessing` children execute this file too, under another
name.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

if "intelbench" not in sys.modules:
    spec = PathFinder.find_spec("intelbench", [str(Path(__file__).resolve().parents[2])])
    assert spec is not None
    assert spec.loader is not None
    sys.modules["intelbench"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["intelbench"])

if __name__ == "__main__":
    from intelbench.orchestration.process import execute_and_exit, import_frozen

    del sys.argv[0]
    execute_and_exit(import_frozen(sys.argv[0])[0].main)
