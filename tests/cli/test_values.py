"""What people type is read as they mean it, or refused in one line that says what is accepted."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from intelbench.cli import values
from intelbench.cli.values import FILE, FOLDER, Value
from intelbench.config.bounds import device_name
from intelbench.config.budget import Budget
from intelbench.errors import UserError

ABSURD = (
    "",
    "  ",
    "-1",
    "nan",
    "inf",
    "1e999",
    "٣",
    "²",
    "x",
    "x" * 5000,
    "1" * 5000,
    "1,,2",
    "0x10",
    "bad\udcff",
    "\x1b[31m",
)
LISTS = values.whole_numbers(1, 100)


def read(kind: click.ParamType[Any], text: str) -> Any:
    """The value that an option `--option TEXT` has."""
    values: list[Any] = []

    @click.command()
    @click.option("--option", type=kind)
    def command(option: Any) -> None:
        values.append(option)

    command(["--option", text], standalone_mode=False)
    return values[0]


def refused(kind: click.ParamType[Any], text: str) -> str:
    """Why it is refused; the message begins with the option and the text, which are left out here."""
    with pytest.raises(UserError) as caught:
        read(kind, text)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 800
    start = f"--option {values.shortened(repr(text))}: "
    assert message.startswith(start)
    return message.removeprefix(start)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.seeds, "0", (0,)),
        (values.seeds, "0,1,2", (0, 1, 2)),
        (values.seeds, "0-2", (0, 1, 2)),
        (values.seeds, "0,3-5", (0, 3, 4, 5)),
        (values.seeds, " 7 - 8 , 2 ", (7, 8, 2)),
        (values.seeds, "4-4", (4,)),
        (values.seeds, f"{2**63 - 1}", (2**63 - 1,)),
        (values.duration, "1.5 min", 90.0),
        (values.duration, "0.5 s", 0.5),
        (values.duration, ".5 h", 1800.0),
        (values.duration, "90 s", 90.0),
        (values.duration, "10 min", 600.0),
        (values.duration, "1 h", 3600.0),
        (values.duration, "2e6 s", 2_000_000.0),
        (values.checkpoint_time, "10 min", 600.0),
        (values.checkpoint_time, "90 s", 90.0),
        (values.checkpoint_time, "never", "never"),
        (values.budget_or_share, "10 %", 0.1),
        (values.budget_or_share, "100%", 1.0),
        (values.budget_or_share, "5 min", Budget(seconds=300)),
        (values.byte_count, "8GB", 8 * 10**9),
        (values.byte_count, "7.5 GiB", int(7.5 * 2**30)),
        (values.whole_gigabytes, "8GB, 1 TB", (8, 1000)),
        (values.images_per_class, "10,all", (10, "all")),
        (values.vary, "all, init", ("all", "init")),
        (values.number, "0", 0.0),
        (values.number, "1e-3", 0.001),
        (LISTS, "8, 32", (8, 32)),
        (values.whole_number(0, 9), " 7\n", 7),
    ],
)
def test_what_people_type_is_read(parse: Callable[[str], Any], text: str, value: Any) -> None:
    """Ranges, units and spaces."""
    found = read(Value(parse), text)
    assert (value, type(value)) == (found, type(found))


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (values.seeds, "5-3", "the range 5-3 goes down. Try 3-5"),
        (values.seeds, "0-1000000000", "1,000,000,001 seeds. Expected at most 10,000. Try 0-2"),
        (values.seeds, f"0-{2**63 - 1}", "9,223,372,036,854,775,808 seeds. Expected at most 10,000. Try 0-2"),
        (values.seeds, "1,0-2", "1 is given more than once. Expected each value once"),
        (values.seeds, "1-", "'1-' is no seed and no range of seeds. Expected whole numbers from 0 to "),
        (values.seeds, "0-1-2", "'0-1-2' is no seed and no range of seeds. "),
        (values.seeds, f"{2**63}", f"'{2**63}' is no seed and no range of seeds. "),
        (
            values.duration,
            "0",
            "not a time. Expected a number and a unit, more than 0 and at most 2,000,000 seconds. Try",
        ),
        (values.duration, "0 min", "not a time. "),
        (values.duration, "2000001 s", "not a time. "),
        (values.duration, "90", "not a time. Expected a number and a unit"),
        (values.whole_gigabytes, "8", "not a size. "),
        (values.whole_gigabytes, "8GB,500MB", "'500MB' is not accepted. Expected a whole number of gigabytes"),
        (values.whole_gigabytes, "8GB,8 gb", "8 is given more than once. "),
        (values.duration, "600 h", "not a time. "),
        (values.duration, "3 steps", "not a time. "),
        (values.checkpoint_time, "3 steps", "not a time. "),
        (values.budget_or_share, "0 steps", "not a budget. Expected, in steps, a whole number from 1 to 9,007,"),
        (
            values.budget_or_share,
            "90",
            "not a budget. Expected a positive number and a unit. Try '60 s'",
        ),
        (
            values.budget_or_share,
            "0 %",
            "not a share of the suite's budget. Expected more than 0 % and at most 100 %.",
        ),
        (values.budget_or_share, "101 %", "not a share of the suite's budget. "),
        (values.budget_or_share, "ten %", "not a share of the suite's budget. "),
        (values.byte_count, "8", "not a size. Expected a number above 0 and a unit. Try 8GB, 500MB or 7.5GiB"),
        (values.byte_count, "0GB", "not a size. "),
        (values.byte_count, "0.1 B", "not a size. "),
        (
            values.images_per_class,
            "0",
            "not accepted. Expected whole numbers of at least 1, or `all`. Try 10,50,200,all",
        ),
        (values.images_per_class, "5,all,5", "5 is given more than once. "),
        (
            values.vary,
            "init,ordr",
            "'ordr' is not accepted. Expected one of: all, init, order, augment, dropout, split. Try `order`",
        ),
        (values.vary, "init,init", "init is given more than once. "),
        (LISTS, "8,8", "8 is given more than once. "),
        (LISTS, "0", "not accepted. Expected whole numbers from 1 to 100 with commas between them. Try 8,16"),
        (values.whole_number(1, 9), "10", "not accepted. Expected a whole number from 1 to 9"),
        (values.gate, "speed:1", "no metric 'speed'. Expected one of: test_accuracy, "),
        (
            values.gate,
            "test_accuracy:nan",
            "the margin 'nan' is not accepted. Expected a number of at least 0. Try test_accuracy:0.01",
        ),
    ],
)
def test_what_is_not_accepted_is_said(parse: Callable[[str], Any], text: str, said: str) -> None:
    """With what is expected, and what to try."""
    assert refused(Value(parse), text).startswith(said)


@pytest.mark.parametrize(
    "parse",
    [
        values.seeds, values.duration, values.checkpoint_time, values.budget_or_share, values.byte_count,
        values.images_per_class, values.vary, values.number, values.gate, LISTS, values.whole_number(0, 9),
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", ABSURD, ids=lambda text: repr(text)[:20])
def test_absurd_texts_are_refused_in_the_projects_own_words(parse: Callable[[str], Any], text: str) -> None:
    """No message of `int`, `float` or msgspec is passed on."""
    said = refused(Value(parse), text)
    assert "Expected " in said or "more than once" in said
    assert not re.search(r"invalid literal|could not convert|digits|Expected `|codec", said)


@given(st.text(max_size=30))
def test_any_text_is_seeds_or_refused(text: str) -> None:
    """Seeds within bounds, each once, as few as are run."""
    try:
        found = values.seeds(text)
    except ValueError:
        return
    assert 0 < len(found) == len(set(found)) <= 10_000
    assert all(0 <= seed < 2**63 for seed in found)


def test_a_path_is_of_a_folder_or_of_a_file(tmp_path: Path) -> None:
    """Nothing, a file for a folder, a folder or a pipe for a file are refused; what does not exist yet is not."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    pipe, file, link, new = (str(tmp_path / name) for name in ("pipe", "file", "link", "new"))
    assert "empty. Expected a folder" == refused(FOLDER, "")
    assert "empty. Expected a file" == refused(FILE, "")
    assert "a file. Expected a folder" == refused(FOLDER, link)
    assert "a pipe or a device. Expected a folder" == refused(FOLDER, pipe)
    assert "a pipe or a device. Expected a file" == refused(FILE, pipe)
    assert "a folder. Expected a file" == refused(FILE, str(tmp_path))
    for text in ("two\nlines", "\x1b[31m", "bad\udcff"):
        assert "holds a character that cannot be printed. Expected a folder" == refused(FOLDER, text)
    assert Path("a\u00a0b ü") == read(FOLDER, "a\u00a0b ü")
    assert [tmp_path, Path(new)] == [read(FOLDER, str(tmp_path)), read(FOLDER, new)]
    assert [Path(file), Path(link), Path(new)] == [read(FILE, text) for text in (file, link, new)]


def test_an_argument_is_named_as_the_help_names_it() -> None:
    """Without the brackets and dots around it."""

    @click.command()
    @click.argument("folder", type=FOLDER, metavar="[RUNS_DIR]")
    def command(folder: Path) -> None:
        raise AssertionError(folder)

    done = CliRunner().invoke(command, [""], standalone_mode=False)
    assert "RUNS_DIR '': empty. Expected a folder" == str(done.exception)


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:0", "cuda:17", "mps"])
def test_a_device_is_a_name(text: str) -> None:
    """With the number of a GPU, if any; whether there is such a device is asked later."""
    assert text == read(Value(device_name), text)


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:-1", "cuda:01", "cuda:1000", "mps:0", "CPU", "cuda:1 "])
def test_what_is_no_device_is_refused(text: str) -> None:
    """With what is one."""
    said = "not a device. Expected auto, cpu, cuda, cuda with a number, or mps. Try cuda:1"
    assert said == refused(Value(device_name), text)
