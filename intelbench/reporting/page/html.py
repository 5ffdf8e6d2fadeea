"""The report as one page that needs nothing else: its Markdown rendered, its figures inlined, its errors to look at.

Whatever comes from records is text here: Markdown that escaped it, templates that escape it, or JSON that cannot end
its element. The page's policy forbids every script but its own, and every request.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import jinja2

from intelbench.data.thumbnails import find_pictures
from intelbench.reporting import formatting
from intelbench.reporting.page.album import Album, Find, embed
from intelbench.reporting.page.galleries import Matrix, SharedImage, matrix, shared_images, shared_text
from intelbench.reporting.page.markup import Fragment, render
from intelbench.reporting.report import TITLE, Report, write
from intelbench.results import mistakes
from intelbench.results.claims import Claim
from intelbench.results.mistakes import SharedMistake
from intelbench.results.study import Study
from intelbench.results.summaries import CohortSummary

_TEMPLATES = resources.files("intelbench.reporting.page") / "templates"


@dataclass(frozen=True)
class _Errors:
    """The misclassified images of one cohort."""

    summary: CohortSummary
    matrices: Mapping[str, Matrix]
    """By the file name of the figure that each stands for."""
    shared: Sequence[SharedMistake] | None
    shared_images: Sequence[SharedImage]

    @property
    def digest(self) -> str:
        """Of the data."""
        return self.summary.data.digest

    @property
    def image_ids(self) -> list[str]:
        """Of every image that the page shows."""
        in_cells = [image_id for each in self.matrices.values() for cell in each.opening for image_id, _ in cell.items]
        return in_cells + [image.image_id for image in self.shared_images]


def as_html(study: Study, images: Path | None, cache_folder: Path, *, claims: Sequence[Claim] | None = None) -> str:
    """The report on records that were read as one page; the same records and images give the same text.

    The images are looked for in `images`, or else where the records say that they lay.
    """
    return page(
        study,
        write(study, claims=claims),
        lambda data: find_pictures(str(images or data.source), data.class_names, cache_folder),
    )


def page(study: Study, report: Report, find: Find) -> str:
    """The page of a report, with the pictures that `find` leads to."""
    cohorts = _errors(study, report)
    album = embed(study.cohorts, [(each.digest, image_id) for each in cohorts for image_id in each.image_ids], find)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("intelbench.reporting.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    body, headings = render(_with_shared(report.text, cohorts, album), _fragments(report, cohorts, album, environment))
    script = _template("report.js")
    return environment.get_template("report.html.j2").render(
        title=headings[0].text or TITLE,
        headings=headings[1:],
        body=body,
        style=_template("report.css"),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=_data(cohorts, album),
    )


def inline_svg(figure: bytes, prefix: str, description: str) -> str:
    """A figure as an element of the page: its names begin with `prefix`, so that those of two figures never meet."""
    root = ElementTree.fromstring(figure)  # noqa: S314 our own figure
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):  # the one style rule is in the page's own
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        element.attrib = {name: _prefixed(name, value, prefix) for name, value in attributes.items()}
    root.attrib |= {"role": "img", "aria-label": description}
    return ElementTree.tostring(root, encoding="unicode")


def _prefixed(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return prefix + value
    if name == "href":
        return re.sub("^#", f"#{prefix}", value)
    return value.replace("url(#", f"url(#{prefix}")


def _errors(study: Study, report: Report) -> list[_Errors]:
    """The errors of each cohort; `report.figures` has their confusion matrices in the same order."""
    files = iter([name for name in report.figures if name.startswith("confusion-")])
    found = []
    for number, summary in enumerate(study.cohorts):
        matrices = {
            next(files): matrix(architecture, summary, f"{number}-{place}")
            for place, architecture in enumerate(summary.finished)
        }
        shared = mistakes.shared(summary)
        found.append(_Errors(summary, matrices, shared, shared_images(shared or [], summary.data.class_names)))
    return found


def _with_shared(text: str, cohorts: Sequence[_Errors], album: Album) -> str:
    """The report with a section on what every architecture gets wrong, after each cohort's last confusion matrix."""
    heading = "###" if len(cohorts) > 1 else "##"
    for number, errors in enumerate(cohorts):
        if not errors.matrices:
            continue
        blocks = [f"{heading} Images that every architecture gets wrong", shared_text(errors.shared, errors.summary)]
        blocks += _missing(errors, album)
        if errors.shared_images:
            blocks.append(f"![Images that every architecture gets wrong](figures/{_shared_name(number)})")
        last = f"](figures/{list(errors.matrices)[-1]})\n"
        text = text.replace(last, "\n\n".join([last, *blocks, ""]), 1)
    return text


def _missing(errors: _Errors, album: Album) -> list[str]:
    """Why some images have no picture."""
    if problem := album.problems.get(errors.digest):
        return [f"**No pictures:** {formatting.escape(problem)}. Say where the images lie with `--images`."]
    shown = [album.entries[album.numbers[errors.digest, image_id]] for image_id in set(errors.image_ids)]
    missing = sum(entry.picture is None for entry in shown)
    if not missing:
        return []
    return [
        f"{missing:,} of the {formatting.plural(len(shown), 'misclassified image')} here have no picture: they were "
        "not found, or the page has no room for those that are wrong least often."
    ]


def _fragments(
    report: Report, cohorts: Sequence[_Errors], album: Album, environment: jinja2.Environment
) -> dict[str, Fragment]:
    """What stands in the page for each figure of the report, by name."""
    fragments: dict[str, Fragment] = {
        name: partial(_figure, figure, f"f{number}_") for number, (name, figure) in enumerate(report.figures.items())
    }
    matrices, gallery = (environment.get_template(name) for name in ("matrix.html.j2", "gallery.html.j2"))
    for number, errors in enumerate(cohorts):
        for name, each in errors.matrices.items():
            fragments[name] = partial(_matrix, matrices, each, fragments[name])
        images = [(album.numbers[errors.digest, image.image_id], image) for image in errors.shared_images]
        fragments[_shared_name(number)] = partial(_gallery, gallery, images)
    return fragments


def _figure(figure: bytes, prefix: str, description: str) -> str:
    return f'<figure class="figure">{inline_svg(figure, prefix, description)}</figure>\n'


def _matrix(template: jinja2.Template, matrix: Matrix, figure: Fragment, description: str) -> str:
    """A table in place of the figure, or beside one of too many classes a list of its fullest cells."""
    return ("" if matrix.is_table else figure(description)) + template.render(matrix=matrix, description=description)


def _gallery(template: jinja2.Template, images: Sequence[tuple[int, SharedImage]], description: str) -> str:
    return template.render(images=images, description=description)


def _data(cohorts: Sequence[_Errors], album: Album) -> dict[str, object]:
    """What the script shows when a cell opens: title, note and images of each; images by number."""
    cells = {
        cell.key: [cell.title, f"{each.architecture}: {cell.note}",
                   [(album.numbers[errors.digest, image_id], said) for image_id, said in cell.items]]
        for errors in cohorts
        for each in errors.matrices.values()
        for cell in each.opening
    }  # fmt: skip
    images = [(formatting.printable(entry.image_id), entry.picture) for entry in album.entries]
    return {"cells": cells, "images": images}


def _shared_name(number: int) -> str:
    return f"shared-{number}"


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")
