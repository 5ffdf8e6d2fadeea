"""Keep the weights of a trained network, if the suite asks for it and no run of other seeds has better ones."""

import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from intelbench.orchestration.job import Job
from intelbench.records.files import remove
from intelbench.records.kept import DRAFT, KeptWeights, draft_folder, group_of, is_best
from intelbench.records.store import Traces
from intelbench.records.types import RunRecord
from intelbench.statistics.calibration import Temperature, fitted_temperature
from intelbench.statistics.scores import validation_score
from intelbench.training.evaluate import Evaluator
from intelbench.training.trained import save


def keep_weights(job: Job, record: RunRecord, evaluator: Evaluator, traces: Traces) -> str | None:
    """Write the weights of the evaluated network as a draft, which `publish` names once the run has its record.

    Nothing is written if a better run of the group has kept its weights. A failure never reaches the run.

    Returns:
        Why the weights are not kept, as a message for the user; `None` if nothing failed.
    """
    if job.keep_weights == "none":
        return None
    runs = Path(job.runs)
    draft = draft_folder(runs, job.run_id)
    try:
        about = _about(job, record, traces)
        if about.keep == "all" or is_best(runs, about):
            remove(draft)  # of a run that was killed
            draft.mkdir(parents=True)
            save(evaluator.model, about, draft / DRAFT)
    except Exception as error:  # noqa: BLE001 - a full disk, or a network whose state is not only tensors
        with suppress(OSError):
            remove(draft)
        return not_kept(error)
    return None


def not_kept(error: Exception) -> str:
    """Return a message for the user; of a full disk, in the words of the system."""
    code = re.search(r"\(os error (\d+)\)", str(error)) if isinstance(error, SafetensorError) else None
    return f"the trained weights are not kept: {os.strerror(int(code[1])) if code else error}"


def _about(job: Job, record: RunRecord, traces: Traces) -> KeptWeights:
    """Describe the weights; the temperature is fitted on the validation images, whose logits the network has given."""
    labels, logits = traces["validation_labels"].astype(np.int64), traces["validation_logits"].astype(np.float64)
    fitted = fitted_temperature(labels, logits)
    score = validation_score(job.spec.metric, labels, logits)
    return KeptWeights(
        run_id=job.run_id,
        started_at=record.started_at,
        spec=job.spec,
        group=group_of(record, score.metric),
        keep="all" if job.keep_weights == "all" else "best",
        validation_metric=score.metric,
        validation_score=score.value,
        temperature=_temperature(fitted) if fitted else None,
    )


def _temperature(fitted: Temperature) -> float | None:
    """Return the temperature to use. Without a maximum of the likelihood it is the upper bound of the search, or none.

    The lower bound would make a network that is right on all of a few validation images sure of everything.
    """
    if fitted.bound is not None and fitted.bound > 1:
        return fitted.bound
    return fitted.value
