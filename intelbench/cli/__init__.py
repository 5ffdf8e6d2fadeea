"""The `intelbench` command: one module a subcommand, each of which parses, calls one function and prints."""
