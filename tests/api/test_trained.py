"""The trained network to use is the best of its seeds, by one metric."""

from pathlib import Path

import msgspec
import pytest

from intelbench.api.trained import choose
from intelbench.errors import UserError
from intelbench.records.kept import kept_path
from intelbench.records.store import write_run
from intelbench.results.study import read
from tests.records.test_kept import described, write
from tests.synthetic import Study, synthetic_run


def test_weights_of_a_record_that_was_replaced(tmp_path: Path) -> None:
    """The message says to read the records again, and not to execute all runs again, as where no weights are kept."""
    runs = tmp_path / "runs"
    record, traces = synthetic_run("resnet101", 0, Study())
    write_run(runs, record, traces)
    study = read(runs)
    with pytest.raises(UserError, match="no weights of these runs"):
        choose(study, runs)
    later = msgspec.structs.replace(record, started_at="2030-01-01T00:00:00+00:00")
    write_run(runs, later, traces)
    write(kept_path(runs, later.run_id), described(later, 0.9, "accuracy"))
    with pytest.raises(UserError, match=r"weights of other records of these runs\. .* Give the command again"):
        choose(study, runs)
    assert later.started_at == choose(read(runs), runs).file.about.started_at


def test_scores_of_different_metrics_are_not_compared(tmp_path: Path) -> None:
    """The files of the newest suite's metric come first, and accuracy in place of an unknown metric comes last."""
    runs = tmp_path / "runs"

    def keep(seed: int, score: float, metric: str, *, metric_of_suite: str = "") -> str:
        record, traces = synthetic_run("resnet101", seed, Study())
        record = msgspec.structs.replace(
            record,
            spec=msgspec.structs.replace(record.spec, metric=metric_of_suite or metric),
            started_at=f"2026-01-0{seed + 1}T00:00:00+00:00",
        )
        write_run(runs, record, traces)
        write(kept_path(runs, record.run_id), described(record, score, metric))
        return record.run_id

    def chosen() -> str:
        return choose(read(runs), runs, "resnet101").file.about.run_id

    keep(0, 0.9, "accuracy", metric_of_suite="metric_of_a_plugin")
    keep(1, -0.5, "log_loss")
    better = keep(2, -0.4, "log_loss")
    assert better == chosen()
    newest = keep(3, 0.1, "macro_f1")
    assert newest == chosen()
