# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Whole systems: start, end, and leftovers."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pydriver.errors import LinkStopped, MachineDied
from pydriver.ke import BugCheck
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from pydriver.wdf import IoQueue, IoQueueConfig, IoQueueDispatchType, Request
from tests.harness.bench import DEVICES, TIMEOUT, Bench, Plan

ENDS_WITHIN = 2.0


def forgetful(queue: IoQueue, request: Request, length: int) -> None:
    """A handler that never completes its request."""


FORGETFUL = IoQueueConfig(IoQueueDispatchType.PARALLEL, evt_io_write=forgetful, default_queue=True)


def config() -> SystemConfig:
    return SystemConfig(MachineConfig(bar2=1 << 20, devices=DEVICES))


def test_closed_system_leaves_no_thread_no_process_and_no_descriptor() -> None:
    def descriptors() -> set[str]:
        return {path.name for path in Path("/proc/self/fd").iterdir()}

    with System(config()):
        pass  # files that Python itself opens at first use stay open
    threads, files = threading.active_count(), descriptors()
    for _ in range(3):
        with System(config()) as system:
            pid = system.machine.pid
            assert threading.active_count() > threads
    assert threading.active_count() == threads
    assert descriptors() == files
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    system.close()


def test_switch_interval_is_the_old_one_afterwards() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.004)
    try:
        with System(config()):
            assert sys.getswitchinterval() < 0.004
        assert sys.getswitchinterval() == 0.004
    finally:
        sys.setswitchinterval(before)


def test_switch_interval_is_short_until_the_last_of_several_systems_has_ended() -> None:
    before = sys.getswitchinterval()
    first, second = System(config()), System(config())
    with contextlib.ExitStack() as stack:
        stack.callback(sys.setswitchinterval, before)
        sys.setswitchinterval(0.004)
        for system in (first, second):
            stack.callback(system.close)
            system.start()
        first.close()
        assert sys.getswitchinterval() < 0.004
        second.close()
        assert sys.getswitchinterval() == 0.004


def test_two_systems_do_not_disturb_each_other(boot: Callable[..., Bench]) -> None:
    one, other = boot(1), boot(1)
    registers = [bench.load().registers for bench in (one, other)]
    old = one.kernel.raise_irql(5)
    assert one.kernel.irql() == 5
    assert other.kernel.irql() == 0
    for number, mapped in enumerate(registers):
        mapped.write32(0x04, number)
    assert [mapped.read32(0x04) for mapped in registers] == [0xFFFFFFFF, 0xFFFFFFFE]
    one.kernel.lower_irql(old)


def test_drivers_are_unloaded_at_a_clean_end_and_not_after_an_error() -> None:
    unloaded: list[str] = []

    def use(name: str, error: Exception | None = None) -> None:
        with System(config()) as system:
            edu = Bench(system).load()
            edu.device.driver.config.evt_driver_unload = lambda driver: unloaded.append(name)
            if error is not None:
                raise error

    use("clean")
    assert unloaded == ["clean"]
    with pytest.raises(ValueError, match="the test's"):
        use("error", ValueError("the test's"))
    assert unloaded == ["clean"]


def test_whoever_was_at_a_processor_is_told_why_the_system_ended() -> None:
    def fail(system: System) -> None:
        """Fails as a DPC would, on a thread of its own."""

        def body() -> None:
            with contextlib.suppress(BugCheck):
                system.kernel.bug_check(0xE2, message="the test's")

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        with system.kernel.borrowed() as link:
            link.sync()

    with pytest.raises(BugCheck, match="the test's"), System(config()) as system:
        fail(system)

    def unload_in_vain() -> None:
        with System(config()) as system:
            edu = Bench(system).load()
            edu.device.driver.config.evt_driver_unload = lambda driver: fail(system)

    with pytest.raises(BugCheck, match="the test's"):
        unload_in_vain()


def test_death_of_qemu_wakes_every_waiter(boot: Callable[..., Bench]) -> None:
    bench = boot(1)
    edu = bench.load(Plan(queues=[FORGETFUL]))
    irp = edu.device.open().write_async(b"x")
    start = time.monotonic()
    os.kill(bench.system.machine.pid, signal.SIGKILL)
    with pytest.raises(MachineDied, match="SIGKILL"):
        irp.wait(TIMEOUT)
    assert time.monotonic() - start < ENDS_WITHIN
    with pytest.raises(MachineDied):
        bench.system.check()
    with pytest.raises((MachineDied, LinkStopped)):
        edu.registers.read32(0)


def test_death_of_qemu_under_a_driver_is_no_bug_check(boot: Callable[..., Bench]) -> None:
    bench = boot(1)

    def write(queue: IoQueue, request: Request, length: int) -> None:
        os.kill(bench.system.machine.pid, signal.SIGKILL)
        while True:
            edu.registers.read32(0)

    queue = IoQueueConfig(IoQueueDispatchType.PARALLEL, evt_io_write=write, default_queue=True)
    edu = bench.load(Plan(queues=[queue]))
    with pytest.raises((MachineDied, LinkStopped)):
        edu.device.open().write(b"x")
    with pytest.raises(MachineDied):
        bench.system.check()


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from tests.harness.bench import Bench, Plan
from tests.system.test_system import FORGETFUL, config
from pydriver.system import System

with System(config()) as system:
    bench = Bench(system)
    edu = bench.load(Plan(queues=[FORGETFUL]))
    print(system.machine.pid, flush=True)
    {work}
"""


@pytest.mark.parametrize(
    "work",
    ['edu.device.open().write(b"x")', "while True: edu.registers.read32(0)"],
    ids=["while waiting", "while busy"],
)
def test_interrupt_from_the_keyboard_ends_everything(work: str) -> None:
    folder = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(folder=folder, work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        qemu = int(process.stdout.readline())
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT)
        assert time.monotonic() - start < ENDS_WITHIN
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors
    with pytest.raises(ProcessLookupError):
        os.kill(qemu, 0)
