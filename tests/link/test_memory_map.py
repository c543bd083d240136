# SPDX-License-Identifier: MIT
"""The memory map changes on one processor while another works: see qemu-device/tcg-commit.h."""

import threading

import pytest
from pydriver.abi._native import lib

from pydriver.link import Link
from pydriver.machine import Machine, MachineConfig
from pydriver.pci import PciBus

VECTOR = 0x51
CHANGES = 4000
JOIN_SECONDS = 20.0


@pytest.mark.alone
def test_interrupts_arrive_and_end_while_another_processor_switches_a_bar() -> None:
    arrived = [0]

    def handler() -> int:
        arrived[0] += 1
        return lib.LINK_RETURN_EOI  # type: ignore[no-any-return]

    config = MachineConfig(cpus=2, devices=("edu",), vcpu_threads="multi")
    with Machine(config) as machine, Link(machine) as link:
        interrupted, switching = link.processors
        interrupted.handlers[VECTOR] = handler
        with switching.borrowed():
            function = PciBus.start(switching).find(0x1234, 0x11E8)
        ended = threading.Event()

        def switch() -> None:
            with switching.borrowed():
                for _ in range(CHANGES):
                    function.disable()
                    function.enable_memory()
                    switching.sync()
            ended.set()

        sent = 0

        def interrupt() -> None:
            nonlocal sent
            with interrupted.borrowed():
                while sent == arrived[0] and not ended.is_set():
                    sent += 1
                    interrupted.send_ipi(interrupted.apic_id, VECTOR)
                    interrupted.sync()
                    interrupted.sync()

        threads = [threading.Thread(target=each, daemon=True) for each in (switch, interrupt)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(JOIN_SECONDS)
        assert ended.is_set(), "the processors hang"
        assert sent == arrived[0] > 0
