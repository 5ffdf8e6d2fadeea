"""Programs of Debian packages, unpacked into a folder; nothing is installed."""

import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

LIBRARIES = "usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/slurm-wlm", "lib/x86_64-linux-gnu"


class Programs:
    """Unpacked packages, and a folder `bin` with a script for every program that a test calls."""

    def __init__(self, folder: Path, packages: Sequence[str], variables: str = "") -> None:
        """Download and unpack packages; skip the test where that is not possible, or where a library is missing."""
        self.root, self.bin = folder / "root", folder / "bin"
        self._libraries = ":".join(str(self.root / name) for name in LIBRARIES)
        self._variables = variables
        self.bin.mkdir(parents=True)
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            pytest.skip(f"no apt-get to download {packages[0]}")
        downloads = folder / "packages"
        downloads.mkdir()
        done = _download(packages, downloads)
        if done.returncode:  # perhaps the lists of packages are old
            subprocess.run(["apt-get", "update"], check=False, capture_output=True)
            done = _download(packages, downloads)
        if done.returncode:
            pytest.skip(f"apt-get download {packages[0]}: {done.stderr.strip().splitlines()[-1]}")
        for package in downloads.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, self.root], check=True)

    def script(self, name: str, path: str) -> Path:
        """Write the script that starts an unpacked program with its libraries, and return it."""
        program, script = self.root / path, self.bin / name
        variables = f"LD_LIBRARY_PATH={self._libraries} {self._variables}"
        missing = subprocess.run(
            ["ldd", program], check=False, capture_output=True, text=True, env={"LD_LIBRARY_PATH": self._libraries}
        ).stdout
        for line in missing.splitlines():
            if "not found" in line:
                pytest.skip(f"{name}: {line.strip()}")
        script.write_text(f'#!/bin/sh\nexec env {variables} {program} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return script


def _download(packages: Sequence[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["apt-get", "download", *packages], cwd=folder, check=False, capture_output=True, text=True)
