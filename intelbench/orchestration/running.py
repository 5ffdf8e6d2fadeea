"""Execute planned runs and summarise them on stderr."""

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import intelbench.orchestration.display  # noqa: F401 - registers the listener that shows progress
from intelbench.config.sequential import Until
from intelbench.errors import plural, printable
from intelbench.orchestration.listeners import notified
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.race import RaceSession
from intelbench.orchestration.study import StudyFile
from intelbench.orchestration.suite import Session, run_planned
from intelbench.plugins.registry import Registry
from intelbench.records.kept import kept_files, kept_folder, settle
from intelbench.records.types import RunRecord


def execute_runs(planned: Sequence[PlannedRun], session: Session, until: Until | None = None) -> int:
    """Execute all planned runs, or those that a decision needs, and return how many of them failed.

    Raises:
        UserError: the engine fails, or a record cannot be written.
        HostError: no host could execute some of the runs.
        KeyboardInterrupt: on Ctrl-C, after the processes of runs have ended.
    """
    runs, results = session.study.runs, session.study.results
    try:
        with notified(session.listener, [run.job.spec for run in planned], [run.pending for run in planned]):
            records = _execute(planned, session, until)
    except KeyboardInterrupt:
        done = sum(run.job.workspace.target.exists() for run in planned)
        say(
            f"interrupted: {done} of {plural(len(planned), 'run')} recorded in {runs}; "
            "the same command again executes the others, and resumes from checkpoints",
        )
        raise
    num_failed = _summarise(list(records.values()), results)
    settle(runs)
    if kept := _kept(session.study):
        say(kept)
    say(f"now: {report_command(results)} > {shlex.quote(str(results / 'REPORT.md'))}")
    return num_failed


def _execute(planned: Sequence[PlannedRun], session: Session, until: Until | None) -> Mapping[int, RunRecord]:
    execute = partial(run_planned, session=session)
    if until:
        race = RaceSession(planned, execute, session.listener, say)
        return race.run(until.at_most_seconds, session.engine.slots)
    return execute(dict(enumerate(planned)))


def _summarise(records: Sequence[RunRecord], results: Path) -> int:
    failed = {record.run_id: record.failure for record in records if record.failure}
    say(f"{len(records) - len(failed)} of {plural(len(records), 'run')} succeeded; records in {results / 'runs'}")
    if failed:
        causes = Counter(failure.cause for failure in failed.values())
        say(f"failed: {', '.join(f'{count} {cause}' for cause, count in causes.items())}")
        for run_id, failure in failed.items():
            say(f"  {run_id}: {failure.cause}: {failure.message}")
        say("their records say why; --rerun failed resumes them")
    return len(failed)


def _kept(study: StudyFile) -> str:
    """Say how many trained networks are in the results, and how large their files are; empty if there are none."""
    files = list(kept_files(study.runs))
    if not files:
        return ""
    megabytes = sum(file.num_bytes for file in files) / 1e6
    plugins = dict.fromkeys(plugin for task in study.study.tasks for plugin in task.plugins)
    return (
        f"{plural(len(files), 'trained network')} ({megabytes:,.1f} MB) in {kept_folder(study.runs)}; "
        f"{_command('predict', study.results, 'IMAGES', plugins=plugins)} uses {'it' if len(files) == 1 else 'them'}"
    )


def report_command(results: Path, *options: str) -> str:
    """Return the command that reports on the results, with the loaded plug-in files that a report can use."""
    registries = [registry for registry in Registry.every if registry.kind in ("metric", "section")]
    plugins = dict.fromkeys(file for registry in registries for file in registry.plugin_files())
    return _command("report", results, *options, plugins=plugins)


def _command(name: str, results: Path, *words: str, plugins: Iterable[str]) -> str:
    """Return `intelbench NAME RESULTS` with other words and plug-in files, as a shell reads it."""
    here = Path.cwd()
    files = [Path(plugin).relative_to(here) if Path(plugin).is_relative_to(here) else plugin for plugin in plugins]
    options = [word for file in files for word in ("--plugin", str(file))]
    return shlex.join(["intelbench", name, str(results), *words, *options])


def say(text: str) -> None:
    """Write a line to stderr, above the live table while there is one."""
    sys.stderr.write(f"{printable(text)}\n")
