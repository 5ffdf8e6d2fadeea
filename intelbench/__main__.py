"""`python -m intelbench` is the `intelbench` command, and like it imports nothing from the working directory."""

from intelbench.launch import main

main()
