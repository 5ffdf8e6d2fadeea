"""Sessions that end when the comparison is decided: which runs they execute, what they say, and how they resume."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from intelbench.config.sequential import Until
from intelbench.errors import UserError
from intelbench.orchestration.job import Job, Rerun
from intelbench.orchestration.listeners import RunListener
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.race import RaceSession, _times, designed
from intelbench.records.store import read_run, write_run
from intelbench.records.types import RunRecord
from intelbench.results.study import read
from tests.command import Command
from tests.reading import read_runs
from tests.synthetic import Study, failure, synthetic_run

UNTIL = Until(spending="pocock", at_most_seconds=None)
ACCURACIES = {"a": 0.8, "b": 0.8, "c": 0.3}
STUDY = Study(accuracies=ACCURACIES)
NAMES = ("a", "b", "c")


class Log(RunListener):
    """Notes which runs are left out."""

    def __init__(self) -> None:
        self.left_out: list[int] = []

    def run_left_out(self, index: int) -> None:
        """Note it."""
        self.left_out.append(index)


class Sessions:
    """Sessions in one folder, whose runs are made up."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.study = STUDY
        self.executed: list[list[str]] = []
        """Runs of each look that had no record."""
        self.jobs: list[Job] = []
        self.said: list[str] = []
        self.log = Log()

    def planned(
        self, seeds: Sequence[int] = range(10), rerun: Rerun = "none", margin: float = 0.02
    ) -> list[PlannedRun]:
        """Return the runs of three architectures, of a suite with this margin."""
        return [self._planned(name, seed, rerun, margin) for seed in seeds for name in NAMES]

    def run(
        self, seeds: Sequence[int] = range(10), until: Until = UNTIL, slots: int = 1, margin: float = 0.02
    ) -> Mapping[int, RunRecord]:
        """Run a session."""
        self.executed, self.said, self.log = [], [], Log()
        planned = designed(self.planned(seeds, margin=margin), until)
        session = RaceSession(planned, self.execute, self.log, self.said.append)
        return session.run(until.at_most_seconds, slots)

    def execute(self, planned: Mapping[int, PlannedRun]) -> dict[int, RunRecord]:
        """Write the records that do not exist."""
        self.executed.append([])
        for run in planned.values():
            if run.job.record() is None:
                spec = run.job.spec
                self.executed[-1].append(f"{spec.architecture}{spec.seed}")
                self.jobs.append(run.job)
                record, traces = synthetic_run(spec.architecture, spec.seed, self.study, NAMES)
                write_run(self.runs, msgspec.structs.replace(record, look=run.job.look), traces)
        return {index: read_run(run.job.workspace.target).record for index, run in planned.items()}

    def _planned(self, name: str, seed: int, rerun: Rerun, margin: float) -> PlannedRun:
        record, _ = synthetic_run(name, seed, replace(STUDY, margin=margin), NAMES)
        job = Job(
            run_id=record.run_id, spec=record.spec, environment=record.environment, dataset=None, plugins=(),
            runs=str(self.runs), rerun=rerun,
        )  # fmt: skip
        target = self.runs / record.run_id
        return PlannedRun(job, read_run(target).record if target.exists() else None)


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    """Two architectures that are alike, and a bad one."""
    return Sessions(tmp_path / "runs")


def runs_of(names: str, seeds: Sequence[int]) -> list[str]:
    """Names of runs, seed by seed."""
    return [f"{name}{seed}" for seed in seeds for name in names]


def test_a_loser_gets_no_more_seeds(sessions: Sessions) -> None:
    """All on the same seeds, look by look; then only those that are still compared."""
    records = sessions.run()
    assert runs_of("abc", [0, 1, 2]) == sessions.executed[0]
    assert runs_of("ab", [3, 4]) == sessions.executed[1]
    assert "looks at 3, 5, 8, 10 seeds, pocock; equivalent within 2 points" == sessions.said[0]
    assert sessions.said[1].startswith("look at 3 of 10 seeds: c leaves, worse than a, b; not decided: a / b")
    assert len(records) == sum(map(len, sessions.executed))
    assert list(range(30)) == sorted([*records, *sessions.log.left_out])


def test_it_ends_when_all_that_are_left_are_equivalent(sessions: Sessions) -> None:
    """A wide margin: decided at the first look, and the runs that were saved."""
    records = sessions.run(margin=0.3)
    assert [runs_of("abc", [0, 1, 2])] == sessions.executed
    assert "c leaves, worse than a, b; a and b are equivalent within 30 points" in sessions.said[1]
    assert "decided after 3 of 10 seeds; 21 of 30 runs were not needed" == sessions.said[-1]
    assert 9 == len(records)


def test_it_ends_at_the_last_seed(sessions: Sessions) -> None:
    """Undecided: nothing is claimed."""
    sessions.run(seeds=range(4), margin=0.001)
    assert "look at 4 of 4 seeds: not decided: a / b" == sessions.said[-2]
    assert "not decided after 4 of 4 seeds; 1 of 12 runs were not needed" == sessions.said[-1]


def test_the_design_is_in_every_record_and_the_profile_is_made_once(sessions: Sessions) -> None:
    """With the look for which the run was made; later looks have the profile of the first record."""
    sessions.run()
    stored, _ = read_runs(sessions.runs)
    looks = {(run.record.spec.architecture, run.record.spec.seed): run.record.look for run in stored}
    assert [1, 1, 1, 2, 2] == [looks["a", seed].number for seed in range(5)]
    assert {((3, 5, 8, 10), tuple(range(10)), NAMES, "pocock", 0.05, 0.02)} == {
        (d.looks, d.seeds, d.architectures, d.spending, d.significance, d.margin)
        for d in (look.design for look in looks.values())
    }
    first = {job.spec.seed: job.profile for job in sessions.jobs if job.spec.architecture == "a"}
    assert first[0] is None
    assert "a" == first[3].architecture


def test_a_second_session_finds_what_the_first_has_decided(sessions: Sessions) -> None:
    """And says the same; nothing is executed."""
    sessions.run(margin=0.3)
    said = sessions.said
    sessions.run(margin=0.3)
    assert [[]] == sessions.executed
    assert said == sessions.said


def test_a_session_that_was_killed_continues_with_the_same_looks(sessions: Sessions) -> None:
    """In the middle of its second look."""
    whole = sessions.run()
    expected = sessions.said
    second = sorted(read_runs(sessions.runs)[0], key=lambda run: run.record.look.number)[-1]
    for file in second.path.iterdir():
        file.unlink()
    second.path.rmdir()
    again = sessions.run()
    assert whole.keys() == again.keys()
    assert expected == sessions.said
    assert 1 == sum(map(len, sessions.executed))


def test_runs_of_a_fixed_number_of_seeds_are_used(sessions: Sessions) -> None:
    """Their records do not say a look; they stay as they are."""
    for run in sessions.planned(range(3)):
        write_run(sessions.runs, *synthetic_run(run.job.spec.architecture, run.job.spec.seed, STUDY, NAMES))
    sessions.run()
    assert [] == sessions.executed[0]
    assert runs_of("ab", [3, 4]) == sessions.executed[1]


def test_a_design_that_no_record_holds_is_kept_next_to_them(sessions: Sessions) -> None:
    """All runs of the look that decides were made for a fixed number of seeds: the report uses its level all the same.

    The next session finds the design, another one is refused, and a file that was changed is named.
    """
    for run in sessions.planned(range(3)):
        write_run(sessions.runs, *synthetic_run(run.job.spec.architecture, run.job.spec.seed, STUDY, NAMES))
    (fixed,) = read(sessions.runs).cohorts
    assert fixed.sequential is None
    sessions.run(margin=0.3)
    assert [[]] == sessions.executed
    (summary,) = read(sessions.runs).cohorts
    assert summary.sequential is not None
    assert ((3, 5, 8, 10), 0.3, 0.3) == (
        summary.sequential.design.looks, summary.sequential.design.margin, summary.margin
    )  # fmt: skip
    assert summary.significance < fixed.significance
    said = sessions.said
    sessions.run(margin=0.3)
    assert said == sessions.said
    (file,) = sessions.runs.glob("design-*.json")
    with pytest.raises(UserError, match=r"made for another design: margin was 0\.3, is 0\.02"):
        sessions.run()
    file.write_text(file.read_text().replace("pocock", "obrien-fleming"))
    changed = read(sessions.runs)
    assert changed.cohorts[0].sequential is None
    assert [f"{file.name}: not a readable design (it was changed after it was written)"] == [
        problem.rpartition("/")[2] for problem in changed.problems
    ]


def test_another_design_in_the_same_folder_is_refused(sessions: Sessions) -> None:
    """Unless everything is made again; the message says what differs."""
    sessions.run()
    with pytest.raises(UserError, match=r"made for another design: margin was 0\.02, is 0\.3\. A design cannot change"):
        sessions.run(margin=0.3)
    with pytest.raises(UserError, match=r"looks was \(3, 5, 8, 10\), is \(3, 5, 8, 12\)"):
        sessions.run(seeds=range(12))
    designed(sessions.planned(rerun="all", margin=0.3), UNTIL)


@pytest.mark.parametrize(
    ("seeds", "names", "says"),
    [(range(2), NAMES, "3 architectures and 2 seeds at most"), (range(9), ("a",), "1 architecture and 9 seeds")],
)
def test_too_little_to_compare_is_refused(
    sessions: Sessions, seeds: Sequence[int], names: Sequence[str], says: str
) -> None:
    """One architecture, or less than three seeds."""
    planned = [run for run in sessions.planned(seeds) if run.job.spec.architecture in names]
    with pytest.raises(UserError, match=says):
        designed(planned, UNTIL)


def test_several_numbers_of_images_are_refused(sessions: Sessions) -> None:
    """Each would be a comparison of its own."""
    few = [
        replace(
            run, job=msgspec.structs.replace(run.job, spec=msgspec.structs.replace(run.job.spec, images_per_class=9))
        )
        for run in sessions.planned()
    ]
    with pytest.raises(UserError, match="several comparisons"):
        designed([*sessions.planned(), *few], UNTIL)


def test_no_look_is_started_that_would_take_too_long(sessions: Sessions) -> None:
    """By the mean time of the finished runs of each architecture, 17 s here; several slots share the work."""
    sessions.run()
    seconds = {
        run.record.spec.architecture: run.record.measurements.total_seconds for run in read_runs(sessions.runs)[0]
    }
    needed = 2 * (seconds["a"] + seconds["b"])
    for slots, limit, looks in ((1, 0.9 * needed, 1), (1, 1.2 * needed, 2), (2, 0.6 * needed, 2)):
        fresh = Sessions(sessions.runs.with_name(f"runs-{slots}-{limit:.0f}"))
        fresh.run(until=msgspec.structs.replace(UNTIL, at_most_seconds=limit), slots=slots)
        assert looks == len(fresh.executed)
        seeds, following = ((3, 5), (5, 8))[looks - 1]
        assert fresh.said[-1].startswith(
            f"stopped after {seeds} of 10 seeds: the look at {following} seeds would take "
        )
        assert fresh.said[-1].endswith("min are left; give the command again to continue")


def test_times_of_less_than_a_minute_are_seconds() -> None:
    """They would be 0.0 min."""
    assert ("0.83 s, and 0.02 s", "1.5 min, and 0.0 min") == (_times(0.83, 0.02), _times(90, 0))


def test_an_architecture_with_a_failed_run_leaves(sessions: Sessions) -> None:
    """The others go on; it is said."""
    sessions.study = Study(accuracies=ACCURACIES, failures={("b", 1): failure()})
    sessions.run()
    assert "b leaves because a run failed; c leaves, worse than a" in sessions.said[1]
    assert "ended after 3 of 10 seeds; 21 of 30 runs were not needed" == sessions.said[-1]


NETWORKS = '''
"""Two equal networks that know one colour from another, and one that always gives one answer."""

import torch
from torch import nn

from intelbench import architecture


class Colours(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.scale = scale
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]])[:, :, None, None])

    def forward(self, images):
        return self.scale * self.conv(images).mean((2, 3)) + (1 - self.scale) * self.conv.bias


architecture("colours", minimum_size=16)(lambda request: Colours(1))
architecture("colours_again", minimum_size=16)(lambda request: Colours(1))
architecture("constant", minimum_size=16)(lambda request: Colours(0))
'''


def test_two_equal_networks_and_a_bad_one(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path
) -> None:
    """From the command line to the report: decided at the first look, equivalent and worse, and what was saved.

    48 test images do not show equivalence within a smaller margin.
    """
    (tmp_path / "networks.py").write_text(NETWORKS)
    arguments = [
        "run", "colours", "colours_again", "constant", "--suite", small_suite, "--data", small_folder,
        "--plugin", "networks.py", "--budget", "2 steps", "--seeds", "0-9", "--until", "decided", "--margin", "30",
        "--at-most", "4 h",
    ]  # fmt: skip
    ended = intelbench(*arguments)
    assert 0 == ended.returncode, ended.stderr
    assert "small: at most 30 runs of 2 steps" in ended.stderr
    assert (
        "look at 3 of 10 seeds: constant leaves, worse than colours, colours_again; colours and "
        "colours_again are equivalent within 30 points"
    ) in ended.stderr
    assert "decided after 3 of 10 seeds; 21 of 30 runs were not needed" in ended.stderr
    assert "9 of 9 runs succeeded" in ended.stderr

    again = intelbench(*arguments)
    assert 9 == again.stderr.count("recorded already")
    assert "decided after 3 of 10 seeds; 21 of 30 runs were not needed" in again.stderr

    report = intelbench("report").stdout
    assert re.search(r"\| colours − colours_again +\| +3 \| .*\| equivalent +\|", report)
    assert "both of them are significantly above `constant`" in report
    assert "The comparison ended at the look at 3 seeds (levels: 0.00035 at 3 seeds)." in report
    assert "--until decided --spending obrien-fleming" in report
    assert "margin = 30.0" in report

    wider = intelbench(*arguments[:-6], "--margin", "3", "--seeds", "0-2")
    assert (
        "margin 3: not recorded, because all runs were recorded before, with margin 30. "
        "Try intelbench report results --margin 3" in wider.stderr
    )
    report = intelbench("report", "--margin", "3").stdout
    assert "by the margin of their design, 30 points. Equivalence is tested here within 3 points" in report


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--margin", "0.01"],
            "--margin '0.01': not accepted. Expected percentage points, at least 0.1 and below 100. Try 1",
        ),
        (["--at-most", "4 h"], "--at-most goes with --until decided"),
        (["--spending", "pocock"], "--spending goes with --until decided"),
        (["--until", "decided", "--margin", "0"], "--margin '0': not accepted. Expected percentage points"),
    ],
)
def test_options_that_do_not_fit_are_refused(intelbench: Command, options: list[str], says: str) -> None:
    """Before anything is read."""
    refused = intelbench("run", "tiny", *options)
    assert 2 == refused.returncode
    assert says in refused.stderr
