# SPDX-License-Identifier: MIT
"""Builds ``pydriver.abi._native``: the link's C code and the shared headers' constants.

The headers are passed through the C preprocessor before cffi parses them, so that one text serves
the device, the guest and Python. Setuptools calls this through ``cffi_modules``.
"""

import os
import subprocess
from pathlib import Path

from cffi import FFI

ABI = Path("pydriver/abi")
HEADERS = (ABI / "link_abi.h", ABI / "native.h", Path("qemu-device/mqdma_regs.h"))


def declarations(header: Path) -> str:
    """Preprocesses a header for cffi: without its includes and its static asserts."""
    compiler = os.environ.get("CC", "cc")
    command = [compiler, "-E", "-P", "-DLINK_CFFI", "-DMQDMA_CFFI", str(header)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


ffibuilder = FFI()
for _header in HEADERS:
    ffibuilder.cdef(declarations(_header))
ffibuilder.set_source(
    "pydriver.abi._native",
    '#include "native.h"\n#include "mqdma_regs.h"\n',
    sources=[str(ABI / "native.c")],
    depends=[str(header) for header in HEADERS],
    include_dirs=[str(ABI), "qemu-device"],
    extra_compile_args=["-O2", "-std=gnu11"],
)
