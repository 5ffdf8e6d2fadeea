"""The program of every process that this package starts: `python -P start.py MODULE` carries out `MODULE.main`.

It is started by its path and makes the package around it known before anything is imported, so that parent and child
run the same code, whatever the working directory or another installation holds. A process that it starts with
`multiprocessing` executes this file too, under another name, and so has the same package.
"""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def make_known(package: str) -> None:
    """Import the package of that name that this file is part of."""
    spec = PathFinder.find_spec(package, [str(Path(__file__).resolve().parents[2])])
    assert spec is not None
    assert spec.loader is not None
    sys.modules[package] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[package])


if "intelbench" not in sys.modules:
    make_known("intelbench")

if __name__ == "__main__":
    from intelbench.orchestration.process import carry_out

    carry_out(lambda: import_module(sys.argv[1]).main())
