#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (c) 2026 the pydriver authors
"""Lay the mqdma device over a QEMU source tree.

    overlay.py TREE

The files of this directory go to ``TREE/hw/mqdma/``, and three files of QEMU gain one line each:
``hw/Kconfig``, ``hw/meson.build`` and the list of trace-events directories in ``meson.build``.
``physmem.c`` gains two, which keep a change of the memory map away from a vCPU that runs, and
``eepro100.c`` two, which let its PHY say that the network is unplugged: see ``tcg-commit.h`` and
``phy-link.h``.
Running it again changes nothing, and a file whose content is already right is not written, so
ninja compiles only what a change of the device asks for.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: Where the device lives in QEMU's tree.
SUBDIR = "hw/mqdma"

#: The name of our device list below ``configs/devices/x86_64-softmmu/``.
DEVICE_LIST = "pydriver"

#: What pydriver drives: our device, and the stock devices that have drivers or tests of their own.
#: Q35 selects the chipset; everything that is not named here stays out (--without-default-devices).
DEVICES = (
    "Q35",
    "PCIE_PORT",
    "XIO3130",
    "MQDMA",
    "EDU",
    "NVME_PCI",
    "E1000E_PCI_EXPRESS",
    "EEPRO100_PCI",
    "GENERIC_LOADER",
    "IVSHMEM_DEVICE",
    "PCI_TESTDEV",
    "ISA_DEBUG",
)

#: Anchors in files of QEMU and the lines that go after them.
HOOKS = (
    # See tcg-commit.h. QEMU 8.2 renamed softmmu to system.
    (
        ("system/physmem.c", "softmmu/physmem.c"),
        "static void tcg_commit(MemoryListener *listener);",
        f'#include "{SUBDIR}/tcg-commit.h"',
    ),
    (
        ("system/physmem.c", "softmmu/physmem.c"),
        "    cpuas = container_of(listener, CPUAddressSpace, tcg_as_listener);",
        "    if (left_to_vcpu(cpuas->cpu, cpuas->as, listener)) { return; }",
    ),
    # See phy-link.h.
    (
        ("hw/net/eepro100.c",),
        "static E100PCIDeviceInfo *eepro100_get_class(EEPRO100State *s);",
        f'#include "{SUBDIR}/phy-link.h"',
    ),
    (
        ("hw/net/eepro100.c",),
        "                s->mdimem[reg] |= 0x0020;",
        "                s->mdimem[reg] = phy_status(s, s->mdimem[reg]);",
    ),
    (("hw/Kconfig",), "source misc/Kconfig", "source mqdma/Kconfig"),
    (("hw/meson.build",), "subdir('misc')", "subdir('mqdma')"),
    (("meson.build",), "    'hw/misc',", f"    '{SUBDIR}',"),
)


class OverlayError(Exception):
    """The tree does not look like a QEMU source tree that this script knows."""


def device_files() -> list[Path]:
    """Return the files that are compiled, sorted by name; documentation is not among them."""
    names = {"Kconfig", "meson.build", "trace-events"}
    return sorted(p for p in HERE.iterdir() if p.suffix in {".c", ".h"} or p.name in names)


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write ``content`` to ``path`` unless it is there already; return whether it was written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True


def insert_after(path: Path, anchor: str, line: str) -> bool:
    """Insert ``line`` after the first line that equals ``anchor``, once."""
    lines = path.read_text().splitlines()
    if line in lines:
        return False
    if anchor not in lines:
        raise OverlayError(f"{path}: no line {anchor!r}, is this QEMU 7.2 to 10.0?")
    lines.insert(lines.index(anchor) + 1, line)
    path.write_text("\n".join(lines) + "\n")
    return True


def overlay(tree: Path) -> list[Path]:
    """Lay the device over the QEMU source tree ``tree``.

    Returns the files that changed. Raises `OverlayError` when the tree is not QEMU's.
    """
    if not (tree / "hw/Kconfig").is_file() or not (tree / "VERSION").is_file():
        raise OverlayError(f"{tree} is not a QEMU source tree")

    target = tree / SUBDIR
    files = device_files()
    changed = [target / p.name for p in files if write_if_changed(target / p.name, p.read_bytes())]

    # A file that was renamed or removed here must not linger there.
    for stale in set(target.iterdir()) - {target / p.name for p in files} - {target / "trace.h"}:
        stale.unlink()
        changed.append(stale)

    # QEMU includes the generated trace header of a directory by way of a one-line trace.h.
    header = f'#include "trace/trace-{SUBDIR.replace("/", "_")}.h"\n'
    if write_if_changed(target / "trace.h", header.encode()):
        changed.append(target / "trace.h")

    device_list = tree / f"configs/devices/x86_64-softmmu/{DEVICE_LIST}.mak"
    if write_if_changed(device_list, "".join(f"CONFIG_{d}=y\n" for d in DEVICES).encode()):
        changed.append(device_list)

    for names, anchor, line in HOOKS:
        path = next((tree / each for each in names if (tree / each).is_file()), tree / names[0])
        if insert_after(path, anchor, line):
            changed.append(path)
    return changed


def main(argv: list[str]) -> int:
    """Run from the command line."""
    if len(argv) != 2:
        print(f"usage: {argv[0]} TREE", file=sys.stderr)
        return 2
    try:
        for path in overlay(Path(argv[1])):
            print(path)
    except (OverlayError, OSError) as error:
        print(f"overlay: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
