"""The command line: quick to start, and every mistake answered in a line."""

import io
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import click
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intelbench.cli.main import cli, main
from intelbench.config.conditions import Conditions
from intelbench.config.requests import ProfileRequest, RunRequest
from intelbench.errors import UserError
from intelbench.orchestration import forkserver, session
from intelbench.orchestration import profile as profiling
from intelbench.reporting import profile as profile_text
from tests.command import Command
from tests.conftest import commands_of, write_folder

SLOW = ("torch", "numpy", "pandas", "matplotlib")


def loaded_by(statement: str) -> set[str]:
    """Which of the slow packages a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["publish", "--help"], ["--version"]])
def test_help_loads_nothing_slow(arguments: list[str]) -> None:
    """`--help` imports none of torch, numpy, pandas and matplotlib."""
    statement = f"from intelbench.cli.main import cli\ncli({arguments}, standalone_mode=False)"
    assert set() == loaded_by(statement)


def test_import_and_list_do_not_load_torch() -> None:
    """A plug-in's `import intelbench`, and `intelbench list`, are free of torch."""
    assert set() == loaded_by("import intelbench")
    assert "torch" not in loaded_by("from intelbench.cli.main import cli\ncli(['list'], standalone_mode=False)")


def test_list_names_the_five_and_the_suites(intelbench: Command) -> None:
    """What a newcomer can type next."""
    printed = intelbench("list").stdout
    for name in ("resnet152", "wide_resnet101_2", "inception_v3", "resnet101_leaky", "resnet101", "quick", "paper"):
        assert name in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "resnet15"], "Try resnet152"),
        (["run", "resnet101", "--all"], "not both"),
        (["run", "--suite", "quik"], "Try `quick`"),
        (["run", "--seeds", "a"], "--seeds 'a'"),
        (
            ["run", "--seeds", "-1"],
            "--seeds '-1': '-1' is no seed and no range of seeds. Expected whole numbers from 0",
        ),
        (
            ["run", "--suite", "a\x1b[31m"],
            "--suite 'a\\x1b[31m': holds a character that cannot be printed. Expected a name",
        ),
        (["run", "--\x1b[31m"], "\\x1b[31m"),
        (["run", "--budget", "5 parsecs"], "--budget '5 parsecs': not a budget. Expected a positive number and a unit"),
        (["run", "--data", "no/such/folder"], "data no/such/folder: no such folder"),
        (["run", "--plugin", "no.py"], "plug-in no.py: no such file"),
        (
            ["report", "nowhere"],
            "nowhere: no such folder. Expected a results folder. Try `intelbench run --all --out no",
        ),
        (["report", "."], ".: no record in it. Expected a results folder, with runs/ in it. Try `intelbench run --all"),
        (["diff", ".", "nowhere"], ".: no record in it. Expected a results folder"),
        (
            ["verify", "nowhere"],
            "nowhere: no such folder. Expected one with record.json in it. Try `intelbench verify res",
        ),
        (
            ["verify", "."],
            ".: not the folder of a run. Expected one with record.json in it. Try `intelbench verify res",
        ),
        (
            ["report", "--out", "report.xml"],
            "--out 'report.xml': unknown format. Expected a name that ends in .md, .html, .json",
        ),
        (["run", "--sedes", "1"], "No such option '--sedes'"),
        (["run", "--seeds"], "'--seeds' requires an argument. Try 'intelbench"),
        (["data", "check", "nowhere"], "data nowhere: no such folder"),
        (["rnu"], "No such command"),
        (["run", "--on", ""], "intelbench: --on '': empty. Expected a name"),
        (["run", "--metric", ""], "intelbench: --metric '': empty. Expected a name"),
        (["publish", "--to", "csv", "--out", "a" * 300], "intelbench: --out 'aaa"),
        (["publish", "--to", "card", "--out", ""], "--out '': empty. Expected a file, a folder or an address"),
        (["run", "--precision", "fp8"], "intelbench: --precision 'fp8': not accepted. Expected one of: auto, fp32, "),
    ],
)
def test_a_mistake_is_answered_in_words(intelbench: Command, arguments: list[str], said: str) -> None:
    """Status 2, what was wrong, and never a traceback."""
    done = intelbench(*arguments)
    assert 2 == done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "" == done.stdout
    assert "\x1b" not in done.stderr
    assert 1 == done.stderr.count("\n")
    assert len(done.stderr) < 2000


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--seeds", "1" + "0" * 30, "Expected whole numbers from 0 to 9,223,372,036,854,775,807"),
        ("--seeds", "1" * 5000, "is no seed and no range of seeds"),
        ("--seeds", ",", "--seeds ',': '' is no seed and no range of seeds"),
        ("--images-per-class", "10,al", "'10,al': not accepted. Expected whole numbers of at least 1, or `all`"),
        ("--budget", "0 steps", "--budget '0 steps': not a budget. Expected, in steps, a whole number from 1 to "),
        ("--budget", "1e400 s", "not a budget. Expected, in seconds, a number above 0 and at most 1,000,000,000"),
        ("--timeout", "soon", "--timeout 'soon': not a time. Expected a number and a unit"),
        (
            "--threads",
            "1" + "0" * 12,
            "--threads '1000000000000': not accepted. Expected a whole number from 1 to 1,024",
        ),
        ("--data", "\x1b[31m", "data: '\\x1b[31m' is not accepted. Expected text"),
    ],
)
def test_absurd_values_are_refused_before_anything_is_done(option: str, value: str, said: str, tmp_path: Path) -> None:
    """With the option, the beginning of the value, and what is accepted."""
    done = CliRunner().invoke(cli, ["run", option, value, "--out", str(tmp_path)], standalone_mode=False)
    assert isinstance(done.exception, UserError | click.BadParameter), done.exc_info
    assert said in str(done.exception)
    assert len(str(done.exception)) < 1500


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """Where `run` and `profile` leave their requests, instead of carrying them out; in an empty folder."""
    requests: list[object] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forkserver, "starter", nullcontext)
    monkeypatch.setattr(session, "run_session", lambda request, _: requests.append(request))
    profiled = SimpleNamespace(incomplete={})
    monkeypatch.setattr(profiling, "profile", lambda request, on_architecture: requests.append(request) or profiled)
    monkeypatch.setattr(profile_text, "as_markdown", lambda found: "")
    return requests


texts = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"-?[0-9]{1,25}(,[0-9]{1,25}){0,3}", fullmatch=True),
    st.from_regex(r"[0-9.]{1,9}(e[0-9]{1,4})? ?(s|steps|epochs|flops)", fullmatch=True),
    st.from_regex(r"[0-9]{1,400}(\.[0-9]{1,9})?[kMGT]?i?B", fullmatch=True),
    st.sampled_from(["nan", "inf", "-1", "1e999", "0", "--", "", "quick", "1" * 5000]),
)
OPTIONS = {
    "run": [
        "--suite",
        "--seeds",
        "--budget",
        "--image-size",
        "--images-per-class",
        "--vary",
        "--timeout",
        "--memory-limit",
        "--checkpoint",
        "--threads",
        "--workers",
        "--data",
        "--device",
        "--out",
    ],
    "profile": ["--batch-sizes", "--memory", "--image-size", "--classes", "--precision", "--optimizer"],
}


@pytest.mark.parametrize("command", list(OPTIONS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_of_any_option_is_taken_or_refused(
    command: str, unreachable: list[object], data: st.DataObject
) -> None:
    """A request that holds numbers within their bounds, or a `UserError`, or click's; nothing else escapes."""
    given_options = data.draw(st.dictionaries(st.sampled_from(OPTIONS[command]), texts, max_size=3))
    arguments = [command, "resnet101", *(part for pair in given_options.items() for part in pair)]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert done.exception is None or isinstance(done.exception, UserError | click.ClickException), done.exc_info
    for request in unreachable:
        if isinstance(request, RunRequest):
            assert request.timeout_seconds is None or 0 < request.timeout_seconds <= 2_000_000
            assert request.memory_limit_bytes is None or 0 < request.memory_limit_bytes
            assert all(0 <= seed < 2**63 for seed in request.seeds or ())
        if isinstance(request, ProfileRequest):
            msgspec.convert(msgspec.to_builtins(request.conditions), Conditions)
            assert all(1 <= size <= 65_536 for size in request.batch_sizes)
    unreachable.clear()


ALL_OPTIONS = {
    "start": "--out --force --offline --device --plugin --cache-dir",
    "run": "--all --suite --seeds --until --margin --metric --spending --at-most --budget --image-size --precision "
    "--images-per-class --vary --data --skip-unreadable "
    "--no-cache --cache-dir --device --gpus --threads --workers --on --shared-clock --timeout --memory-limit "
    "--prepare --track --out --keep-weights --rerun --checkpoint --plugin",
    "work": "--run --on --track",
    "report": "--out --claims --full --predictions --images --metric --margin --plugin --cache-dir",
    "predict": "--architecture --out --device --margin --plugin",
    "publish": "--to --out --architecture --margin --plugin",
    "plan": "--metric --margin --plugin",
    "diff": "--gate --plugin --format",
    "verify": "--steps --tolerance --data --plugin --cache-dir",
    "profile": "--all --image-size --classes --plugin --batch-sizes --precision --optimizer --frozen --memory --format",
    "list": "--pretrained --max-params --max-gmacs --licence --cache-dir --format",
    "data check": "--suite --plugin --cache-dir",
}


def test_the_options_of_each_command_are_these() -> None:
    """An option is added or removed on purpose, together with its documentation."""
    found = {
        " ".join(words): " ".join(param.opts[0] for param in command.params if isinstance(param, click.Option))
        for words, command in commands_of(cli)
        if not isinstance(command, click.Group)
    }
    assert ALL_OPTIONS == found


def test_help_lists_options_in_groups() -> None:
    """A reader finds the options of one topic together."""
    text = CliRunner().invoke(cli, ["run", "--help"]).output
    headings = [line.rstrip(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert ["Comparison", "Data", "Machine", "Runs and records", "Options"] == headings
    assert text.index("--seeds") < text.index("Data:") < text.index("--skip-unreadable") < text.index("Machine:")


def test_a_reader_that_stops_reading_is_not_complained_of() -> None:
    """As `head` in `intelbench list | head -0`."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "intelbench", "list"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (1, "") == (done.returncode, done.stderr)


def test_what_is_printed_does_not_depend_on_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """UTF-8 everywhere: a report has signs that others lack."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr("intelbench.cli.main.cli", lambda **_: click.echo("−2 – 3"))
    with pytest.raises(SystemExit):
        main()
    assert "−2 – 3\n".encode() == written.getvalue()


def test_an_architecture_that_needs_larger_images_is_refused_before_anything_runs(
    intelbench: Command, tmp_path: Path
) -> None:
    """Inception-v3 at 32 px: the name, both sizes, and no record."""
    write_folder(tmp_path / "data")
    suite = tmp_path / "small.toml"
    suite.write_text(
        'name = "s"\narchitectures = ["inception_v3"]\nseeds = [0]\nimage_size = 32\n'
        "[budget]\nsteps = 1\n[recipe]\nbatch_size = 2\n"
    )
    done = intelbench("run", "--suite", suite, "--data", "data")
    assert 2 == done.returncode
    assert "'inception_v3' needs images of at least 75 px; these have 32 px" in done.stderr
    assert not (tmp_path / "results").exists()


def test_profile_prints_a_table(intelbench: Command, plugin: Path) -> None:
    """Of a network of one's own, on stdout; what is going on, on stderr."""
    done = intelbench("profile", "tiny", "--plugin", str(plugin), "--image-size", "32", "--batch-sizes", "4,8")
    assert "| tiny " in done.stdout
    assert "Peak, batch 8" in done.stdout
    assert "profiling tiny" in done.stderr


def test_a_network_that_cannot_be_profiled_is_a_failure(tmp_path: Path, intelbench: Command) -> None:
    """Even if its parameters can be counted: the reason is on stderr, and the exit status is 1."""
    (tmp_path / "odd.py").write_text(
        "from intelbench import architecture\nfrom torch import nn\n\n\nclass Odd(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.head = nn.Linear(3, 6)\n\n"
        "    def forward(self, images):\n        images = -images if images.sum() > 0 else images\n"
        "        return self.head(images.mean((2, 3)))"
        '\n\n\n@architecture("odd")\ndef odd(request):\n    return Odd()\n'
    )
    done = intelbench("profile", "odd", "--plugin", "odd.py", "--image-size", "32", "--batch-sizes", "4")
    assert 1 == done.returncode, done.stderr
    assert "odd cannot be profiled: the network cannot be traced: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give architecture names, or --all"),
        (["resnet101", "--all"], "give architecture names, or --all"),
        (
            ["resnet101", "--batch-sizes", "8,x"],
            "--batch-sizes '8,x': not accepted. Expected whole numbers from 1 to 65,536",
        ),
        (["resnet101", "--memory", "0"], "--memory '0': not a size. Expected a number above 0 and a unit"),
        (["resnet10"], "Try resnet101"),
    ],
)
def test_mistakes_in_profile_are_named(intelbench: Command, arguments: list[str], message: str) -> None:
    """In a line on stderr."""
    done = intelbench("profile", *arguments)
    assert 2 == done.returncode
    assert message in done.stderr


@pytest.mark.parametrize("command", ["start", "run", "work", "report", "predict"])
@pytest.mark.parametrize(("number", "status", "by"), [(signal.SIGTERM, 75, "SIGTERM"), (signal.SIGINT, 130, "Ctrl-C")])
def test_a_command_that_is_stopped_says_so(
    command: str,
    number: int,
    status: int,
    by: str,
    tmp_path: Path,
    intelbench: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At any moment, such as its first."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, as do its children
    file = tmp_path / "study"
    file.touch()
    given = {"run": [], "work": [file], "predict": [tmp_path, tmp_path]}.get(command, [tmp_path])
    monkeypatch.setattr(cli.commands[command], "callback", lambda **_: os.kill(os.getpid(), number))
    done = intelbench(command, *given)
    assert (status, f"intelbench: stopped by {by}") == (done.returncode, done.stderr.strip())
