"""What `make gpu` does with its stages, its deadline and its folder, on the fake GPU or on stages made for the test."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import msgspec
import psutil
import pytest
import torch

from bench.gpu import loops, measuring, study
from bench.gpu import session as sessions
from bench.gpu.results import FAKE_NOTE, FILE, Results, Row, open_results, save
from bench.gpu.run import carry_out, exit_status
from bench.gpu.session import CutOffError, MeasurementError, Session
from bench.gpu.sizes import FAKE, FULL, SUITE
from bench.gpu.stages import STAGES, _tests_row
from bench.gpu.table import render
from intelbench.architectures.reference import REFERENCE
from intelbench.config.budget import Budget
from intelbench.config.suites import load_suite
from intelbench.errors import UserError
from intelbench.profiling.device import device_of
from intelbench.records.store import write_run
from intelbench.records.types import Environment
from intelbench.training.journal import Journal
from tests.bench.conftest import last, nothing_yet, stage, stage_of
from tests.conftest import REPOSITORY
from tests.fake_cuda import FakeCuda, FakeEvent
from tests.synthetic import Study, synthetic_run

"""A process in place of that of a measurement."""


def test_every_stage_is_carried_out_on_the_fake_gpu(tmp_path: Path) -> None:
    """Its files, its table and its exit status; every loop has a speed but those that need a GPU."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--device", "fake", "--out", str(tmp_path), "--deadline", "300"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "INTELBENCH_CACHE": str(tmp_path / "cache")},
    )
    assert 0 == done.returncode, done.stderr
    assert {FILE, "junit.xml", "log.txt", "records.tar.xz", "cache"} == {path.name for path in tmp_path.iterdir()}
    results = msgspec.json.decode((tmp_path / FILE).read_bytes(), type=Results)
    assert {each.name: "done" for each in STAGES} == {name: each.status for name, each in results.stages.items()}
    assert "NVIDIA Fake 80GB" == results.environment.device_name
    assert results.fake
    assert all(each.title in done.stdout for each in STAGES)
    assert 1 == done.stdout.count(FAKE_NOTE)
    assert all(row.met is None for each in results.stages.values() for row in each.rows)

    rows = {row.subject: row for row in results.stages["steps"].rows}
    speeds = {name.split(", ")[1]: row.value("speed") for name, row in rows.items() if ", batch 4" in name}
    assert {
        "plain",
        "tuned",
        "harness",
        "harness on one device batch",
        "tuned + CUDA graph",
        "harness + CUDA graph",
    } == set(speeds)
    assert speeds.pop("tuned + CUDA graph") is None
    assert all(speed is not None and speed > 0 for speed in speeds.values())
    network = FAKE.architectures[0]
    assert rows[f"{network}, harness / plain"].value("ratio") == speeds["harness"] / speeds["plain"]
    assert (results.stages["tests"].rows[0].value("passed") or 0) > 0
    assert 1 == results.stages["study"].rows[0].value("runs")
    assert 1 == results.stages["verify"].rows[0].value("reproduced")
    with tarfile.open(tmp_path / "records.tar.xz") as archive:
        assert any(name.startswith("runs/") and name.endswith("/record.json") for name in archive.getnames())


def test_a_stage_that_the_deadline_cuts_is_done_again(
    open_session: Callable[..., Session], environment: Environment, tmp_path: Path
) -> None:
    """By the next call, which leaves alone what is done; what a cut stage had measured is kept until then."""
    counts = {"first": 0, "second": 0}
    program = ["import time; time.sleep(600)"]

    def first(_: Session) -> Iterator[Row]:
        counts["first"] += 1
        yield Row(subject="a")

    def second(session: Session) -> Iterator[Row]:
        counts["second"] += 1
        yield Row(subject="b")
        assert 0 == session.command([sys.executable, "-c", program[0]])
        yield Row(subject="c")

    stages = [stage("first", first), stage("second", second), stage_of("third", Row(subject="d"))]
    for results in carry_out(stages, open_session(seconds=0.5), nothing_yet(environment)):
        save(tmp_path, results)
    results = open_results(tmp_path, environment, fake=False)
    assert ["done", "cut off"] == [each.status for each in results.stages.values()]
    assert (Row(subject="b"),) == results.stages["second"].rows
    assert "the deadline has passed" == results.stages["second"].message
    assert 3 == exit_status(results, stages)
    assert not any(program[0] in child.cmdline() for child in psutil.Process().children())

    program[0] = "pass"
    results = last(carry_out(stages, open_session(), results))
    assert {"first": 1, "second": 2} == counts
    assert (Row(subject="b"), Row(subject="c")) == results.stages["second"].rows
    assert 0 == exit_status(results, stages)
    assert [] == list(carry_out(stages, open_session(), results))


def test_a_command_is_interrupted_as_by_ctrl_c(tmp_path: Path) -> None:
    """So that `intelbench run` can end its run and leave complete records."""
    file = tmp_path / "interrupted"
    program = (
        "import pathlib, time\n"
        "try:\n    print('started', flush=True)\n    time.sleep(600)\n"
        f"except KeyboardInterrupt:\n    pathlib.Path({str(file)!r}).touch()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    with process:
        assert process.stdout is not None
        assert b"started\n" == process.stdout.readline()
        sessions._end(process)
        assert 0 == process.poll()
    assert file.exists()


def test_a_stage_that_raises_does_not_stop_the_others(
    open_session: Callable[..., Session], environment: Environment
) -> None:
    """It is recorded with its message, skipped by the next call, and done again where that is asked for."""
    reasons = ["no such kernel"]

    def broken(_: Session) -> Iterator[Row]:
        yield Row(subject="before")
        if reasons:
            raise ValueError(reasons[0])

    stages = [stage("broken", broken), stage_of("sound", Row(subject="a"))]
    results = last(carry_out(stages, open_session(), nothing_yet(environment)))
    failed = results.stages["broken"]
    assert ("failed", "ValueError: no such kernel") == (failed.status, failed.message)
    assert (Row(subject="before"),) == failed.rows
    assert "done" == results.stages["sound"].status
    assert 1 == exit_status(results, stages)
    assert "ValueError: no such kernel" in render(results, stages)

    reasons.clear()
    assert [] == list(carry_out(stages, open_session(), results))
    results = last(carry_out(stages, open_session(), results, retry_failed=True))
    assert 0 == exit_status(results, stages)


def test_a_measurement_that_fails_is_a_row(open_session: Callable[..., Session], environment: Environment) -> None:
    """With the last line of its process, whose traceback is in the log; the measurements after it are made."""

    def rows(session: Session) -> Iterator[Row]:
        yield from session.measure("raises", architecture="resnet101")
        yield from session.measure("answers", batch_size=4)

    session = open_session()
    results = last(carry_out([stage("stage", rows)], session, nothing_yet(environment)))
    result = results.stages["stage"]
    assert ["first", "raises, resnet101", "first", "{'batch_size': 4}"] == [row.subject for row in result.rows]
    assert "ValueError: the network has had enough" == result.rows[1].failure
    assert ("failed", "1 of its measurements failed") == (result.status, result.message)
    assert "Traceback" in (session.folder / "log.txt").read_text()


def test_a_measurement_ends_at_the_deadline(open_session: Callable[..., Session]) -> None:
    """Whatever its process does."""
    with pytest.raises(CutOffError, match="the deadline has passed"):
        list(open_session(seconds=1.0).ask("hangs", Row))


def test_a_failed_process_is_no_answer(open_session: Callable[..., Session]) -> None:
    """Even after its last answer."""
    with pytest.raises(MeasurementError, match="had enough"):
        list(open_session().ask("raises", Row))


def test_a_machine_without_a_gpu_is_refused() -> None:
    """`auto` is never the CPU here."""
    with pytest.raises(UserError, match="PyTorch sees no CUDA device"):
        list(measuring.environment("auto", FAKE))


@pytest.mark.usefixtures("fake_cuda")
def test_synchronising_calls_of_the_loop_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its stack, in five steps of the harness's own loop."""
    (quiet,) = measuring.synchronizations("cuda", FAKE, "fp32")
    assert (0, 0) == (quiet.value(quiet.figures[0].name), quiet.at_most)
    add_step = Journal.add_step

    def waits(journal: Journal, *values: object, **named: object) -> None:
        device_of(torch.device("cpu")).synchronize()
        add_step(journal, *values, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "add_step", waits)
    (row,) = measuring.synchronizations("cuda", FAKE, "fp32")
    assert 5 == row.value(row.figures[0].name)
    (stack,) = row.details
    assert stack.startswith("5 times\n")
    assert "in waits" in stack


def test_steps_before_the_timed_ones_do_not_count(fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a second passes between two looks at the clock; a loop is never many steps ahead of the GPU."""
    monkeypatch.setattr(loops, "time", SimpleNamespace(perf_counter=count().__next__))
    device = device_of(torch.device("cpu"))
    setting = loops.Setting(device=device, sizes=FAKE, architecture=FAKE.architectures[0], batch_size=4)
    meter = loops.Meter(setting, warm_steps=20, seconds=3.0)
    num_steps = 1
    while not meter.step():
        num_steps += 1
    assert 23 == num_steps
    assert 3 * 4 / 4 == meter.figures()[0].value  # seconds, one of them for the last look
    assert 8 == FakeEvent.num_made
    assert 2 <= fake_cuda.calls["synchronize"]


@pytest.mark.usefixtures("fake_cuda")
def test_a_loop_that_a_gpu_may_lack_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a speed; a loop that must work fails."""

    def refuses(_: loops.Setting) -> loops.TakeStep:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(measuring, "_OWN_LOOPS", dict.fromkeys(("tuned + CUDA graph", "plain"), ("bf16", refuses)))
    network = FAKE.architectures[0]
    (row,) = measuring.steps("cuda", FAKE, network, "tuned + CUDA graph", 4)
    assert (None, None) == (row.value("speed"), row.failure)
    assert "RuntimeError: operation not permitted when stream is capturing" == row.figures[0].absent
    with pytest.raises(RuntimeError, match="capturing"):
        list(measuring.steps("cuda", FAKE, network, "plain", 4))


def test_tests_are_counted_by_their_outcome() -> None:
    """Errors of a fixture are failures too, and both are named."""
    cases = (
        '<testcase classname="t" name="a"/><testcase classname="t" name="b"><skipped/></testcase>'
        '<testcase classname="t" name="c"><failure/></testcase><testcase classname="t" name="d"><error/></testcase>'
    )
    row = _tests_row(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert [2, 1, 1] == [row.value(name) for name in ("failed", "passed", "skipped")]
    assert ("t::c", "t::d") == row.details
    assert row.judged().met is False


def test_a_test_command_without_tests_is_a_failure(
    open_session: Callable[..., Session], environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where pytest cannot be imported."""
    monkeypatch.setattr(Session, "command", lambda *_, **__: 5)
    (tests,) = (each for each in STAGES if each.name == "tests")
    results = last(carry_out([tests], open_session(), nothing_yet(environment)))
    assert "failed" == results.stages["tests"].status
    assert "pytest exited with status 5" in (results.stages["tests"].message or "")


def test_records_are_there_again_in_the_next_call(open_session: Callable[..., Session]) -> None:
    """Another work folder, the same bytes; what is no record is left out."""
    session = open_session()
    run = session.work / "runs" / "resnet101-s0-0123456789"
    run.mkdir(parents=True)
    (run / "record.json").write_bytes(b"{}")
    (session.work / "runs" / ".resnet101-s1.partial").mkdir()
    study.pack(session)
    later = open_session()
    study.unpack(later)
    files = [path.relative_to(later.work) for path in later.work.rglob("*") if path.is_file()]
    assert [Path("runs") / run.name / "record.json"] == files
    assert b"{}" == (later.work / files[0]).read_bytes()


def test_a_study_that_the_deadline_cuts_keeps_its_records(
    open_session: Callable[..., Session], environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call finds them; without a record there is nothing to verify yet."""
    record, traces = synthetic_run("resnet152", 0, Study())
    commands = []

    def cut_off(session: Session, arguments: Sequence[str]) -> int:
        write_run(session.work / "runs", record, traces)
        raise CutOffError("the deadline has passed")

    def carry_on(session: Session, arguments: Sequence[str]) -> int:
        commands.append(arguments[3:5])
        return 0

    stages = [each for each in STAGES if each.name == "study"]
    monkeypatch.setattr(Session, "command", cut_off)
    results = last(carry_out(stages, open_session(), nothing_yet(environment)))
    study_result = results.stages["study"]
    assert ("cut off", "the deadline has passed") == (study_result.status, study_result.message)
    assert [("resnet152", 1, 0)] == [
        (row.subject, row.value("runs"), row.value("failed runs")) for row in study_result.rows
    ]

    monkeypatch.setattr(Session, "command", carry_on)
    session = open_session()
    results = last(carry_out(stages, session, results))
    assert ["done", 1] == [results.stages["study"].status, results.stages["study"].rows[0].value("runs")]
    session.note("equal bit for bit")
    (row,) = study.verify(session)
    assert [1, "equal bit for bit"] == [row.value("reproduced"), *row.details]
    assert ["verify", str(session.work / "runs" / record.run_id)] == commands[-1]


def test_without_a_record_nothing_is_verified_yet(
    open_session: Callable[..., Session], environment: Environment
) -> None:
    """The stage is left for another call."""
    stages = [each for each in STAGES if each.name == "verify"]
    results = last(carry_out(stages, open_session(), nothing_yet(environment)))
    verified = results.stages["verify"]
    assert ("cut off", "the study has no record yet") == (verified.status, verified.message)


def test_the_reference_study_is_what_the_documentation_says() -> None:
    """Five architectures and five seeds; the recipe is that of `quick` but for the learning rate and the batch."""
    suite, quick = load_suite(str(SUITE)), load_suite("quick")
    assert REFERENCE == suite.architectures == FULL.architectures
    assert (0, 1, 2, 3, 4) == suite.seeds
    assert (224, "bf16", 8, Budget(seconds=20)) == (
        suite.image_size, suite.precision, suite.evaluation_points, suite.budget,
    )  # fmt: skip
    assert msgspec.structs.replace(quick.recipe, learning_rate=1e-3, batch_size=32) == suite.recipe
