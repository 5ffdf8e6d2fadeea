"""A plug-in file adds a data source, whose images are trained on as those of a folder are."""

import base64
import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from intelbench.data.sources import SOURCES, locate, source
from intelbench.errors import UserError
from intelbench.plugins.providers import provider_of_file
from tests.command import Command
from tests.reading import read_runs

PLUGIN = Path(__file__).with_name("source.py")
PROVIDER = provider_of_file(PLUGIN.name, PLUGIN.read_bytes(), {})
Item = tuple[str, str, str]


def write_table(table: Path, folder: Path) -> None:
    """Put the images of a folder into a table."""
    with table.open("w", newline="") as file:
        for image in sorted(folder.rglob("*.png")):
            split, label, _ = image.relative_to(folder).parts
            csv.writer(file).writerow([base64.b64encode(image.read_bytes()).decode(), label, split])


def test_a_plugin_adds_a_data_source(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """By its name and by the suffix of a file; each run has the images of the folder that the table was made of."""
    write_table(tmp_path / "colours.csv", small_folder)
    arguments = ("--suite", small_suite, "--plugin", plugin, "--plugin", PLUGIN)
    facts = []
    for data in ("table:colours.csv", "colours.csv"):
        done = intelbench("run", "tiny", *arguments, "--data", data, "--out", f"of {data}")
        assert 0 == done.returncode, done.stderr
        ((stored,), _) = read_runs(tmp_path / f"of {data}" / "runs")
        assert stored.record.failure is None
        facts.append(stored.record.spec.data)
        report = intelbench("report", f"of {data}", "--plugin", plugin).stdout
        assert "--plugin source.py" in report.partition("How to reproduce")[2]
        assert {"train/day", "train/night"} == {each.rpartition("/")[0] for each in stored.traces()["train_ids"]}
        done = intelbench("verify", stored.path, "--plugin", plugin)
        assert 2 == done.returncode
        assert f"data {data}: read by plug-in source.py, which is not loaded. Try --plugin" in done.stderr
        done = intelbench("verify", stored.path, "--plugin", plugin, "--plugin", PLUGIN)
        assert 0 == done.returncode, done.stderr
    assert ["table:colours.csv", "colours.csv"] == [each.source for each in facts]
    assert {PROVIDER} == {each.provider for each in facts}
    assert facts[0].digest == facts[1].digest
    assert (("day", "night"), 38, 10, 48) == (
        facts[0].class_names, facts[0].num_train, facts[0].num_validation, facts[0].num_test
    )  # fmt: skip
    done = intelbench("data", "check", "table:colours.csv", "--plugin", PLUGIN)
    assert 0 == done.returncode, done.stderr
    assert "day" in done.stdout


class Listed:
    """A source of the given images, whose bytes are their ids."""

    def __init__(self, *items: Item, fingerprint: str = "1") -> None:
        self._items = items
        self._fingerprint = fingerprint
        self.reads = 0

    def images(self) -> tuple[Item, ...]:
        """List the images."""
        return self._items

    def read(self, image_id: str) -> bytes:
        """Return the bytes."""
        self.reads += 1
        return image_id.encode()

    def fingerprint(self) -> str:
        """Return the one that was given."""
        return self._fingerprint


@pytest.fixture
def add() -> Callable[[Listed], Listed]:
    """Register a source as `listed`."""

    def register(made: Listed) -> Listed:
        SOURCES.entries.pop("listed", None)
        source("listed")(lambda _: made)
        return made

    return register


def test_a_source_is_copied_once(tmp_path: Path, add: Callable[[Listed], Listed]) -> None:
    """Again where the copy was changed, which is said; another fingerprint has another copy."""
    items = (("a.png", "day", "train"), ("b/c.JPG", "night", "test"))
    made = add(Listed(*items))
    root, notes = locate("listed:x", tmp_path)
    assert (b"a.png", b"b/c.JPG", ()) == (
        (root / "train" / "day" / "a.png").read_bytes(), (root / "test" / "night" / "b" / "c.JPG").read_bytes(), notes
    )  # fmt: skip
    assert (root, ()) == locate("listed:x", tmp_path)
    assert 2 == made.reads
    (root / "train" / "day" / "a.png").write_bytes(b"changed")
    assert (root, (f"cache {root}: was changed; made again",)) == locate("listed:x", tmp_path)
    assert 4 == made.reads
    add(Listed(*items, fingerprint="2"))
    assert root != locate("listed:x", tmp_path)[0]


@pytest.mark.parametrize(
    "item",
    [
        ("../a.png", "day", "train"), ("/a.png", "day", "train"), ("a.txt", "day", "train"), (".a.png", "day", "train"),
        ("a.png", "day/../..", "train"), ("a.png", "..", "train"), ("a.png", "", "train"), ("a.png", "day", "tests"),
        ("a\0.png", "day", "train"), ("ok.png", "day", "train"),
    ],
)  # fmt: skip
def test_an_image_that_leads_elsewhere_is_refused(tmp_path: Path, add: Callable[[Listed], Listed], item: Item) -> None:
    """Or is no image by its name, or is listed twice; nothing is written."""
    add(Listed(("ok.png", "day", "train"), item))
    with pytest.raises(UserError, match=r"data listed:x: .* is not usable as SPLIT/CLASS/ID"):
        locate("listed:x", tmp_path)
    assert [] == list(tmp_path.rglob("*.png"))


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, add: Callable[[Listed], Listed]) -> None:
    """With the source and the error; no part of the copy is left."""

    class Unreadable(Listed):
        def read(self, image_id: str) -> bytes:
            raise OSError("gone")

    add(Unreadable(("a.png", "day", "train")))
    with pytest.raises(UserError, match=r"data listed:x: a.png cannot be read: failed with OSError: gone"):
        locate("listed:x", tmp_path)
    assert [] == list((tmp_path / "sources").iterdir())


def test_a_fingerprint_that_is_no_name_is_refused(tmp_path: Path, add: Callable[[Listed], Listed]) -> None:
    """It is the name of a folder."""
    add(Listed(fingerprint="../x"))
    with pytest.raises(UserError, match=r"data listed:x: the fingerprint is '../x'\. Expected"):
        locate("listed:x", tmp_path)


def test_a_folder_may_be_named_like_the_kind(tmp_path: Path) -> None:
    """Only a colon makes it the name of the kind."""
    assert (Path("folder"), ()) == locate("folder", tmp_path)
    assert (Path("some/folder"), ()) == locate("folder:some/folder", tmp_path)
