"""The report as one page that needs nothing else: its tree rendered, its figures inside, its errors to look at.

The page's policy forbids every script but its own, and every request.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path

import jinja2

from intelbench.data.thumbnails import find_pictures
from intelbench.errors import UserError, plural, printable, shortened
from intelbench.reporting import formatting
from intelbench.reporting.document import Figure, Gallery, Matrix, figures, walk
from intelbench.reporting.html.album import Album, Find, Key, embed
from intelbench.reporting.html.blocks import Fragment, Renderer, inline
from intelbench.reporting.html.figures import inline_svg
from intelbench.reporting.html.matrices import MatrixTable, matrix_table
from intelbench.reporting.report import compose
from intelbench.results.claims import Claim
from intelbench.results.study import Study

_TEMPLATES = resources.files("intelbench.reporting.html") / "templates"


def as_html(study: Study, images: Path | None, cache_folder: Path, *, claims: Sequence[Claim] | None = None) -> str:
    """Write the report on a study as one page; the same records and images give the same text.

    The images are looked for in `images`, or else in the folder that the records name.

    Raises:
        UserError: `images` is not a folder.
    """
    if images and not images.is_dir():
        raise UserError(
            f"images {shortened(repr(printable(images)))}: no such folder. Expected the folder of the images"
        )
    return page(
        study,
        lambda data: find_pictures(str(images or data.source), data.class_names, cache_folder),
        claims=claims,
    )


def page(study: Study, find: Find, *, claims: Sequence[Claim] | None = None) -> str:
    """Return the page of a report, with the pictures that `find` leads to."""
    document = compose(study, claims=claims, full=True)
    nodes = list(walk(document.blocks))
    matrix_nodes = (node for node in nodes if isinstance(node, Matrix))
    matrices = {node: matrix_table(node.architecture, node.summary, str(n)) for n, node in enumerate(matrix_nodes)}
    galleries = [node for node in nodes if isinstance(node, Gallery)]
    wanted: list[Key] = [
        (node.summary.data.digest, image_id)
        for node, table in matrices.items()
        for cell in table.opening
        for image_id, _ in cell.items
    ]
    wanted += [(gallery.digest, image.image_id) for gallery in galleries for image in gallery.images]
    album = embed(study.cohorts, wanted, find)
    environment = _environment()
    fragments: dict[Figure | Gallery, Fragment] = {
        node: partial(_figure, node, f"f{number}_") for number, node in enumerate(figures(document))
    }
    for node, table in matrices.items():
        fragments[node] = partial(_matrix, environment.get_template("matrix.html.j2"), node, table, fragments[node])
    for gallery in galleries:
        missing = _missing([key for key in wanted if key[0] == gallery.digest], album)
        fragments[gallery] = partial(_gallery, environment.get_template("gallery.html.j2"), gallery, album, missing)
    renderer = Renderer(fragments)
    body = renderer.render(document)
    script = (_TEMPLATES / "report.js").read_text("utf-8")
    return environment.get_template("report.html.j2").render(
        title=renderer.headings[0].text,
        headings=renderer.headings[1:],
        body=body,
        style=(_TEMPLATES / "report.css").read_text("utf-8"),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=_data(matrices, album),
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("intelbench.reporting.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    return environment


def _missing(wanted: Sequence[Key], album: Album) -> str:
    """Say why some images have no picture, as prose; empty where all have one."""
    digests = {digest for digest, _ in wanted}
    if problem := next((album.problems[digest] for digest in digests if digest in album.problems), None):
        return f"**No pictures:** {formatting.escape(problem)}. Give the folder of the images with `--images`."
    shown = [album.entries[album.numbers[key]] for key in set(wanted)]
    missing = sum(entry.picture is None for entry in shown)
    if not missing:
        return ""
    return (
        f"{missing:,} of the {plural(len(shown), 'misclassified image')} here have no picture: they were "
        "not found, or the page has no room for those that are wrong least often."
    )


def _figure(figure: Figure, prefix: str) -> str:
    return f'<figure class="figure">{inline_svg(figure.draw(), prefix, figure.description)}</figure>\n'


def _matrix(template: jinja2.Template, node: Matrix, table: MatrixTable, figure: Fragment) -> str:
    """Return a table in place of the figure, or next to one of too many classes a list of its fullest cells."""
    return ("" if table.is_table else figure()) + template.render(matrix=table, description=node.description)


def _gallery(template: jinja2.Template, gallery: Gallery, album: Album, missing: str) -> str:
    note = f"<p>{inline(missing)}</p>\n" if missing else ""
    images = [(album.numbers[gallery.digest, image.image_id], image) for image in gallery.images]
    return note + (template.render(images=images, description=gallery.description) if images else "")


def _data(matrices: Mapping[Matrix, MatrixTable], album: Album) -> dict[str, object]:
    """Return what the script shows when a cell opens: title, note and images of each; images by number."""
    cells = {
        cell.key: [cell.title, f"{table.architecture}: {cell.note}",
                   [(album.numbers[node.summary.data.digest, image_id], text) for image_id, text in cell.items]]
        for node, table in matrices.items()
        for cell in table.opening
    }  # fmt: skip
    images = [(formatting.printable(entry.image_id), entry.picture) for entry in album.entries]
    return {"cells": cells, "images": images}
