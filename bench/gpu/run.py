"""Carry out stages until the deadline."""

import sys
import time
from collections.abc import Iterator, Sequence

from bench.gpu.results import Results, Row, StageResult, Status, first_line
from bench.gpu.session import CutOffError, Session
from bench.gpu.stages import Stage
from bench.gpu.table import describe

_FAILED, _LEFT = 1, 3
"""Exit statuses."""


def carry_out(
    stages: Sequence[Stage], session: Session, results: Results, *, retry_failed: bool = False
) -> Iterator[Results]:
    """Carry out stages in order, and yield all results after each stage. A failed stage does not stop the others.

    Args:
        stages: The stages in the order in which they are carried out.
        session: The device, the folders and the deadline.
        results: Results of earlier calls. Stages that are done or failed are skipped.
        retry_failed: Whether failed stages are carried out again.
    """
    repeated = ("cut off", "failed") if retry_failed else ("cut off",)
    for stage in stages:
        before = results.stages.get(stage.name)
        if before is not None and before.status not in repeated:
            continue
        if session.seconds_left <= 0:
            return
        sys.stderr.write(f"{stage.title}, {session.seconds_left:.0f} s left\n")
        session.note(f"== {stage.title}")
        result = _result(stage, session)
        session.note(f"== {stage.title}: {result.status}" + (f": {result.message}" if result.message else ""))
        results = results.with_stage(stage.name, result)
        yield results


def exit_status(results: Results, stages: Sequence[Stage]) -> int:
    """Return 3 if stages remain, else 1 if a stage has failed or a limit was not met, else 0."""
    done = [results.stages[stage.name] for stage in stages if stage.name in results.stages]
    if len(done) < len(stages) or any(result.status == "cut off" for result in done):
        return _LEFT
    has_missed = any(row.met is False for result in done for row in result.rows)
    return _FAILED if has_missed or any(result.status == "failed" for result in done) else 0


def _result(stage: Stage, session: Session) -> StageResult:
    """Carry out a stage, and return its result with all rows until it failed or was cut off."""
    started, rows = time.monotonic(), list[Row]()
    status: Status = "done"
    message = None
    try:
        for row in stage.rows(session):
            rows.append(row if session.is_fake else row.judged())
            session.note(f"{row.subject}: {describe(row)}")
    except CutOffError as error:
        status, message = "cut off", str(error)
    except Exception as error:  # noqa: BLE001 - the stages after it have results of their own
        status, message = "failed", first_line(error)
    num_failures = sum(row.failure is not None for row in rows)
    if status == "done" and num_failures:
        status, message = "failed", f"{num_failures} of its measurements failed"
    return StageResult(status=status, seconds=time.monotonic() - started, rows=tuple(rows), message=message)
