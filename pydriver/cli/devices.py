# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver devices`: what the machine found on its PCI bus, and which driver each function has."""

import json
from typing import TYPE_CHECKING, Any

import click

from pydriver.cli.console import say
from pydriver.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydriver.drivers.catalog import DriverPackage
    from pydriver.pci import PciFunction
    from pydriver.system import System
    from pydriver.wdf import Device

__all__ = ("devices",)

BAR2_BYTES = 32 << 20
"""Enough for mqdma's driver with its default parameters."""

DEFAULT_DEVICES = (
    "mqdma,memdev=bar2,queues=4",
    "edu",
    "nvme,serial=pydriver",
    "i82550",
    "pci-testdev",
)

MODES = {"MSIX": "MSI-X", "MSI": "MSI", "INTX": "INTx"}

ACRONYMS = {"MSI": "MSI", "MSI X": "MSI-X", "PCI EXPRESS": "PCI Express", "PCI X": "PCI-X"}

CLASSES = {
    0x00: "unclassified device",
    0x01: "mass storage controller",
    0x02: "network controller",
    0x03: "display controller",
    0x04: "multimedia controller",
    0x05: "memory controller",
    0x06: "bridge",
    0x07: "communication controller",
    0x08: "system peripheral",
    0x09: "input device controller",
    0x0C: "serial bus controller",
    0x0D: "wireless controller",
    0x10: "encryption controller",
    0x11: "signal processing controller",
    0x12: "processing accelerator",
    0xFF: "unassigned class",
}
"""Base classes [PCI Code and ID Assignment 1.11, 1]."""


@click.command()
@click.option(
    "--device",
    "models",
    multiple=True,
    metavar="DEVICE",
    help="A device of QEMU, as its -device takes it; can be given again. "
    f"Default: {'; '.join(DEFAULT_DEVICES)}.",
)
@click.option(
    "--qemu-option",
    "options",
    multiple=True,
    metavar="OPTION",
    help='Another option of QEMU, for example "-drive file=...,if=none,id=d0"; can be given again.',
)
@click.option(
    "--start/--no-start",
    default=True,
    show_default=True,
    help="Start the functions that have a driver, which shows their vectors.",
)
@json_option
def devices(
    models: tuple[str, ...],
    options: tuple[str, ...],
    start: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """List the PCI functions of a machine: ids, class, BARs, capabilities, vectors, driver.

    The first line of a function is as `lspci -nn` has it.
    """
    import shlex

    from pydriver.drivers.catalog import installed_drivers
    from pydriver.machine import MachineConfig
    from pydriver.system import System, SystemConfig

    machine = MachineConfig(
        bar2=BAR2_BYTES,
        devices=models or DEFAULT_DEVICES,
        options=tuple(word for option in options for word in shlex.split(option)),
    )
    drivers = installed_drivers()
    with System(SystemConfig(machine)) as system:
        found = [_describe(system, each, drivers, start=start) for each in system.pci.functions]
    say(json.dumps(found) if as_json else "\n\n".join(map(_text, found)))


def _describe(
    system: "System", function: "PciFunction", drivers: "list[DriverPackage]", *, start: bool
) -> dict[str, Any]:
    from pydriver.drivers.catalog import best_driver
    from pydriver.ke import NtStatusError

    code = function.class_code
    driver = best_driver(drivers, function)
    described: dict[str, Any] = {
        "slot": function.slot,
        "vendor": function.vendor_id,
        "device": function.device_id,
        "subsystem": list(function.subsystem),
        "class": int(code) >> 8,
        "revision": code.revision,
        "bars": [_bar(each) for each in function.bars],
        "capabilities": [_named(each.id, each.offset) for each in function.capabilities],
        "extended_capabilities": [
            _named(each.id, each.offset) for each in function.extended_capabilities
        ],
        "interrupts": [
            {"mode": MODES[each.mode.name], "messages": each.messages, "gsi": each.gsi}
            for each in function.resources().interrupts
        ],
        "driver": driver and {"name": driver.name, "module": driver.module},
    }
    if driver is not None and start:
        try:
            device = system.load_driver(driver.entry, driver.name).add_device(function)
            described["driver"]["vectors"] = _vectors(device)
        except NtStatusError as error:
            described["driver"]["error"] = str(error)
    return described


def _bar(bar: Any) -> dict[str, Any]:
    return {
        "index": bar.index,
        "kind": bar.kind.value,
        "address": bar.address,
        "size": bar.size,
        "prefetchable": bar.prefetchable,
    }


def _named(identifier: int, offset: int) -> dict[str, Any]:
    name = getattr(identifier, "name", f"{identifier:#x}").replace("_", " ")
    name = ACRONYMS.get(name, name.lower())
    return {"id": int(identifier), "name": name, "offset": offset}


def _vectors(device: "Device") -> list[dict[str, Any]]:
    return [
        {
            "message": each.message_number,
            "vector": each.vector,
            "irql": each.irql,
            "processor": each.processor.number,
        }
        for each in device.interrupts
        if each.processor is not None
    ]


def _text(found: dict[str, Any]) -> str:
    kind = CLASSES.get(found["class"] >> 16, "device")
    ids = f"[{found['vendor']:04x}:{found['device']:04x}] (rev {found['revision']:02x})"
    lines = [f"{found['slot']} {kind} [{found['class'] >> 8:04x}]: {ids}"]
    lines += [_bar_text(each) for each in found["bars"]]
    for title, key in (("capabilities", "capabilities"), ("extended", "extended_capabilities")):
        if found[key]:
            listed = ", ".join(f"[{each['offset']:x}] {each['name']}" for each in found[key])
            lines.append(f"{title}: {listed}")
    if found["interrupts"]:
        lines.append(f"interrupts: {', '.join(map(_interrupt_text, found['interrupts']))}")
    lines += _driver_text(found["driver"])
    return "\n    ".join(lines)


def _bar_text(bar: dict[str, Any]) -> str:
    address = "unassigned" if bar["address"] is None else f"at {bar['address']:#x}"
    kind = f"{bar['kind']}, prefetchable" if bar["prefetchable"] else bar["kind"]
    return f"BAR{bar['index']}: {kind} {address}, {_size(bar['size'])}"


def _size(size: int) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size //= 1024
    return f"{size} {unit}"


def _interrupt_text(each: dict[str, Any]) -> str:
    if each["gsi"] is not None:
        return f"{each['mode']} on I/O APIC input {each['gsi']}"
    plural = "s" if each["messages"] > 1 else ""
    return f"{each['mode']} with {each['messages']} message{plural}"


def _driver_text(driver: dict[str, Any] | None) -> "Iterable[str]":
    if driver is None:
        return []
    lines = [f"driver: {driver['name']} ({driver['module']})"]
    if "error" in driver:
        lines.append(f"  {driver['error']}")
    lines += [
        f"  message {each['message']}: vector {each['vector']:#x}, IRQL {each['irql']}, "
        f"processor {each['processor']}"
        for each in driver.get("vectors", ())
    ]
    return lines
