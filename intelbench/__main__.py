"""`python -m intelbench` is the `intelbench` command."""

from intelbench.cli import main

main()
