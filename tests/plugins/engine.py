"""A plug-in with an engine that executes two runs at once, each in a process of low priority."""

import subprocess

from intelbench import engine


@engine("nice")
class Nice:
    """Starts the commands of runs with `nice`."""

    slots = 2
    slots_per_host = 2

    def start(self, unit):
        """Start the command of a run."""
        return subprocess.Popen(["nice", "-n", "1", *unit.command()], stderr=subprocess.DEVNULL)

    def has_ended(self, process):
        """Return whether the command has ended."""
        return process.poll() is not None

    def cancel(self, process):
        """Ask the command to end, and wait for that."""
        process.terminate()
        process.wait()
