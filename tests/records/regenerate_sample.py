"""Make the committed sample of a record again: `python -m tests.records.regenerate_sample`."""

import contextlib
import shutil
import tempfile
from pathlib import Path

import intelbench
from tests.conftest import PLUGIN, SMALL_SUITE, write_folder

SAMPLE = Path(__file__).parent / "version-1"


def main() -> None:
    """Train the tiny network for six steps, and keep its record as the sample of schema version 1."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("small.py").write_text(PLUGIN)
        Path("small.toml").write_text(SMALL_SUITE)
        write_folder(Path("colours"), per_class=24)
        intelbench.run(
            ["tiny"],
            suite="small.toml",
            data="colours",
            plugins=["small.py"],
            out="results",
            device="cpu",
            use_cache=False,
        )
        (record,) = Path("results/runs").glob("tiny-*")
        shutil.rmtree(SAMPLE, ignore_errors=True)
        shutil.copytree(record, SAMPLE)


if __name__ == "__main__":
    main()
