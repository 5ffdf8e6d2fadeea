"""The page as readers use it: in a real browser, by mouse and keyboard, in light and dark, on screen and paper."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from intelbench.data.thumbnails import Pictures
from intelbench.reporting.html.page import page
from intelbench.results.study import read
from tests.conftest import write_image
from tests.synthetic import ARCHITECTURES, CLASSES, Study, synthetic_runs

SCRIPT = "<script>alert(1)</script>"
NAMES = (*CLASSES[:-1], SCRIPT)
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on five architectures, one of whose classes is called like a script; images lie at hand."""
    folder = tmp_path_factory.mktemp("study")
    study = Study(class_names=tuple(sorted(NAMES)), num_test=120, accuracies=dict.fromkeys(ARCHITECTURES, 0.3))
    synthetic_runs(folder / "runs", study=study)
    for number in range(100):  # some are missing
        write_image(folder / "test" / f"{number:05d}.jpg", seed=number)
    pictures = Pictures(folder.resolve(), ("test/",))
    (folder / "report.html").write_text(page(read(folder / "runs"), lambda _: pictures), "utf-8")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here; .ci/run installs one")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture
def show(browser: Browser, file: Path) -> Iterator[Open]:
    """Open the page; when the test ends nothing was requested, said in the console or alerted."""
    noticed: list[str] = []
    contexts = []

    def opened(**options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda message: noticed.append(message.text))
        shown.on("pageerror", lambda error: noticed.append(str(error)))
        shown.on("request", lambda request: noticed.append(request.url))
        shown.on("dialog", lambda dialog: noticed.append(f"alert {dialog.message}"))
        shown.goto(file.as_uri())
        return shown

    yield opened
    for context in contexts:
        context.close()
    assert set() == {each[:200] for each in noticed if not each.startswith(("data:", file.as_uri()))}


def column(table: Locator, number: int) -> list[str]:
    """Text of a column's cells."""
    return [text.strip() for text in table.locator(f"tbody tr > :nth-child({number})").all_inner_texts()]


def first_number(cell: str) -> float:
    """What a cell is sorted by."""
    return float(cell.split()[0].replace(",", ""))


def heading(table: Locator, name: str) -> Locator:
    """A column's heading."""
    return table.locator("thead th", has=table.page.get_by_role("button", name=name, exact=True))


def test_tables_sort_by_click(show: Open) -> None:
    """First upward, then downward, then as at first; by number, units and separators understood.

    The majority baseline takes no steps, so it stays last.
    """
    table = show().get_by_role("table", name="Results").first
    step = heading(table, "Step (ms)")
    place = 1 + table.locator("thead th").all_inner_texts().index(step.inner_text())
    original = column(table, place)
    *timed, baseline = original
    assert not baseline.strip()
    step.get_by_role("button").click()
    assert "ascending" == step.get_attribute("aria-sort")
    assert [*sorted(timed, key=first_number), baseline] == column(table, place)
    step.get_by_role("button").click()
    assert "descending" == step.get_attribute("aria-sort")
    assert [*sorted(timed, key=first_number, reverse=True), baseline] == column(table, place)
    step.get_by_role("button").click()
    assert step.get_attribute("aria-sort") is None
    assert original == column(table, place)


def test_tables_sort_by_keyboard(show: Open) -> None:
    """Enter and space on a heading do the same, the heading keeps the focus, and what happened is announced."""
    shown = show()
    table = shown.get_by_role("table", name="Results").first
    button = heading(table, "Architecture").get_by_role("button")
    button.focus()
    shown.keyboard.press("Enter")
    shown.keyboard.press("Space")
    assert sorted(column(table, 1), reverse=True) == column(table, 1)
    assert button.evaluate("button => button === document.activeElement")
    assert "Sorted by Architecture, descending" == shown.get_by_role("status").inner_text()


def test_what_is_absent_sorts_last(show: Open) -> None:
    """Both ways, among numbers and among texts."""
    order = """([values, sign]) => values.map(value => ({ value: value ?? undefined }))
        .sort((first, second) => compared(first, second, sign)).map(({ value }) => value ?? null)"""
    shown = show()
    for values in ([1, 2.5, None], ["a 2", "a 10", None]):
        *known, absent = values
        assert [*known, absent] == shown.evaluate(order, [[absent, *known], 1])
        assert [*known[::-1], absent] == shown.evaluate(order, [[absent, *known], -1])


def test_facts_are_not_sortable(show: Open) -> None:
    """A table of facts, whose rows belong together, has no buttons."""
    assert 0 == show().get_by_role("table", name="Environment").get_by_role("button").count()


def test_a_cell_opens_and_closes_by_keyboard(show: Open) -> None:
    """Tab reaches a matrix once, arrows move, Enter opens the images, Escape closes, the focus is where it was."""
    shown = show()
    matrix = shown.get_by_role("table", name="Confusion matrix of resnet101", exact=True)
    assert 1 == matrix.locator("button[tabindex='0']").count()
    matrix.locator("button[tabindex='0']").focus()
    first = shown.evaluate("document.activeElement.ariaLabel")
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("ArrowRight")
    second = shown.evaluate("document.activeElement.ariaLabel")
    assert first != second
    shown.keyboard.press("Enter")
    dialog = shown.get_by_role("dialog")
    assert dialog.is_visible()
    label, predicted = second.partition(":")[0].split(" predicted as ")
    assert f"True class {label}, predicted {predicted}" == dialog.get_by_role("heading").inner_text()
    assert dialog.get_by_role("listitem").count()
    assert "confidence" in dialog.get_by_role("listitem").first.inner_text()
    assert dialog.locator(":focus").count()
    shown.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert second == shown.evaluate("document.activeElement.ariaLabel")


def test_a_cell_opens_and_closes_by_mouse(show: Open) -> None:
    """By its button, and by a click beside it."""
    shown = show()
    cell = shown.locator(".matrix button").first
    dialog = shown.get_by_role("dialog")
    cell.click()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    cell.click()
    shown.mouse.click(3, 3)
    assert not dialog.is_visible()


def test_pictures_are_shown(show: Open) -> None:
    """Where they are at hand; the others say that they are not."""
    shown = show()
    pictures = shown.locator("main .gallery .picture")
    assert pictures.count()
    loaded = "images => images.every(image => image.complete && image.naturalWidth > 0)"
    assert pictures.locator("img").evaluate_all(loaded)
    absent = pictures.count() - pictures.locator("img").count()
    assert absent == pictures.get_by_text("no picture").count()


def test_a_class_called_like_a_script_is_text(show: Open) -> None:
    """In tables, in the matrix and in a dialog; `show` sees to it that no alert appears."""
    shown = show()
    assert shown.get_by_role("rowheader", name=SCRIPT).count()
    shown.get_by_role("button", name=f"{SCRIPT} predicted as").first.click()
    assert SCRIPT in shown.get_by_role("dialog").get_by_role("heading").inner_text()
    assert 2 == shown.locator("script").count()


def test_dark_and_light(show: Open) -> None:
    """The page follows the reader's setting; its text has a contrast of at least 4.5 in both, matrices included."""
    for scheme in ("light", "dark"):
        shown = show(color_scheme=scheme)
        background = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (scheme == "dark") == (luminance(shown, background) < 0.1)
        for selector in ("main > p", ".interval", "nav a", ".skip", "summary", ".matrix td[style]", ".matrix .none"):
            assert 4.5 <= least_contrast(shown, selector), (scheme, selector)


def luminance(shown: Page, colour: str) -> float:
    """Relative luminance (WCAG 2) of a CSS colour, as the browser paints it."""
    found: float = shown.evaluate(
        """colour => {
            const context = new OffscreenCanvas(1, 1).getContext("2d");
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
            const linear = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
                .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
        }""",
        colour,
    )
    return found


def least_contrast(shown: Page, selector: str) -> float:
    """The least contrast (WCAG 2) of text with what is behind it, over all elements of a kind."""
    pairs = shown.locator(selector).evaluate_all(
        """elements => elements.map(element => {
            let behind = element;
            while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
            return [getComputedStyle(element.querySelector("span") ?? element).color,
                getComputedStyle(behind).backgroundColor];
        })"""
    )
    assert pairs
    contrasts = []
    for pair in {tuple(pair) for pair in pairs}:
        low, high = sorted(luminance(shown, colour) for colour in pair)
        contrasts.append((high + 0.05) / (low + 0.05))
    return min(contrasts)


def test_paper_shows_everything(show: Open) -> None:
    """What is folded is open, what only a screen can use is gone, and a dark page is light."""
    shown = show(color_scheme="dark")
    shown.emulate_media(media="print")
    assert not shown.locator("nav").is_visible()
    assert 1 == luminance(shown, shown.evaluate("getComputedStyle(document.body).backgroundColor"))
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert 0 == shown.locator("details:not([open])").count() < shown.locator("details").count()
    shown.evaluate("dispatchEvent(new Event('afterprint'))")
    assert 0 < shown.locator("details:not([open])").count()


def test_a_narrow_screen(show: Open) -> None:
    """Tables and figures scroll for themselves, by keyboard too; the page does not."""
    shown = show(viewport={"width": 360, "height": 740})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360
    assert shown.locator(".scroll[tabindex='0']").count()


def test_without_scripts(show: Open) -> None:
    """Everything but pictures and sorting is there."""
    shown = show(java_script_enabled=False)
    assert shown.get_by_role("table", name="Results").first.is_visible()


def test_the_way_to_the_report(show: Open) -> None:
    """The first stop of the keyboard leads past the table of contents, whose links lead to its sections."""
    shown = show()
    shown.keyboard.press("Tab")
    assert "Skip to the report" == shown.evaluate("document.activeElement.textContent")
    shown.keyboard.press("Enter")
    assert "report" == shown.evaluate("document.activeElement.id")
    for link in shown.locator("nav a").all():
        assert link.inner_text() == shown.locator(f"id={(link.get_attribute('href') or '')[1:]}").inner_text()
