# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Run tests against a QEMU whose mqdma.c counts its lines, and check how many they reach.

    device_coverage.py QEMU COMMAND...

All QEMUs that the command starts add their counts to one file, which libgcov locks. A QEMU that is
killed, instead of ended by `quit`, loses its counts.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

#: The share of lines, in percent, below which the check fails.
REQUIRED = 90.0

COUNTS = Path("build/coverage")
SOURCE = "mqdma.c"


def _ranges(numbers: list[int]) -> str:
    """Write sorted line numbers, neighbours as ranges: ``3, 7-9``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)


def line_counts(directory: Path) -> dict[int, int]:
    """Return how often each executable line of the device ran, from the counts in ``directory``."""
    subprocess.run(
        ["gcov", "--json-format", "mqdma.gcda"],
        cwd=directory,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    counts: dict[int, int] = {}
    for path in directory.glob("*.gcov.json.gz"):
        with gzip.open(path) as stream:
            for file in json.load(stream)["files"]:
                if Path(file["file"]).name == SOURCE:
                    for line in file["lines"]:
                        number = line["line_number"]
                        counts[number] = counts.get(number, 0) + line["count"]
    return counts


def main(argv: list[str]) -> int:
    """Run from the command line."""
    qemu = Path(argv[1]).resolve()
    shutil.rmtree(COUNTS, ignore_errors=True)
    COUNTS.mkdir(parents=True)
    shutil.copy2(qemu.with_name("mqdma.gcno"), COUNTS)
    environment = {
        **os.environ,
        "PYDRIVER_QEMU": str(qemu),
        # The counts go here, whatever directory the object was compiled in.
        "GCOV_PREFIX": str(COUNTS.resolve()),
        "GCOV_PREFIX_STRIP": "100",
    }
    result = subprocess.run(argv[2:], env=environment, check=False)
    if result.returncode:
        return result.returncode
    if not (COUNTS / "mqdma.gcda").is_file():
        print("device_coverage: no QEMU wrote its counts", file=sys.stderr)
        return 1
    counts = line_counts(COUNTS)
    missed = sorted(number for number, count in counts.items() if not count)
    share = 100.0 * (len(counts) - len(missed)) / len(counts)
    print(f"{SOURCE}: {len(counts) - len(missed)} of {len(counts)} lines reached, {share:.1f} %")
    if missed:
        print(f"not reached: {_ranges(missed)}")
    if share < REQUIRED:
        print(f"device_coverage: less than {REQUIRED:g} %", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
