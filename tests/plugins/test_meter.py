"""A plug-in file adds a meter, whose readings are in the record, and which changes nothing else in it."""

from pathlib import Path

import numpy as np

from intelbench.profiling.meters import RESERVED
from intelbench.records.npz import Archive
from intelbench.records.store import TRACES_FILE
from tests.command import Command
from tests.reading import read_runs

PLUGIN = Path(__file__).with_name("meter.py")


def test_a_plugin_adds_a_meter(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """Its arrays are those of the record that begin with its name; the losses are the same bits as without it."""
    traces = []
    for out, plugins in (("without", [plugin]), ("with", [plugin, PLUGIN])):
        files = [argument for each in plugins for argument in ("--plugin", each)]
        done = intelbench("run", "tiny", "--suite", small_suite, "--data", small_folder, *files, "--out", out)
        assert 0 == done.returncode, done.stderr
        (stored,), problems = read_runs(tmp_path / out / "runs")
        assert [] == problems
        assert stored.record.failure is None
        traces.append(stored.traces())
        assert set(traces[-1]) == set(Archive((stored.path / TRACES_FILE).read_bytes()))
    without, measured = traces
    assert {"processor_step", "processor_busy_seconds"} == set(measured) - set(without)
    assert [0, 3, 6] == measured["processor_step"].tolist()
    assert (np.diff(measured["processor_busy_seconds"]) > 0).all()
    assert {name.partition("_")[0] for name in without} <= RESERVED
    for name in ("step_loss", "gradient_norm", "test_logits"):
        assert without[name].tobytes() == measured[name].tobytes()
