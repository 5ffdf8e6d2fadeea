"""Nothing around a command reaches its results: working directory, variables of the environment, operating system."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import PLUGIN, REPOSITORY
from tests.reading import read_runs
from tests.synthetic import Study, synthetic_runs

NAMES = ("random", "queue", "torch", "profile", "pickle", "numpy", "socket", "click", "runpy")
HOSTILE = "import pathlib\npathlib.Path(r'{}').write_text(__name__)\nraise ValueError('shadows')\n"
SPAWNS = '''

import multiprocessing


class Spawns(nn.Module):
    """Starts a process when it is built on real tensors."""

    def __init__(self, request):
        super().__init__()
        self.inner = network(request)
        if next(self.inner.parameters()).device.type == "cpu":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                assert 4 == pool.apply(int, ("4",))

    def forward(self, images):
        return self.inner(images)


architecture("spawns", minimum_size=16)(Spawns)
'''
HIDDEN = """
import json, os, signal, sys, warnings
import psutil  # which on Linux needs `resource`, and on Windows does not
warnings.filterwarnings("ignore", "only soft file lock")  # filelock has a lock for Windows, and none for this system
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "killpg", "setsid", "getpgrp", "sched_getaffinity"):
    delattr(os, name)
for name in ("O_NONBLOCK", "O_NOCTTY", "O_DIRECTORY"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGALRM"):
    delattr(signal, name)
from intelbench.cli.main import main
statuses = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["intelbench", *arguments]
    try:
        main()
    except SystemExit as ended:
        statuses.append(ended.code or 0)
print(statuses, file=sys.stderr)
"""
"""Commands, one after the other, on a system without what Windows lacks; the last line on stderr has their statuses."""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with modules that nobody is to import, and that leave a note if somebody does."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(HOSTILE.format(tmp_path / "executed"))
    return folder


def called(folder: Path, arguments: list[str | Path], **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Call Python in a folder."""
    environment = {**os.environ, "INTELBENCH_CACHE": str(folder.parent / "cache"), **variables}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, timeout=300, check=False
    )


def test_a_run_imports_nothing_from_the_working_directory(
    tmp_path: Path, hostile: Path, small_folder: Path, small_suite: Path
) -> None:
    """No process of it, and none that a network starts with `multiprocessing`; the installed version is what trains."""
    (hostile / "intelbench").mkdir()
    (hostile / "intelbench" / "__init__.py").write_text(HOSTILE.format(tmp_path / "executed"))
    (tmp_path / "spawns.py").write_text(PLUGIN + SPAWNS)
    arguments = ["spawns", "--plugin", tmp_path / "spawns.py", "--suite", small_suite, "--data", small_folder]
    done = called(hostile, ["-P", "-m", "intelbench", "run", *arguments, "--threads", "1"])
    assert not (tmp_path / "executed").exists(), done.stderr.decode()
    assert 0 == done.returncode, done.stderr.decode()
    ((stored,), problems) = read_runs(hostile / "results" / "runs")
    assert [] == problems
    assert stored.record.failure is None


def test_a_report_imports_nothing_from_the_working_directory(tmp_path: Path, hostile: Path) -> None:
    """As `python -m intelbench`, where other processes read the records and start with an empty memory, and where an
    empty part of PYTHONPATH names the working directory.
    """
    synthetic_runs(hostile / "results" / "runs", ["a", "b"], range(3), Study())
    program = (
        "from types import SimpleNamespace; from intelbench.results import processes, study; "
        "processes.sys = SimpleNamespace(platform='darwin'); study._MANY = 2; study._CHUNK = 2; "
        "from intelbench.cli.main import main; main()"
    )
    command = "from intelbench.launch import main; main()"
    for start, path in (
        (["-m", "intelbench"], ""), (["-P", "-c", program], ""), (["-P", "-c", command], f"{os.pathsep}nowhere")
    ):  # fmt: skip
        done = called(hostile, [*start, "report"], PYTHONPATH=path)
        assert not (tmp_path / "executed").exists(), done.stderr.decode()
        assert 0 == done.returncode, done.stderr.decode()
        assert done.stdout.startswith(b"# ")


def test_importing_the_package_imports_nothing_else() -> None:
    """So `python -m intelbench` can leave the working directory out before anything is imported from it."""
    code = "import sys; before = set(sys.modules); import intelbench; print(sorted(set(sys.modules) - before))"
    assert b"['intelbench']\n" == called(REPOSITORY, ["-c", code]).stdout


REPORT = ["report", "--full", "results"]


def output(folder: Path, done: subprocess.CompletedProcess[bytes], errors: bytes = b"") -> dict[str, bytes]:
    """What a report on the records of a folder has printed and written."""
    assert (0, errors) == (done.returncode, done.stderr), done.stderr.decode()
    figures = {path.name: path.read_bytes() for path in (folder / "results" / "figures").iterdir()}
    assert len(figures) > 4
    return {"stdout": done.stdout, **figures}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The output of a report on two architectures in the environment of the tests."""
    folder = tmp_path_factory.mktemp("expected")
    synthetic_runs(folder / "results" / "runs", ["a", "b"], range(3), Study())
    return output(folder, called(folder, ["-P", "-m", "intelbench", *REPORT]))


@pytest.mark.parametrize(
    "variables",
    [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"},
        {"MATPLOTLIBRC": "mine", "LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        {
            "LC_ALL": "C",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONOPTIMIZE": "2",
            "COLUMNS": "20",
            "OPENBLAS_NUM_THREADS": "4",
        },
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_a_report_is_the_same_bytes_in_every_environment(
    tmp_path: Path, variables: Mapping[str, str], expected: dict[str, bytes]
) -> None:
    """Text and figures, whatever backend, locale, style, hash seed or time zone; with a `matplotlibrc` in the way."""
    synthetic_runs(tmp_path / "results" / "runs", ["a", "b"], range(3), Study())
    style = "font.size: 30\nsvg.hashsalt: other\naxes.formatter.use_locale: True\nfigure.facecolor: red\n"
    (tmp_path / "mine").write_text(style)
    for content in (style.encode(), b"\xff\xfe"):
        (tmp_path / "matplotlibrc").write_bytes(content)
        assert expected == output(tmp_path, called(tmp_path, ["-P", "-m", "intelbench", *REPORT], **variables))


def test_what_only_reads_works_without_what_windows_lacks(tmp_path: Path, expected: dict[str, bytes]) -> None:
    """No `fcntl`, `fork` or groups of processes: the same report, byte for byte, and every other reading command."""
    synthetic_runs(tmp_path / "results" / "runs", ["a", "b"], range(3), Study())
    assert expected == output(tmp_path, called(tmp_path, ["-c", HIDDEN, json.dumps([REPORT])]), b"[0]\n")
    commands = (
        ["report", "--out", "page.html"],
        ["diff", "results", "results"],
        ["list"],
        ["profile", "resnet101", "--image-size", "32", "--batch-sizes", "2", "--memory", "8GB"],
    )
    done = called(tmp_path, ["-c", HIDDEN, json.dumps(commands)])
    assert b"[0, 0, 0, 0]" == done.stderr.splitlines()[-1], done.stderr.decode()


def test_what_needs_processes_says_so_in_one_line(tmp_path: Path) -> None:
    """Before any data is read."""
    (tmp_path / "record").mkdir()
    commands = (["run", "--data", "nowhere"], ["verify", "record"])
    *lines, statuses = called(tmp_path, ["-c", HIDDEN, json.dumps(commands)]).stderr.decode().splitlines()
    assert "[2, 2]" == statuses
    for arguments, line in zip(commands, lines, strict=True):
        assert line.startswith(f"intelbench: intelbench {arguments[0]}: ")
        assert "report, compare, list and profile work here" in line
