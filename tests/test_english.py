"""The words that this project writes: an ML engineer who reads them for the first time understands them."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from intelbench.cli.main import cli
from tests.conftest import REPOSITORY, commands_of

AVOIDED = (
    "mend", "mended", "anew", "beside", "meanwhile", "for want of", "told apart", "held against", "taken for",
    "came of", "goes on", "none is", "shall", "whoever", "likewise", "thereof", "so many", "found out",
)  # fmt: skip
"""Words and phrases that read oddly in technical English, or have a plainer equivalent."""
FOLDERS = ("CHANGELOG.md", "README.md", "bench", "docs", "intelbench")
PATTERN = re.compile(rf"\b({'|'.join(map(re.escape, AVOIDED))})\b", re.IGNORECASE)


def committed(*folders: str) -> list[Path]:
    """Return the text files in these folders that are part of the project."""
    listed = subprocess.run(["git", "ls-files", *folders], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [REPOSITORY / name for name in listed.stdout.splitlines() if Path(name).suffix in (".py", ".md", ".toml")]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_avoided_word_is_in_the_code(folder: str) -> None:
    """Neither in names, docstrings and comments nor in messages."""
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {match[0]!r} in {line.strip()}"
        for path in committed(folder)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if (match := PATTERN.search(line))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "words", [words for words, _ in commands_of(cli)], ids=lambda words: " ".join(words) or "intelbench"
)
def test_no_avoided_word_is_in_a_help_text(words: tuple[str, ...]) -> None:
    """As a user reads them."""
    text = CliRunner().invoke(cli, [*words, "--help"]).output
    assert "Usage:" in text
    assert not PATTERN.findall(" ".join(text.split()))
