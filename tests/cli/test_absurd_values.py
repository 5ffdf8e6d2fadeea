"""Whatever is typed is accepted, or refused in one line. Nothing is carried out."""

import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import click
import pytest

from intelbench.cli.main import cli, main
from intelbench.orchestration import catalogue, forkserver, proposal, session, verify
from intelbench.orchestration import profile as profiling
from intelbench.paths import MAX_PATH
from tests.conftest import commands_of


class ReachedError(Exception):
    """What was typed is accepted: the command is carried out."""


def reached(*_: object, **__: object) -> None:
    """In the place of what carries a command out."""
    raise ReachedError


ABSURD = [
    "", "  ", "0", "-1", "1e999", "nan", "text", "٣", "x" * 5000, "x" * 2000 + ".toml", "1" * 5000,
    "1,,2", "no/such", "folder", "file", "pipe", "loop", "file/below", "n" * 300, "bad\udcff", "two\nlines", "\x1b[31m",
    "file.toml", "pipe.toml", "folder.toml",
]  # fmt: skip
PYTHONS_WORDS = r"Traceback|Error:|\[Errno|Expected `|invalid literal|could not convert|codec|NoneType|<class|Usage:"


def typed() -> list[tuple[list[str], str]]:
    """Every command with what it needs, and each of its options and arguments that takes a value."""
    needs = {
        "diff": ["folder", "folder"], "verify": ["folder"], "profile": ["resnet101"], "check": ["folder"],
        "list": ["resnet101"], "start": ["folder"],
    }  # fmt: skip
    found = []
    for words, command in commands_of(cli):
        for param in [] if isinstance(command, click.Group) else command.params:
            if isinstance(param, click.Argument):
                found.append(([*words, *needs.get(words[-1], [])[1:]], "--"))
            elif not param.is_flag and param.opts[0] != "--help":  # type: ignore[attr-defined]
                found.append(([*words, *needs.get(words[-1], [])], param.opts[0]))
    return found


@pytest.mark.parametrize(
    ("words", "option"), typed(), ids=lambda part: "-".join(part) if isinstance(part, list) else part
)
def test_any_absurd_value_is_one_line(
    words: list[str], option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of any option and argument of any command: refused in one line in the project's own words, or accepted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forkserver, "starter", nullcontext)
    monkeypatch.setattr(verify, "prepare", reached)
    monkeypatch.setattr(session, "prepare", reached)
    monkeypatch.setattr(profiling, "_profile", reached)
    monkeypatch.setattr(catalogue, "search", reached)
    monkeypatch.setattr(proposal, "survey", reached)
    for name in ("folder", "folder.toml"):
        (tmp_path / name).mkdir()
    for name in ("pipe", "pipe.toml"):
        os.mkfifo(tmp_path / name)
    for name in ("file", "file.toml"):
        (tmp_path / name).write_text("not TOML")
    (tmp_path / "loop").symlink_to("loop")
    refused = 0
    for text in ABSURD:
        monkeypatch.setattr(sys, "argv", ["intelbench", *words, option, text])
        try:
            main()
        except ReachedError:
            continue
        except SystemExit as ended:
            printed = capsys.readouterr()
            assert 2 == ended.code, (text, printed)
        (line,) = printed.err.splitlines()
        assert line.startswith("intelbench")
        assert line.isprintable()
        assert len(line) < 6000
        assert all(MAX_PATH >= len(repeated) for repeated in re.findall("x+|1+", line)), line
        assert not re.search(PYTHONS_WORDS, line), line
        refused += 1
    assert refused


def test_a_name_that_is_no_text_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it cannot be written down; another text that cannot be encoded is a fault of the program."""

    def fail(name: str) -> None:
        name.encode("utf-8" if "\udcff" in name else "ascii")

    monkeypatch.setattr("intelbench.cli.main.cli", lambda **_: fail("results/bad\udcff"))
    with pytest.raises(SystemExit):
        main()
    assert "intelbench: results/bad\\udcff: not UTF-8. Expected names of files" in capsys.readouterr().err
    monkeypatch.setattr("intelbench.cli.main.cli", lambda **_: fail("ü"))
    with pytest.raises(UnicodeEncodeError):
        main()


def test_what_the_system_refuses_names_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And its reason, without the number that it has for it."""
    monkeypatch.setattr("intelbench.cli.main.cli", lambda **_: (tmp_path / "a").rename(tmp_path / "b" / "c"))
    with pytest.raises(SystemExit):
        main()
    expected = f"{tmp_path}/a and {tmp_path}/b/c: cannot be read or written (No such file or directory)"
    assert f"intelbench: {expected}\n" == capsys.readouterr().err
