"""A plug-in with a data source: a table with the base64 of an image, its class and its split in each row."""

import base64
import csv
import hashlib
from pathlib import Path

from intelbench import source


@source("table", suffixes=(".csv",))
class Table:
    """Images in a CSV file, whose rows are the ids."""

    def __init__(self, text):
        self._file = Path(text)
        with self._file.open(newline="") as file:
            self._rows = list(csv.reader(file))

    def images(self):
        """List the images."""
        return [(f"{row:05d}.png", label, split) for row, (_, label, split) in enumerate(self._rows)]

    def read(self, image_id):
        """Return the bytes of an image."""
        return base64.b64decode(self._rows[int(image_id[:5])][0])

    def fingerprint(self):
        """Return a digest of the table."""
        return hashlib.sha256(self._file.read_bytes()).hexdigest()[:16]
