"""`python -m intelbench` is the `intelbench` command, and like it imports nothing from the working directory."""

import os
import sys

if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - pathlib might be imported from there
    del sys.path[0]

from intelbench.cli import main

main()
