"""Figures as elements of a page."""

import re
from xml.etree import ElementTree


def inline_svg(figure: bytes, prefix: str, description: str) -> str:
    """Return a figure as an element of the page; its names begin with `prefix`, so that they are unique in the page."""
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
