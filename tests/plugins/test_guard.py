"""Code of others leaves the process as it was. Real processes, whose streams are nobody else's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from intelbench.orchestration.listeners import RunListener
from intelbench.plugins.guard import require_methods
from intelbench.profiling.meters import Meter

FRAME = """
import os, subprocess, sys, threading, time
from intelbench.plugins.guard import preserve_process_state
print("before")
try:
    with preserve_process_state():
        {code}
except Exception as error:
    print(type(error).__name__)
print("after", os.getcwd() == {folder!r}, os.environ.get("MARK"))
print("said", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("code", "printed", "said"),
    [
        ("print('noise'); os.write(1, b'raw\\n'); subprocess.run(['echo', 'child'])", [], ["noise", "raw", "child"]),
        ("print('noise', file=sys.stderr)", [], ["noise"]),
        ("sys.stdout.close(); sys.stderr.close(); sys.stdin.close()", [], []),
        ("os.closerange(0, 3)", [], []),
        ("os.close(1); open(os.devnull)", [], []),
        ("sys.stdout = sys.stderr = None", [], []),
        ("os.chdir('/'); os.environ['MARK'] = '1'", [], []),
        ("1 / 0", ["ZeroDivisionError"], []),
        ("os.fork(); time.sleep(0.1)", [], []),
        ("os.fork() or sys.exit('as a copy')", [], []),
    ],
)
def test_streams_folder_and_variables_are_put_back(
    tmp_path: Path, code: str, printed: list[str], said: list[str]
) -> None:
    """What is printed inside goes to stderr; what follows happens once, with the streams as they were."""
    done = subprocess.run(
        [sys.executable, "-c", FRAME.format(code=code, folder=str(tmp_path))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ["before", *printed, "after True None"] == done.stdout.splitlines()
    assert [*said, "said"] == done.stderr.splitlines()


def test_what_a_plugin_makes_has_all_methods() -> None:
    """The message names those that are missing, and all that are expected."""

    class Deaf:
        def start(self) -> None:
            return None

    require_methods(RunListener(), RunListener)
    with pytest.raises(
        TypeError, match=r"^Deaf has no step, read, resume_at. Expected the methods start, step, read, "
    ):
        require_methods(Deaf(), Meter)


def test_a_process_without_standard_streams_is_left_without_them(tmp_path: Path) -> None:
    """As a service may be started: there is nothing to put back, and nothing fails."""
    code = (
        "import os\nfrom intelbench.plugins.guard import preserve_process_state\nos.close(0)\n"
        f"with preserve_process_state():\n    pass\nopen({str(tmp_path / 'done')!r}, 'w').close()\n"
    )
    subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, timeout=60, check=True)
    assert (tmp_path / "done").exists()
