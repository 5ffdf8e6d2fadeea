"""The commands and the manifest of docs/cluster.md reach workers as they should; no cluster here."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from intelbench.cli.run import run
from intelbench.cli.work import work
from tests.command import REPOSITORY

PAGE = (REPOSITORY / "docs" / "cluster.md").read_text("utf-8")
STUDY = "/shared/results/studies/3f2a91c0d4.json"
STAND_INS = {
    "ssh": 'shift; sh -c "$*\nwait"',
    "qsub": """script=$(cat)
while [ "$1" != "-J" ]; do shift; done
for PBS_ARRAY_INDEX in $(seq ${2%-*} ${2#*-}); do export PBS_ARRAY_INDEX; sh -c "$script"; done""",
    "sky": 'while [ $# -gt 1 ]; do shift; done; exec sh -c "$1"',
    "intelbench": 'echo "$*" >> "$CALLS"',
}


def commands(heading: str) -> Iterator[str]:
    """Yield the indented lines of a section of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    yield from re.findall(r"^    (\S.*)$", section.partition("```")[0], re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "calls"),
    [
        ("Hosts by ssh", ["work " + STUDY] * 2),
        ("PBS", [f"work {STUDY} --run {number}" for number in range(40)]),
        ("SkyPilot", ["work " + STUDY]),
    ],
)
def test_a_scheduler_starts_workers(tmp_path: Path, heading: str, calls: list[str]) -> None:
    """Stand-ins of their commands execute what they are given, in a shell as theirs; `intelbench` accepts it."""
    for name, script in STAND_INS.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    made = tmp_path / "calls"
    made.touch()
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(made)}
    [command] = commands(heading)
    command = command.replace("/shared/$host.log", f"{tmp_path}/$host.log")
    subprocess.run(["bash", "-c", f"{command}; wait"], env=variables, check=True, capture_output=True, timeout=60)
    assert calls == made.read_text().splitlines()


def test_the_page_begins_with_two_commands() -> None:
    """With options that they have."""
    prepare, worker = re.findall(r"^    intelbench (\S.*)$", PAGE.partition("\n## ")[0], re.MULTILINE)
    known = {option for parameter in run.params for option in parameter.opts}
    words = prepare.split()
    assert "run" == words[0]
    assert {word for word in words if word.startswith("--")} <= known
    assert ["work", STUDY] == worker.split()


def test_the_manifest_is_an_indexed_job() -> None:
    """Each index is a run; evicted pods are not counted, failed runs not repeated, and a checkpoint has its time."""
    job = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])
    assert ("batch/v1", "Job") == (job["apiVersion"], job["kind"])
    spec = job["spec"]
    assert "Indexed" == spec["completionMode"]
    assert 1 <= spec["parallelism"] <= spec["completions"]
    assert spec["backoffLimitPerIndex"] >= 1
    ignored, stopped, failed = spec["podFailurePolicy"]["rules"]
    assert {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]} == ignored
    assert {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}} == stopped
    assert {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1, 2]}} == failed
    pod = spec["template"]["spec"]
    assert ("Never", 60) == (pod["restartPolicy"], pod["terminationGracePeriodSeconds"])
    [container] = pod["containers"]
    assert ["sh", "-c"] == container["command"]
    words = container["args"][0].replace("$JOB_COMPLETION_INDEX", "3").split()
    assert ["exec", "intelbench", "work", STUDY, "--run", "3"] == words
    context = work.make_context("work", ["--run", "3", str(REPOSITORY / "zensical.toml")])
    assert "3" == context.params["run"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
