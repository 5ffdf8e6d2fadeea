"""The documentation is a site that builds without a warning, and none of its links is broken."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from intelbench.cli.main import cli
from tests.conftest import commands_of

REPOSITORY = Path(__file__).parents[1]
OF_OTHERS = {
    "--allowance-scale", "--benchmark-enable", "--benchmark-json", "--deadline", "--help", "--logdir", "--num-nodes",
    "--requeue", "--retry-failed",
}  # fmt: skip
"""Options of click, pytest, TensorBoard, Slurm, SkyPilot and the scripts of this repository."""
LINK = re.compile(r'(?:href|src)="([^"]*)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site from a copy of its sources, as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(REPOSITORY / "docs", folder / "docs")
    shutil.copy(REPOSITORY / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    built = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


def pages(entries: list[object]) -> Iterator[str]:
    """Return the files that the navigation names, at every level."""
    for entry in entries:
        assert isinstance(entry, dict)
        for target in entry.values():
            yield from [target] if isinstance(target, str) else pages(target)


def test_every_page_can_be_reached() -> None:
    """The navigation names each page of `docs`, and nothing else."""
    settings = tomllib.loads((REPOSITORY / "zensical.toml").read_text("utf-8"))["project"]
    assert {path.name for path in (REPOSITORY / "docs").glob("*.md")} == set(pages(settings["nav"]))


def test_no_link_is_broken(site: Path) -> None:
    """Each link of a page leads to a file of the site, and its fragment to a heading there."""
    broken = []
    for page in site.rglob("index.html"):
        for link in LINK.findall(page.read_text("utf-8")):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append(f"{page.relative_to(site)}: {link}")
            elif parts.fragment and f'id="{parts.fragment}"' not in target.read_text("utf-8"):
                broken.append(f"{page.relative_to(site)}: {link} has no such heading")
    assert not broken, "\n".join(broken)


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    """Fonts, styles and scripts are files of the site."""
    loaded = r'<(?:script|img|link)[^>]*(?:src|href)="(?:https?:)?//[^"]*"'
    assert not [match for page in site.rglob("index.html") for match in re.findall(loaded, page.read_text("utf-8"))]


@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md"])
def test_links_of_the_repository_lead_to_files(file: str) -> None:
    """Also those to files that are not on the site."""
    text = (REPOSITORY / file).read_text("utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_options_that_pages_name_exist() -> None:
    """As `--help` lists them; a few are those of other programs."""
    known = {option for _, command in commands_of(cli) for parameter in command.params for option in parameter.opts}
    pages = [*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md"]
    named = {(page.name, name) for page in pages for name in re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text())}
    assert {(page, name) for page, name in named if name not in known | OF_OTHERS} == set()


def test_pages_that_the_code_names_exist() -> None:
    """In docstrings, comments and messages."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    files = [REPOSITORY / name for name in listed.stdout.splitlines() if Path(name).suffix in (".py", ".toml", ".md")]
    named = [(file, page) for file in files for page in re.findall(r"docs/[\w.-]+\.md", file.read_text("utf-8"))]
    assert {(file.name, page) for file, page in named if not (REPOSITORY / page).is_file()} == set()
