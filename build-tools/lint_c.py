# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Check all C sources of the project with each compiler that is installed; warnings are errors.

    lint_c.py QEMU

The guest is checked freestanding, the native module with cffi's and Python's headers, the device
with the command that compiled it in QEMU's tree, from ``about.json`` beside the binary ``QEMU``.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only"]

GUEST_FLAGS = [
    "-std=gnu11",
    "-O2",
    "-ffreestanding",
    "-fno-pic",
    "-fno-stack-protector",
    "-mno-red-zone",
    "-mgeneral-regs-only",
]


@dataclass(frozen=True)
class Check:
    """One source file, the arguments for the compiler, and the directory to run it in."""

    source: Path
    arguments: list[str]
    directory: Path = PROJECT


def guest() -> Iterator[Check]:
    """The bare-metal guest."""
    for source in sorted((PROJECT / "guest").glob("*.c")):
        yield Check(source, GUEST_FLAGS)


def native() -> Iterator[Check]:
    """The C part of the link."""
    include = ["-I", str(PROJECT / "pydriver/abi"), "-I", str(PROJECT / "qemu-device")]
    python = ["-isystem", sysconfig.get_path("include")]
    for source in sorted((PROJECT / "pydriver/abi").glob("*.c")):
        if source.name != "_native.c":  # cffi's output, if it is still there
            yield Check(source, ["-std=gnu11", "-O2", *include, *python])


def device(qemu: Path) -> Iterator[Check]:
    """The device, compiled as in QEMU's build, but from this directory.

    QEMU's own headers become system headers, so that they cause no warnings.
    """
    about = json.loads((qemu.resolve().parent / "about.json").read_text())
    build = Path(about["build"])
    source = PROJECT / "qemu-device/mqdma.c"
    arguments: list[str] = []
    words = iter(about["compile_command"][1:])
    for word in words:
        if word in {"-o", "-MF", "-MQ"}:
            next(words)
        elif word == "-iquote":
            arguments += ["-isystem", next(words)]
        elif word.startswith("-I"):
            arguments += ["-isystem", word.removeprefix("-I") or next(words)]
        elif word.startswith("-W") or word in {"-c", "-MD"} or word.endswith("hw/mqdma/mqdma.c"):
            continue
        else:
            arguments.append(word)
    # trace.h, which includes a file that QEMU's build generates, is only in the tree.
    arguments += ["-isystem", str(build.parent / "src/hw/mqdma")]
    # QEMU's interfaces pass functions parameters that they do not all need.
    arguments += ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]
    yield Check(source, arguments, build)


def main(argv: list[str]) -> int:
    """Run from the command line."""
    checks = [*guest(), *native(), *device(Path(argv[1]))]
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)]
    failed = 0
    for compiler in compilers:
        for check in checks:
            # A flag that only the other compiler knows is not a finding.
            extra = ["-Wno-unknown-warning-option", "-Wno-unused-command-line-argument"]
            command = [compiler, *WARNINGS, *check.arguments]
            command += [*(extra if compiler == "clang" else []), str(check.source)]
            if subprocess.run(command, cwd=check.directory, check=False).returncode:
                failed += 1
    print(f"{len(checks)} C files, {', '.join(compilers)}: {failed or 'no'} findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
