# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A soak test of the mqdma driver: mixed load for any time, after which nothing may be wrong.

    python -m tests.soak.soak [--seconds 600] [--seed N]

Two vCPUs, four hardware queues. Application threads keep copies of random size in flight, check
every byte, and cancel some of them. Meanwhile the device leaves D0 and returns, is stopped and
started with new resources, is removed and added again, and its faults exercise the driver's watch
and repair. Every request must end once, with a possible status; the verifier must find nothing; the
memory of the process must not grow.
"""

import argparse
import random
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import crc32c
from rich.console import Console
from rich.progress import Progress

from pydriver.drivers import mqdma
from pydriver.drivers.mqdma.faults import FAULTS
from pydriver.ke import NtStatusError
from pydriver.ke.status import (
    STATUS_CANCELLED,
    STATUS_DEVICE_NOT_READY,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_IO_DEVICE_ERROR,
    STATUS_SUCCESS,
    status_name,
)
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from pydriver.wdf import Device, Driver, File, Irp

QUEUES, DEPTH, BLOCK = 4, 8, 16384
APPLICATIONS = 3
WINDOW = 12
TIMEOUT = 30.0
DEVICE = "dma"
REPAIRED = ("lost", "hung", "corrupt", "dma", "spurious")
"""The faults from which the driver recovers."""

ENDINGS = {
    STATUS_SUCCESS,
    STATUS_CANCELLED,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_IO_DEVICE_ERROR,
}
"""The possible statuses of a request. The last but one: the device was being removed when it came.
The last: three faults in a row hit it, and the driver gave up."""


@dataclass
class Tally:
    """The events of a run, guarded by `lock`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sent: int = 0
    ended: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)

    def note(self, event: str) -> None:
        with self.lock:
            self.events[event] += 1

    def complain(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text)


class Shelf:
    """The device that can be opened now; its removal waits for applications that have it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._device: Device | None = None
        self._users = 0

    def put(self, device: Device) -> None:
        with self._changed:
            self._device = device
            self._changed.notify_all()

    def take_away(self) -> None:
        """Makes new users wait; returns when the present ones have gone."""
        with self._changed:
            self._device = None
            assert self._changed.wait_for(lambda: not self._users, TIMEOUT), "users do not go"

    def borrow(self, end: float) -> Device | None:
        with self._changed:
            self._changed.wait_for(lambda: self._device is not None, max(0, end - time.monotonic()))
            if self._device is not None:
                self._users += 1
            return self._device

    @property
    def wanted(self) -> bool:
        """Whether the device should be given back."""
        return self._device is None

    def give_back(self) -> None:
        with self._changed:
            self._users -= 1
            self._changed.notify_all()


class Application(threading.Thread):
    """Keeps requests in flight, checks and cancels them."""

    def __init__(self, number: int, seed: int, shelf: Shelf, tally: Tally, end: float) -> None:
        super().__init__(name=f"application{number}")
        self._random = random.Random(seed + number)
        self._shelf = shelf
        self._tally = tally
        self._end = end
        self._pool = self._random.randbytes(2 * BLOCK)

    def run(self) -> None:
        while time.monotonic() < self._end and not self._tally.wrong:
            device = self._shelf.borrow(self._end)
            if device is None:
                return
            try:
                self._use(device)
            except NtStatusError as error:
                if error.status != STATUS_DEVICE_NOT_READY:
                    self._tally.complain(str(error))
            except Exception as error:  # noqa: BLE001 -- the main thread says it
                self._tally.complain(f"{self.name}: {error!r}")
                return
            finally:
                self._shelf.give_back()

    def _use(self, device: Device) -> None:
        with device.open() as file:
            flying: list[tuple[bytes, Irp, list[int]]] = []
            until = min(self._end, time.monotonic() + self._random.uniform(0.05, 0.5))
            while time.monotonic() < until and not self._shelf.wanted and not self._tally.wrong:
                while len(flying) < WINDOW:
                    flying.append(self._send(file))
                if self._random.random() < 0.2:
                    self._random.choice(flying)[1].cancel()
                self._check(*flying.pop(0))
            for each in flying:
                if self._random.random() < 0.3:
                    each[1].cancel()
            for each in flying:
                self._check(*each)

    def _send(self, file: File) -> tuple[bytes, Irp, list[int]]:
        size = self._random.randint(1, BLOCK)
        start = self._random.randrange(BLOCK)
        data = self._pool[start : start + size]
        ends: list[int] = []
        with self._tally.lock:
            self._tally.sent += 1
        irp = file.device_control_async(
            mqdma.IOCTL_COPY,
            data,
            size + mqdma.CRC_BYTES,
            on_complete=lambda irp: ends.append(irp.status),
        )
        return data, irp, ends

    def _check(self, data: bytes, irp: Irp, ends: list[int]) -> None:
        status = irp.wait(TIMEOUT)
        with self._tally.lock:
            self._tally.ended[status] += 1
        if len(ends) > 1:
            self._tally.complain(f"a request ended {len(ends)} times: {ends}")
        if status not in ENDINGS:
            self._tally.complain(f"a request ended with {status_name(status)}")
        if status == STATUS_SUCCESS:
            crc = int.from_bytes(irp.output[len(data) :], "little")
            if irp.output[: len(data)] != data or crc != crc32c.crc32c(data):
                self._tally.complain(f"{len(data)} bytes came back wrong")


class Trouble:
    """The events of the device during the load; on the main thread."""

    def __init__(self, system: System, seed: int, shelf: Shelf, tally: Tally) -> None:
        self._system = system
        self._random = random.Random(seed)
        self._shelf = shelf
        self._tally = tally
        entry = mqdma.driver_entry_with(
            mqdma.Parameters(depth=DEPTH, block=BLOCK, watchdog_us=100_000)
        )
        self._driver: Driver = system.load_driver(entry, "mqdma")
        self._function = system.pci.find(mqdma.VENDOR, mqdma.DEVICE)
        self._device = self._add()

    def _add(self) -> Device:
        device = self._driver.add_device(self._function)
        self._shelf.put(device)
        return device

    def one(self) -> None:
        """Makes one event happen."""
        what = self._random.choices(
            (self.power_cycle, self.rebalance, self.remove_and_add, self.fault), (4, 2, 1, 3)
        )[0]
        what()
        self._tally.note(what.__name__)

    def power_cycle(self) -> None:
        self._device.exit_d0()
        self._device.enter_d0()

    def rebalance(self) -> None:
        self._device.stop()
        self._device.start()

    def remove_and_add(self) -> None:
        self._shelf.take_away()
        self._device.remove()
        self._device = self._add()

    def fault(self) -> None:
        fault = FAULTS[self._random.choice(REPAIRED)]
        for name, value in fault.settings(self._random.randrange(QUEUES)):
            self._system.machine.set_property(DEVICE, name, value)


def resident_bytes() -> int:
    """The resident size of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def soak(
    seconds: float, seed: int, settle: float, progress: Callable[[float], object] = float
) -> tuple[Tally, float]:
    """Runs the soak.

    :param seconds: the length of the run in seconds
    :param seed: the seed of all random choices
    :param settle: the time in seconds after which the memory must not grow
    :param progress: a function that is called with the seconds since the start
    :return: the events, and the growth of the memory after ``settle``, as a fraction
    """
    tally, shelf = Tally(), Shelf()
    machine = MachineConfig(
        cpus=2,
        bar2=mqdma.shared_memory(QUEUES, DEPTH, BLOCK),
        devices=(f"mqdma,id=dma,memdev=bar2,queues={QUEUES}",),
    )
    start = time.monotonic()
    end = start + seconds
    before = 0
    with System(SystemConfig(machine)) as system:
        trouble = Trouble(system, seed, shelf, tally)
        applications = [
            Application(number, seed, shelf, tally, end) for number in range(APPLICATIONS)
        ]
        for each in applications:
            each.start()
        choose = random.Random(seed + 100)
        while time.monotonic() < end and not tally.wrong:
            time.sleep(choose.uniform(0, 0.1))
            trouble.one()
            progress(time.monotonic() - start)
            if not before and time.monotonic() > start + settle:
                before = resident_bytes()
        for each in applications:
            each.join(TIMEOUT)
            if each.is_alive():
                tally.complain(f"{each.name} does not end")
        after = resident_bytes()
    growth = (after - before) / before if before else 0.0
    lost = tally.sent - tally.ended.total()
    if lost:
        tally.complain(f"{lost} requests did not end")
    return tally, growth


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--settle", type=float, default=120.0, help="seconds until the memory must not grow"
    )
    options = parser.parse_args()
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("soaking", total=options.seconds)
        tally, growth = soak(
            options.seconds,
            options.seed,
            options.settle,
            lambda gone: bar.update(task, completed=gone),
        )
    for status, count in sorted(tally.ended.items()):
        print(f"{count:9} requests ended with {status_name(status)}")
    for event, count in sorted(tally.events.items()):
        print(f"{count:9} times {event.replace('_', ' ')}")
    print(f"memory grew by {growth * 100:.1f} % after {options.settle:.0f} s")
    for text in tally.wrong:
        print(f"WRONG: {text}")
    return int(bool(tally.wrong) or growth > 0.05)


if __name__ == "__main__":
    sys.exit(main())
