# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The machine's state as QEMU reports it: registers, the device tree, the devices' properties.

All of it is queried over QMP, so the guest need not run.
"""

from typing import TYPE_CHECKING, Any

from pydriver.errors import MachineError

if TYPE_CHECKING:
    from pydriver.machine import Machine
    from pydriver.pci import PciFunction
    from pydriver.system import System

__all__ = ("configuration_spaces", "device_properties", "monitor", "vcpus")

PERIPHERALS = ("/machine/peripheral", "/machine/peripheral-anon")
CONFIG_WORDS = 64
"""32-bit words of configuration space that are shown: the whole space but the extended part."""

PRINTED = (bool, int, str, float, type(None))


def monitor(machine: "Machine", *commands: str) -> str:
    """Returns the output of commands of the human monitor, each under the command itself.

    :raises MachineError: QEMU does not answer
    """
    parts = []
    for command in commands:
        text = machine.qmp("human-monitor-command", command_line=command)
        parts.append(f"(qemu) {command}\n{text.replace(chr(13), '').strip()}\n")
    return "\n".join(parts)


def vcpus(machine: "Machine") -> str:
    """Returns the registers of all processors, and of their local APICs.

    :raises MachineError: QEMU does not answer
    """
    apics = [f"info lapic {number}" for number in range(machine.config.cpus)]
    return monitor(machine, "info registers -a", *apics)


def configuration_spaces(system: "System") -> str:
    """Returns the configuration space of each PCI function, as the monitor reads it.

    :raises MachineError: QEMU does not answer
    """
    return "\n".join(_configuration_space(system, each) for each in system.pci.functions)


def _configuration_space(system: "System", function: "PciFunction") -> str:
    address = system.pci.ecam + function.address.ecam_offset
    return f"{function}\n{monitor(system.machine, f'xp /{CONFIG_WORDS}xw 0x{address:x}')}"


def device_properties(machine: "Machine") -> dict[str, dict[str, Any]]:
    """Returns the QOM properties of the devices on the command line, by their paths.

    :raises MachineError: QEMU does not answer
    """
    return {
        path: _properties(machine, path)
        for parent in PERIPHERALS
        for path in _children(machine, parent)
    }


def _children(machine: "Machine", parent: str) -> list[str]:
    listed = machine.qmp("qom-list", path=parent)
    return [f"{parent}/{each['name']}" for each in listed if each["type"].startswith("child<")]


def _properties(machine: "Machine", path: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in machine.qmp("qom-list", path=path):
        if each["type"].startswith(("child<", "link<")) or each["name"] == "type":
            continue
        try:
            value = machine.qmp("qom-get", path=path, property=each["name"])
        except MachineError:  # a property that can only be set
            machine.check_alive()
            continue
        if isinstance(value, PRINTED):
            values[each["name"]] = value
    return values
