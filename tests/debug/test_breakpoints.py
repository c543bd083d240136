# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Python's ``breakpoint()`` in a driver's DPC: a prompt, a machine that is stopped, no watchdog."""

import sys
from pathlib import Path

import pexpect

from pydriver.ke.watchdog import LOOKS
from tests.debug.test_session import FORGETFUL

DPC_TIMEOUT = 1.0
"""Seconds that a DPC may take in the test's system."""

APPLICATION = f"""
import threading

from pydriver.machine import MachineConfig

config = ke.SystemConfig(
    MachineConfig(devices=("edu",)), verifier=ke.VerifierConfig(dpc_timeout={DPC_TIMEOUT})
)

class Looks(threading.Event):  # the watchdog's end: it counts the waits for it
    def __init__(self):
        super().__init__()
        self.count = threading.Semaphore(0)

    def wait(self, timeout=None):
        self.count.release()
        return super().wait(timeout)

    def await_more(self, number):
        while self.count.acquire(blocking=False):
            pass
        return all(self.count.acquire(timeout=20) for _ in range(number))


with ke.System(config) as system:
    looks = system.kernel.watchdog._end = Looks()
    driver = system.load_driver(driver_entry)
    device = driver.add_device(system.pci.find(0x1234, 0x11E8))
    with device.open() as file:
        for number in (5, 6):
            output = file.device_control(IOCTL_FACTORIAL, number.to_bytes(4, "little"), 4)
            print("result", int.from_bytes(output, "little"))
print("the end")
"""


def test_breakpoint_in_a_dpc_stops_the_machine_and_no_watchdog_fires(tmp_path: Path) -> None:
    source = FORGETFUL.read_text().replace(
        "    if result := edu", "    breakpoint()\n    if result := edu"
    )
    script = tmp_path / "stops.py"
    script.write_text(source + APPLICATION)
    python = pexpect.spawn(
        sys.executable, [str(script)], encoding="utf-8", timeout=30, env={"TERM": "dumb"}
    )
    for result in (120, 720):
        python.expect(r"\(Pdb\) ")
        python.sendline("p system.machine.qmp('query-status')['status']")
        python.expect("'paused'")
        python.expect(r"\(Pdb\) ")
        python.sendline("p device.queues[0].device.interrupts[0].dpcs_queued, system.kernel.irql()")
        python.expect(r"\(\d+, 2\)")
        python.expect(r"\(Pdb\) ")
        # The watchdog keeps looking for one and a half time-outs.
        python.sendline(f"p looks.await_more({3 * LOOKS // 2})")
        python.expect("True")
        python.expect(r"\(Pdb\) ")
        python.sendline("next")  # reads a register: the machine runs meanwhile
        python.expect(r"\(Pdb\) ")
        python.sendline("p result")
        python.expect(f"{result}\r\n")
        python.expect(r"\(Pdb\) ")
        python.sendline("continue")
        python.expect(f"result {result}")
    python.expect("the end")
    python.expect(pexpect.EOF)
    python.close()
    assert python.exitstatus == 0
