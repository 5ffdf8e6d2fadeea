"""Carries out stages until the deadline."""

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
    """Give the results after each stage that is carried out; a stage that fails does not stop the others.

    Args:
        stages: In the order in which they are carried out.
        session: What they are carried out with.
        results: Those of earlier calls. Stages that are done are skipped, and so are those that failed.
        retry_failed: Whether stages that failed are carried out again.
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
    """Return 3 where stages are left, else 1 where one failed or a limit was not met, else 0."""
    found = [results.stages.get(stage.name) for stage in stages]
    if any(result is None or result.status == "cut off" for result in found):
        return _LEFT
    rows = [row for result in found if result for row in result.rows]
    has_failed = any(result.status == "failed" for result in found if result)
    return _FAILED if has_failed or any(row.met is False for row in rows) else 0


def _result(stage: Stage, session: Session) -> StageResult:
    """Carry out a stage; what it has measured before it failed or was cut off is kept."""
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
