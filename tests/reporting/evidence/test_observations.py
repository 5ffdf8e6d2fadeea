"""Arrays are reduced to what they say; damaged ones are the user's to mend."""

from pathlib import Path

import numpy as np
import pytest

from intelbench.errors import UserError
from intelbench.records.store import read_with_traces, write_run
from intelbench.reporting.evidence.observations import observe
from tests.reporting.synthetic import Study, synthetic_run


@pytest.mark.parametrize(
    "damage",
    [
        lambda traces: traces.pop("step_loss"),
        lambda traces: traces.update(test_logits=np.zeros((2, 2))),
        lambda traces: traces.update(test_labels=traces["test_labels"] + 99),
        lambda traces: traces.update(validation_labels=np.zeros(7)),
    ],
)
def test_traces_that_break_their_promise_are_refused(tmp_path: Path, damage: object) -> None:
    """A missing array, a wrong shape or an impossible class is an error that names the file."""
    record, traces = synthetic_run("a", 0, Study())
    damage(traces)
    path = write_run(tmp_path, record, traces)
    with pytest.raises(UserError, match=r"traces\.npz"):
        observe(*read_with_traces(path))


def test_observed_numbers_are_those_of_the_arrays(tmp_path: Path) -> None:
    """Accuracy, confusion and timing come straight from the arrays; warm-up steps are left out of timing only."""
    record, traces = synthetic_run("a", 0, Study())
    run = observe(*read_with_traces(write_run(tmp_path, record, traces)))
    right = traces["test_logits"].argmax(axis=1) == traces["test_labels"]
    assert right.mean() == run.test_accuracy
    assert right.sum() == run.confusion.trace()
    assert traces["step_seconds"][3:].tolist() == run.warm_step_seconds.tolist()
    assert len(traces["step_loss"]) == len(run.step_loss)
    assert run.evaluation_accuracy[-1] == run.validation_accuracy
