"""Write the catalogues that come with intelbench, for the installed versions of the libraries.

`python -m tests.orchestration.regenerate_catalogues FOLDER` counts parameters and operations of each network, which
takes several minutes. FOLDER keeps what was counted, so that the command continues where it was stopped.
"""

import sys
from pathlib import Path

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


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name in LIBRARIES:
        file = REPOSITORY / "intelbench" / "architectures" / "catalogues" / f"{name}.json"
        file.write_bytes(complete(name, Path(sys.argv[1])).encoded())
