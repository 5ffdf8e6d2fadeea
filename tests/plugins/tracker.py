"""A plug-in with a tracker that appends a line for each event to a file in the results folder."""

from intelbench import tracker


@tracker("lines")
class Lines:
    """Writes `lines.txt`; each run is written by a `Line`."""

    keeps_files = False

    def __init__(self, place):
        self.file = place.results / "lines.txt"

    def connect(self):
        """Make the folder."""
        self.file.parent.mkdir(exist_ok=True)

    def start(self, run):
        """Note the start of a run."""
        line = Line(self.file, f"{run.suite} {run.architecture} seed {run.parameters['seed']}")
        line.write("started")
        return line


class Line:
    """A run."""

    def __init__(self, file, name):
        self.file, self.name = file, name

    def write(self, text):
        """Append a line."""
        with self.file.open("a") as file:
            file.write(f"{self.name}: {text}\n")

    def add(self, points):
        """Note the last training step with a loss, of the record."""
        steps = [point.step for point in points if "loss" in point.values]
        if steps:
            self.write(f"{len(steps)} steps")

    def end(self, outcome):
        """Note how the run has ended."""
        self.write(outcome.status)
