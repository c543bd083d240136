# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""An application that tries a disk."""

from random import randbytes

from pydriver.drivers.nvme.controller import NvmeController
from pydriver.drivers.nvme.controls import IOCTL_FLUSH
from pydriver.wdf import Device

__all__ = ("exercise",)

TRANSFER = 1 << 16
TRANSFERS = 64


def exercise(device: Device) -> str:
    """Writes to each namespace and reads it back.

    :return: a description of what is wrong, or an empty string
    """
    for name, namespace in device.get_typed_context(NvmeController).by_name.items():
        if not name:
            continue  # another name of the first one
        length = min(TRANSFER, namespace.size)
        places = range(0, min(TRANSFERS * TRANSFER, namespace.size - length + 1), TRANSFER)
        data = {place: randbytes(length) for place in places}
        with device.open(name) as file:
            for write in [file.write_async(part, place) for place, part in data.items()]:
                write.result()
            file.device_control(IOCTL_FLUSH)
            reads = [(part, file.read_async(length, place)) for place, part in data.items()]
            for part, read in reads:
                read.result()
                if read.output != part:
                    return f"namespace {name} gives back other data than was written"
    return ""
