"""Write the catalogues that come with intelbench, for the installed versions of the libraries.

`python -m tests.orchestration.regenerate_catalogues FOLDER` counts parameters and operations of each network, which
takes several minutes. FOLDER keeps what was counted, so that the command continues where it was stopped.
"""

import sys
from pathlib import Path

import msgspec
from msgspec.structs import replace

from intelbench.architectures.catalogue import Catalogue
from intelbench.orchestration.catalogue import LIBRARIES, catalogue_of, counted
from tests.command import REPOSITORY


def complete(library: str, folder: Path) -> Catalogue:
    """Return the catalogue of a library with all figures that can be counted."""
    stated = catalogue_of(library)
    nothing = Catalogue(version="", networks=(), pretrained=())
    offers = iter(counted(list(stated), library, nothing, folder, print))
    return replace(
        stated,
        networks=tuple(next(offers) for _ in stated.networks),
        pretrained=tuple(next(offers) for _ in stated.pretrained),
    )


def encoded(catalogue: Catalogue) -> bytes:
    """Return a catalogue as JSON with a line for each row."""
    rows = {
        name: b",\n".join(map(msgspec.json.encode, offers))
        for name, offers in (("networks", catalogue.networks), ("pretrained", catalogue.pretrained))
    }
    lists = b",\n".join(b'"%s":[\n%s\n]' % (name.encode(), text) for name, text in rows.items())
    return b'{"version":%s,\n%s}\n' % (msgspec.json.encode(catalogue.version), lists)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name in LIBRARIES:
        file = REPOSITORY / "intelbench" / "architectures" / "catalogues" / f"{name}.json"
        file.write_bytes(encoded(complete(name, Path(sys.argv[1]))))
