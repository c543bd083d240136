# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver devices`: the functions on the bus, and their drivers."""

import json

from .command import assert_error, run


def test_every_function_is_listed_with_its_driver_and_its_vectors() -> None:
    result = run("devices", "--json")
    assert result.code == 0, result.stderr
    functions = {(each["vendor"], each["device"]): each for each in json.loads(result.stdout)}
    drivers = {
        ids: each["driver"]["name"] for ids, each in functions.items() if each["driver"] is not None
    }
    assert drivers == {
        (0x1234, 0x6D71): "mqdma",
        (0x1234, 0x11E8): "edu",
        (0x1B36, 0x10): "nvme",
        (0x8086, 0x1209): "i8255x",
    }
    assert not any("error" in (each["driver"] or {}) for each in functions.values())
    disk = functions[0x1B36, 0x10]
    assert disk["class"] == 0x010802
    assert [each["id"] for each in disk["capabilities"]] == [0x11, 0x10, 0x01]
    assert disk["interrupts"][0] == {"mode": "MSI-X", "messages": 65, "gsi": None}
    assert [each["message"] for each in disk["driver"]["vectors"]] == [0, 1, 2, 3, 4]
    for each in disk["driver"]["vectors"]:
        assert each["irql"] == each["vector"] >> 4


def test_text_begins_each_function_with_its_slot_class_and_ids() -> None:
    result = run("devices", "--device", "edu", "--no-start")
    assert result.code == 0, result.stderr
    lines = result.stdout.splitlines()
    at = lines.index("00:02.0 unclassified device [00ff]: [1234:11e8] (rev 10)")
    assert lines[at + 1] == "    BAR0: 32-bit memory at 0xc0000000, 1 MiB"
    assert lines[at + 2 :][:3] == [
        "    capabilities: [40] MSI",
        "    interrupts: MSI with 1 message, INTx on I/O APIC input 22",
        "    driver: edu (pydriver.drivers.edu)",
    ]
    assert "message 0" not in result.stdout


def test_driver_that_does_not_start_says_why() -> None:
    result = run("devices", "--device", "mqdma")
    assert result.code == 0, result.stderr
    assert "does not start" in result.stdout


def test_device_that_qemu_does_not_have_is_an_error_with_its_words() -> None:
    result = run("devices", "--device", "nonesuch")
    assert_error(result, 1, "QEMU .* ended with status 1; its last lines:")
    assert "nonesuch" in result.stderr
