"""Runs in Weights & Biases: a group for each suite, configuration, curves, summary, failures and files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intelbench.errors import UserError
from intelbench.trackers.packages import require
from intelbench.trackers.tracker import Outcome, Place, Point, Status, TrackedRun

_PROJECT = "intelbench"
_STEP = "training_step"
"""Horizontal axis of all curves; W&B's own step may not go back, and curves of one run are sent one after the other."""
_INIT_SECONDS = 30
_FINISH_SECONDS = 60
_EXIT_CODES: Mapping[Status, int] = {"finished": 0, "failed": 1, "interrupted": 130}


class WandbTracker:
    """Writes runs with W&B's own settings (`WANDB_MODE`, `WANDB_PROJECT`, ...); local files are in the results folder.

    Raises:
        UserError: W&B is neither logged in nor offline; it would ask for a key on the terminal.
    """

    keeps_files = True

    def __init__(self, place: Place) -> None:
        (self._wandb,) = require("wandb", extra="wandb")
        settings = self._wandb.setup().settings
        self._project = settings.project or _PROJECT
        self._folder = Path(place.given) if place.given else place.results
        if settings.mode == "online" and not self._wandb.login(prompt=False, verify=False):
            raise UserError(
                "tracker 'wandb': not logged in. Expected an API key, or the offline mode. Try `wandb login`, or set "
                "WANDB_MODE=offline"
            )

    def connect(self) -> None:
        """Make the folder: W&B writes to a temporary one where there is none."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def start(self, run: TrackedRun) -> "_WandbRun":
        """Start a run in place of that of its name, or continue that."""
        settings = self._wandb.Settings(
            console="off",  # the streams of this process are the session's
            silent=True,
            disable_code=True,
            disable_git=True,
            x_disable_stats=True,  # they would measure this process, and not that of the run
            x_disable_meta=True,
            x_save_requirements=False,
            init_timeout=_INIT_SECONDS,
            finish_timeout=_FINISH_SECONDS,
        )
        return _WandbRun(
            self._wandb.init(
                project=self._project,
                group=run.suite,
                job_type=run.architecture,
                id=run.run_id,
                name=run.run_id,
                config=dict(run.parameters),
                dir=str(self._folder),
                resume="allow" if run.after_step else None,
                reinit="create_new",
                settings=settings,
            )
        )


class _WandbRun:
    """A run in W&B."""

    def __init__(self, run: Any) -> None:
        self._run = run
        run.define_metric(_STEP, hidden=True)
        run.define_metric("*", step_metric=_STEP)

    def add(self, points: Sequence[Point]) -> None:
        """Add points to curves."""
        for point in points:
            self._run.log({_STEP: point.step, **point.values})

    def end(self, outcome: Outcome) -> None:
        """Add metrics and files, why the run has failed, and its status."""
        self._run.summary.update(dict(outcome.metrics))
        if outcome.message:
            self._run.summary["failure"] = outcome.message
        for name, content in outcome.files.items():
            path = Path(self._run.dir, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._run.finish(exit_code=_EXIT_CODES[outcome.status])
