# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The arguments that create a machine's devices again, without a guest and without this process.

A device without an explicit place gets the next free one. The doorbell of the link, which has the
first place, will not be there; therefore each device is explicitly given its present place.
"""

import os
import re
from typing import TYPE_CHECKING

from pydriver.errors import MachineError
from pydriver.machine.qemu import BAR2_ID, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("recreate",)

BEFORE_DEVICES = 2
"""The number of devices without an id that come first: the guest's loader, and the doorbell."""

_ID = re.compile(r"(?:^|,)id=([^,]+)")
_OTHER_PLACE = re.compile(r",(?:addr=|bus=(?!pcie\.0\b))")
_OUR_FILE = re.compile(rf"\bfile=/proc/{os.getpid()}/fd/(\d+)")


def recreate(machine: Machine) -> tuple[str, ...]:
    """Finds the arguments.

    :param machine: the running machine
    :return: QEMU's arguments for the devices and for what these need. A file of this process, which
        nobody can open later, is replaced by an empty disk of the same size.
    :raises MachineError: QEMU does not report the places of its devices
    """
    config = machine.config
    words = [word for device in config.devices for word in ("-device", device)]
    words += config.options
    anonymous = BEFORE_DEVICES
    arguments = []
    for index, word in enumerate(words):
        if index and words[index - 1] == "-device" and not word.startswith("{"):
            identifier = _ID.search(word)
            if identifier:
                path = f"/machine/peripheral/{identifier[1]}"
            else:
                path = f"/machine/peripheral-anon/device[{anonymous}]"
                anonymous += 1
            arguments.append(_placed(machine, word, path))
        else:
            arguments.append(_OUR_FILE.sub(_empty_disk, word))
    return (*_defaults(machine, words), *arguments)


def _defaults(machine: Machine, words: list[str]) -> "Iterator[str]":
    if any(f"memdev={BAR2_ID}" in word for word in words):
        yield "-object"
        yield f"memory-backend-ram,id={BAR2_ID},size={machine.config.bar2}"
    if any("netdev=" in word for word in words):
        # Network cards ask for a boot ROM, which this project's QEMU does not have.
        yield "-global"
        yield "pci-device.romfile="


def _placed(machine: Machine, device: str, path: str) -> str:
    if _OTHER_PLACE.search(device):
        return device
    try:
        devfn = machine.qmp("qom-get", path=path, property="addr")
    except MachineError:
        machine.check_alive()
        return device  # the device is not on a PCI bus
    function = f".{devfn & 7:x}" if devfn & 7 else ""
    return f"{device},addr={devfn >> 3:#x}{function}"


def _empty_disk(match: "re.Match[str]") -> str:
    size = os.fstat(int(match[1])).st_size
    return f"file.driver=null-co,file.size={size},file.read-zeroes=on,snapshot=on"
