"""A plug-in with a listener that writes down what it is told, and with one that fails whenever a run proceeds."""

from pathlib import Path

from intelbench import RunListener, listener


@listener("log")
class Log(RunListener):
    """Appends a line for each event to a file in the working directory."""

    def session_started(self, runs, pending):
        """Note the runs."""
        self._names = [run.title for run in runs]
        self._write(f"{sum(pending)} of {len(runs)} runs to carry out")

    def run_started(self, index):
        """Note the run."""
        self._write(f"{self._names[index]}: started")

    def run_ended(self, index, record, seconds):
        """Note how the run has ended."""
        self._write(f"{self._names[index]}: {record.failure.cause if record.failure else 'succeeded'}")

    def session_ended(self):
        """Note the end."""
        self._write("over")

    def _write(self, text):
        with Path("log.txt").open("a") as file:
            file.write(text + "\n")


@listener("broken")
class Broken(RunListener):
    """Fails."""

    def run_updated(self, index, progress):
        """Fail."""
        raise ValueError(index)
