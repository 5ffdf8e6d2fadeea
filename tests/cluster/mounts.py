"""One folder as two hosts see it whose locks do not exclude each other, as on a network disk without common locks."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.cluster.packages import Programs


@contextmanager
def mounted_twice(folder: Path, scratch: Path) -> Iterator[tuple[Path, Path]]:
    """Mount a folder at two places; skip the test where that is not possible."""
    if not Path("/dev/fuse").exists():
        pytest.skip("no /dev/fuse to mount a folder twice")
    bindfs = Programs(scratch, ["bindfs", "libfuse2"]).script("bindfs", "usr/bin/bindfs")
    with ExitStack() as stack:
        mounts = scratch / "host1", scratch / "host2"
        for mount in mounts:
            mount.mkdir()
            done = subprocess.run([bindfs, folder, mount], check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"bindfs: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", mount], check=True)
        yield mounts
