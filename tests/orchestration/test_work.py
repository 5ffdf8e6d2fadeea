"""A study is a file, and workers execute it: each run once, whatever ends them. Real processes, a tiny network."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from intelbench.errors import UserError
from intelbench.orchestration.study import StudyFile
from intelbench.plugins.loading import load_plugin
from intelbench.records.store import StoredRun
from intelbench.records.workspace import workspaces
from tests.command import Command, at_phase, start, wait_for, wait_until_ended
from tests.orchestration.test_stopping import SLOW, STEPS
from tests.reading import read_runs
from tests.records.renaming import hold_rename

ENGINE = Path(__file__).parents[1] / "plugins" / "engine.py"
RAISING = """

@architecture("raising", minimum_size=8)
def raising(request):
    raise ValueError("no such network")
"""
Prepare = Callable[..., Path]


@pytest.fixture
def prepare(intelbench: Command, tmp_path: Path, small_folder: Path, small_suite: Path) -> Prepare:
    """Return a function that prepares a study of the network whose steps take a tenth of a second, or of others."""
    plugin = tmp_path / "slow.py"
    plugin.write_text(SLOW + RAISING)

    def prepare(*arguments: str | Path) -> Path:
        done = intelbench(
            "run", *(arguments or ["slow"]), "--plugin", plugin, "--suite", small_suite, "--data", small_folder,
            "--budget", f"{STEPS} steps", "--threads", 1, "--prepare",
        )  # fmt: skip
        assert 0 == done.returncode, done.stderr
        words = done.stdout.split()
        assert ["intelbench", "work"] == words[:2]
        return Path(words[2])

    return prepare


def worker(study: Path) -> "subprocess.Popen[str]":
    """Start a worker in a process of its own."""
    return start(["work", study], study.parent, {"COLUMNS": "120"})


def records(study: Path) -> dict[str, StoredRun]:
    """Return the records of a study by name; nothing else is left next to them."""
    runs = study.parents[1] / "runs"
    runs.mkdir(exist_ok=True)
    stored, problems = read_runs(runs)
    assert [] == problems
    assert len(stored) == len(list(runs.iterdir()))
    return {each.record.run_id: each for each in stored}


def test_two_workers_execute_each_run_once_with_one_profile(prepare: Prepare, intelbench: Command) -> None:
    """The second begins while the first profiles; a failing run does not stop the others."""
    study = prepare("slow", "raising", "--seeds", "0,1")
    started = time.time()
    with worker(study) as first:
        said = wait_for(": profiling", first)
        second = intelbench("work", study)
        outputs = [said + first.communicate(timeout=120)[1], second.stderr]
    assert [1, 1] == [first.returncode, second.returncode], outputs
    assert all(": done in" in output for output in outputs), outputs
    made = records(study)
    assert 4 == len(made)
    assert 4 == sum(output.count(": done in") for output in outputs)
    assert 2 == sum(output.count(": profiling") for output in outputs)
    slow = [run.record for run in made.values() if run.record.spec.architecture == "slow"]
    assert slow[0].profile == slow[1].profile is not None
    failures = [run.record.failure for run in made.values() if run.record.spec.architecture == "raising"]
    assert 2 == len(failures)
    messages = {failure.message for failure in failures if failure}
    line = (SLOW + RAISING).splitlines().index('    raise ValueError("no such network")') + 1
    assert {f"ValueError: no such network (slow.py:{line})"} == messages
    assert all(run.path.stat().st_mtime >= started for run in made.values())


def test_a_worker_that_is_killed_leaves_its_run_to_another_one_with_equal_bits(
    prepare: Prepare, intelbench: Command
) -> None:
    """Killed where it trains, after a checkpoint; the record is that of an undisturbed run."""
    study = prepare("slow", "--checkpoint", "0.2 s")
    [job] = StudyFile.read(study).jobs()
    with worker(study) as first:
        wait_for("slow, seed 0: step", first)
        while (checkpoint := job.workspace.checkpoint()) is None or checkpoint.step < 3:
            time.sleep(0.05)
        children = psutil.Process(first.pid).children(recursive=True)
        for child in children:
            child.suspend()  # so that the run has not ended when the second worker looks

        def kill() -> None:
            first.kill()
            first.wait()  # its lease is free when no process has its number
            for child in children:
                child.resume()
            wait_until_ended(*(child.pid for child in children))

        at_phase("waiting", kill)
        second = intelbench("work", study)
    assert first.returncode == -signal.SIGKILL
    assert 0 == second.returncode, second.stderr
    assert "resumes after step" in second.stderr
    [made] = records(study).values()
    assert made.record.measurements is not None
    assert made.record.measurements.resumed_after
    arrays = made.traces()  # before another record is in its place
    shutil.rmtree(study.parents[1] / "runs")
    undisturbed = intelbench("work", study, "--run", "0")
    assert 0 == undisturbed.returncode, undisturbed.stderr
    assert ": profiling" not in undisturbed.stderr  # the study has the profile
    [whole] = records(study).values()
    assert whole.record.measurements is not None
    assert () == whole.record.measurements.resumed_after
    assert made.record.stream_digests == whole.record.stream_digests
    for name in ("step_loss", "gradient_norm", "validation_predictions", "test_logits"):
        np.testing.assert_array_equal(arrays[name], whole.traces()[name])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_worker_that_is_stopped_leaves_a_checkpoint_and_no_record(
    prepare: Prepare, number: signal.Signals, status: int
) -> None:
    """Whether a scheduler or Ctrl-C stops it; a second signal of the scheduler changes nothing."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, as do its children
    study = prepare()
    with worker(study) as process:
        wait_for("slow, seed 0: step", process)
        process.send_signal(number)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
    assert status == process.returncode, said
    runs = study.parents[1] / "runs"
    assert [] == read_runs(runs)[0]
    [workspace] = workspaces(runs)
    checkpoint = workspace.checkpoint()
    assert checkpoint is not None
    assert 1 <= checkpoint.step < STEPS


def test_an_engine_starts_the_workers_on_hosts_of_the_study_s_kind(prepare: Prepare, intelbench: Command) -> None:
    """From a host that need not be of that kind, and does not look; an engine of this machine is refused."""
    study = prepare("raising", "--seeds", "0,1")
    environment = StudyFile.read(study).study.environment
    other = changed(study, environment=msgspec.structs.replace(environment, cpu="Z80"))
    load_plugin(ENGINE)
    done = intelbench("work", other, "--on", "nice")
    assert 75 == done.returncode
    assert "cpu is" in done.stderr.splitlines()[-1]
    done = intelbench("work", study, "--on", "nice")
    assert 1 == done.returncode
    assert 2 == done.stderr.count(": done in")
    assert 2 == len(records(study))
    done = intelbench("work", study, "--on", "slots")
    assert 2 == done.returncode
    assert "--on slots: how many runs a host executes at once is a part of the study" in done.stderr


def test_a_study_is_named_by_its_content(prepare: Prepare) -> None:
    """The same command writes the same study, in which the data set is once, whatever the number of runs."""
    study = prepare("slow", "--seeds", "0")
    assert study == prepare("slow", "--seeds", "0")
    more = prepare("slow", "--seeds", "0-9")
    ids = StudyFile.read(more).study.dataset.train.ids
    assert 1 == more.read_bytes().count(msgspec.json.encode(ids[0]))
    assert 10 == len(StudyFile.read(more).jobs())
    assert [[], []] == [list(path.parent.glob(".*")) for path in (study, more)]


@pytest.mark.parametrize("spoilt", [b"", b"half", None])
def test_a_study_that_was_changed_is_prepared_again(prepare: Prepare, tmp_path: Path, spoilt: bytes | None) -> None:
    """As the message of a worker says; a link to nowhere in its place is replaced, too."""
    study = StudyFile.read(prepare("slow")).study
    path = StudyFile(study, tmp_path / "again").path
    written = path.read_bytes()
    path.unlink()
    if spoilt is None:
        path.symlink_to("nowhere")
    else:
        path.write_bytes(spoilt)
    with pytest.raises(UserError, match=r"cannot be read|not a study"):
        StudyFile.read(path)
    assert path == StudyFile(study, tmp_path / "again").path
    assert written == path.read_bytes()
    assert study == StudyFile.read(path).study


def test_two_sessions_may_write_a_study_at_the_same_moment(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have the file, with its complete content."""
    written = StudyFile.read(prepare("slow"))
    sessions = [StudyFile(written.study, tmp_path / "shared") for _ in range(2)]
    waits, may_rename = hold_rename(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: sessions[0].path)
        assert waits.wait(60)
        second = pool.submit(lambda: sessions[1].path)
        may_rename.set()
        assert first.result() == second.result()
    assert written.study == StudyFile.read(first.result()).study


def test_records_that_a_study_replaces_are_replaced_once(prepare: Prepare, intelbench: Command) -> None:
    """With `--rerun all`, a second worker finds the new record, as a second study finds an earlier one."""
    study = prepare("raising")
    for status, said in ((1, ": done in"), (1, "recorded already")):
        done = intelbench("work", study)
        assert status == done.returncode, done.stderr
        assert said in done.stderr
    again = prepare("raising", "--rerun", "all")
    assert again != study
    cases = (
        (True, "1 of 1 run has no record\n[1/1] raising, seed 0: profiling"),
        (False, "recorded already"),
        (False, "0 of 1 run has no record\n[1/1] raising, seed 0: recorded already"),
    )
    for replaced, said in cases:
        [record] = (study.parents[1] / "runs").glob("*/record.json")
        before = record.stat().st_mtime_ns
        assert said in intelbench("work", again).stderr
        assert replaced == (before != record.stat().st_mtime_ns)
    assert 1 == len(records(study))


def changed(study: Path, **fields: object) -> Path:
    """Write a study like this one with other fields, as if it had been prepared so."""
    stored = StudyFile.read(study)
    return StudyFile(msgspec.structs.replace(stored.study, **fields), study.parents[1]).path


def refused(intelbench: Command, study: Path, *said: str) -> None:
    """Fail unless a worker exits with status 75 and one line that begins with the host, and nothing is recorded."""
    done = intelbench("work", study)
    assert 75 == done.returncode, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("intelbench: host ")]
    assert 1 == len(lines), done.stderr
    for part in said:
        assert part in lines[0]
    assert {} == records(study)


def test_another_kind_of_host_is_refused(prepare: Prepare, intelbench: Command) -> None:
    """Its machine, a device that it lacks, another version of intelbench: named, and nothing is recorded."""
    study = prepare()
    environment = StudyFile.read(study).study.environment
    other = changed(study, environment=msgspec.structs.replace(environment, cpu="Z80"))
    refused(intelbench, other, f"cpu is {environment.cpu}, that of the study is Z80; constrain the pool")
    [task] = StudyFile.read(study).study.tasks
    execution = msgspec.structs.replace(task.spec.execution, device="cuda")
    on_gpu = msgspec.structs.replace(task, spec=msgspec.structs.replace(task.spec, execution=execution))
    refused(intelbench, changed(study, tasks=(on_gpu,)), "device is not cuda, that of the study", "constrain the pool")
    newer = study.with_name("0123456789.json")
    newer.write_bytes(study.read_bytes().replace(b'"intelbench":"', b'"intelbench":"9', 1))
    refused(intelbench, newer, "intelbench is", "install that version, or prepare it again")


def test_a_host_that_does_not_see_the_files_is_refused(
    prepare: Prepare, intelbench: Command, tmp_path: Path, command_variables: dict[str, str]
) -> None:
    """The cache, the plug-in with the network, or weights: named, and nothing is recorded."""
    study = prepare()
    dataset = StudyFile.read(study).study.dataset
    assert dataset.cache
    gone = changed(study, dataset=msgspec.structs.replace(dataset, cache=str(tmp_path / "elsewhere")))
    refused(intelbench, gone, f"cache {tmp_path / 'elsewhere'}: ", "with --cache-dir, or `cache_folder` in Python, and")
    [task] = StudyFile.read(study).study.tasks
    without = changed(study, tasks=(msgspec.structs.replace(task, plugins=(str(tmp_path / "lost.py"),)),))
    refused(intelbench, without, "lost.py: no such file; put it into a folder that every host sees")
    plugin = tmp_path / "slow.py"
    plugin.write_text(plugin.read_text() + "# edited\n")
    refused(intelbench, study, "architecture 'slow' is provided by slow.py sha256:", ", that of the study by slow.py")
    plugin.write_text("def(")
    refused(intelbench, study, "slow.py:1", "put back the plug-in file with which the study was prepared")


def test_a_file_that_is_no_study_is_refused_with_what_to_do(prepare: Prepare, intelbench: Command) -> None:
    """One that was edited, renamed or moved, and a file of another kind."""
    study = prepare()
    content = study.read_bytes()
    cases = [
        (study, content.replace(b"slow", b"fast"), "was changed, renamed or moved"),
        (study.with_name("renamed.json"), content, "was changed, renamed or moved"),
        (study.with_name("broken.json"), content[:100], "not a study"),
        (study.parents[2] / "e.json", b"{}", "not a study (key `format`: missing. Expected a whole number)"),
        (study.with_suffix(".txt"), content, "not a study. Expected one of: "),
    ]
    for path, text, said in cases:
        path.write_bytes(text)
        done = intelbench("work", path)
        assert 2 == done.returncode
        assert said in done.stderr
        assert ("prepare it again" in done.stderr) == ("was changed" in said)
        assert 1 == done.stderr.count("\n")


def test_a_folder_is_answered_with_its_studies(prepare: Prepare, intelbench: Command) -> None:
    """That of the results, or of the studies; without any, with how one is made."""
    study = prepare()
    for folder in study.parents[:2]:
        done = intelbench("work", folder)
        assert 2 == done.returncode
        assert done.stderr == f"intelbench: study {folder}: a folder. Expected one of: {study}\n"
    (gone := study.with_name("gone.json")).symlink_to("nowhere")  # as a study that is removed after it was listed
    assert f"a folder. Expected one of: {study}, {gone}\n" in intelbench("work", study.parent).stderr
    (empty := study.parents[2] / "empty").mkdir()
    said = intelbench("work", empty).stderr
    assert "a folder. Expected a file studies/ID.json of a results folder, which intelbench run ... --prepare" in said


def test_a_study_that_names_other_folders_is_not_read(prepare: Prepare, intelbench: Command) -> None:
    """Its digest is right, but a run is a name and no path, and there is one at least."""
    study = prepare()
    [task] = StudyFile.read(study).study.tasks
    for tasks in ((msgspec.structs.replace(task, run_id="../elsewhere"),), ()):
        done = intelbench("work", changed(study, tasks=tasks))
        assert 2 == done.returncode
        assert "not a study (" in done.stderr
    assert not study.with_name("elsewhere").exists()


def test_what_is_of_workers_is_not_prepared(intelbench: Command, small_folder: Path) -> None:
    """Trackers and looks are named as they were typed, with the remedy."""
    for options, remedy in (
        (("--track", "mlflow"), "Expected no --track. Try intelbench work --track"),
        (("--until", "decided"), "Expected no --until. Try --seeds 0-4"),
    ):
        done = intelbench("run", "--data", small_folder, "--prepare", *options)
        assert 2 == done.returncode
        assert remedy in done.stderr


def test_a_run_of_a_study_is_chosen_by_its_name_or_number(prepare: Prepare, intelbench: Command) -> None:
    """Others are answered with the nearest."""
    study = prepare("raising", "--seeds", "0,1")
    first, second = (job.run_id for job in StudyFile.read(study).jobs())
    assert 1 == intelbench("work", study, "--run", second).returncode
    assert {second} == records(study).keys()
    assert 1 == intelbench("work", study, "--run", "0").returncode
    assert {first, second} == records(study).keys()
    for run in (f"{second}x", "2", "00", "9" * 5000):
        done = intelbench("work", study, "--run", run)
        assert 2 == done.returncode
        assert f"run '{run[:100]}" in done.stderr
        assert "': not one of the 2 runs of the study (numbers 0 to 1). Expected one of: " in done.stderr
        assert 1 == done.stderr.count("Expected")
