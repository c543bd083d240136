# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A driver for `edu` with planted bugs: one of its callbacks is replaced by a wrong one.

A comment with `BUG` and the bug's name marks the line to blame. `exercise` makes `pydriver run`
send one request and wait for it.
"""

import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydriver.ke import DriverObject, KEvent
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import STATUS_SUCCESS
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    Interrupt,
    InterruptConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    MappedRegisters,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    Request,
    ResourceList,
    SpinLock,
    WorkItem,
    WorkItemConfig,
    ctl_code,
)

EDU = (0x1234, 0x11E8)
FACTORIAL, STATUS, CAUSE, ACKNOWLEDGE = 0x08, 0x20, 0x24, 0x64
INTERRUPT_WHEN_DONE, NEVER = 0x80, 0x40
NOWHERE = 0x200000
IOCTL_FACTORIAL = ctl_code(0x800)
ABOVE_DISPATCH = 5

Isr = Callable[[Interrupt, int], bool]
Dpc = Callable[[Interrupt, Device], None]
Control = Callable[[IoQueue, Request, int, int, int], None]


@dataclass
class Edu:
    """The device's context."""

    registers: MappedRegisters = field(init=False)
    request: Request = field(init=False)
    lock: SpinLock = field(init=False)
    other_lock: SpinLock = field(init=False)
    work_item: WorkItem = field(init=False)


def isr(interrupt: Interrupt, message: int) -> bool:
    registers = interrupt.device.get_typed_context(Edu).registers
    causes = registers.read32(CAUSE)
    registers.write32(ACKNOWLEDGE, causes)
    if causes:
        interrupt.queue_dpc_for_isr()
    return causes != 0


def dpc(interrupt: Interrupt, device: Device) -> None:
    complete(device.get_typed_context(Edu))


def complete(edu: Edu) -> None:
    result = edu.registers.read32(FACTORIAL)
    struct.pack_into("<I", edu.request.retrieve_output_buffer(4), 0, result)
    edu.request.complete_with_information(STATUS_SUCCESS, 4)


def control(queue: IoQueue, request: Request, output: int, size: int, code: int) -> None:
    edu = queue.device.get_typed_context(Edu)
    edu.request = request
    edu.registers.write32(FACTORIAL, *struct.unpack("<I", request.retrieve_input_buffer(4)))


def work(item: WorkItem) -> None:
    pass


@dataclass
class Bug:
    """A bug, and the evidence of it.

    :ivar cause: the rule, or the name of the bug check, that the analysis must name
    :ivar code: the code of the bug check; ``None``: the bug does not lead to one
    :ivar stalls: whether the system stalls instead of failing: `reached` is set when nothing more
        will happen
    """

    cause: str
    code: int | None = None
    isr: Isr = isr
    dpc: Dpc = dpc
    control: Control = control
    work: Callable[[WorkItem], None] = work
    stalls: bool = False


reached = threading.Event()


def completes_twice(interrupt: Interrupt, device: Device) -> None:
    edu = device.get_typed_context(Edu)
    complete(edu)
    edu.request.complete(STATUS_SUCCESS)  # BUG completes_twice


def waits(interrupt: Interrupt, device: Device) -> None:
    edu = device.get_typed_context(Edu)
    KEvent(device.system.kernel).wait()  # BUG waits
    complete(edu)


def raises_exception(interrupt: Interrupt, message: int) -> bool:
    names: dict[int, str] = {}
    return bool(names[message + 1])  # BUG raises_exception


def keeps_spin_lock(interrupt: Interrupt, device: Device) -> None:
    edu = device.get_typed_context(Edu)
    edu.lock.acquire()  # BUG keeps_spin_lock
    complete(edu)


def touches_nothing(interrupt: Interrupt, device: Device) -> None:
    edu = device.get_typed_context(Edu)
    edu.registers.read32(NOWHERE)  # BUG touches_nothing
    complete(edu)


def raises_irql(interrupt: Interrupt, device: Device) -> None:
    edu = device.get_typed_context(Edu)
    device.system.kernel.raise_irql(ABOVE_DISPATCH)  # BUG raises_irql
    edu.registers.read32(STATUS)


def handler_raises_irql(
    queue: IoQueue, request: Request, output: int, size: int, code: int
) -> None:
    queue.device.system.kernel.raise_irql(DISPATCH_LEVEL)  # BUG handler_raises_irql
    control(queue, request, output, size, code)


def locks_twice(interrupt: Interrupt, device: Device) -> None:
    edu = device.get_typed_context(Edu)
    with edu.lock:
        complete_locked(edu)


def complete_locked(edu: Edu) -> None:
    edu.lock.acquire()  # BUG locks_twice
    complete(edu)
    edu.lock.release()


def spins(interrupt: Interrupt, device: Device) -> None:
    registers = device.get_typed_context(Edu).registers
    while not registers.read32(STATUS) & NEVER:  # BUG spins
        pass


def spins_in_isr(interrupt: Interrupt, message: int) -> bool:
    registers = interrupt.device.get_typed_context(Edu).registers
    while not registers.read32(STATUS) & NEVER:  # BUG spins_in_isr
        pass
    return True


def looks_again(interrupt: Interrupt, device: Device) -> None:
    edu = device.get_typed_context(Edu)
    complete(edu)
    edu.request.retrieve_output_buffer(4)[0] = 1  # BUG looks_again


def forgets(interrupt: Interrupt, device: Device) -> None:  # BUG forgets
    edu = device.get_typed_context(Edu)
    edu.registers.read32(FACTORIAL)
    reached.set()


def does_not_start(  # BUG does_not_start
    queue: IoQueue, request: Request, output: int, size: int, code: int
) -> None:
    queue.device.get_typed_context(Edu).request = request
    reached.set()


def does_not_queue_a_dpc(interrupt: Interrupt, message: int) -> bool:  # BUG does_not_queue_a_dpc
    registers = interrupt.device.get_typed_context(Edu).registers
    registers.write32(ACKNOWLEDGE, registers.read32(CAUSE))
    reached.set()
    return True


def waits_for_ever(queue: IoQueue, request: Request, output: int, size: int, code: int) -> None:
    reached.set()
    KEvent(queue.device.system.kernel).wait()  # BUG waits_for_ever


def locks_in_order(queue: IoQueue, request: Request, output: int, size: int, code: int) -> None:
    edu = queue.device.get_typed_context(Edu)
    with edu.lock, edu.other_lock:
        control(queue, request, output, size, code)


def locks_in_the_other_order(interrupt: Interrupt, device: Device) -> None:
    edu = device.get_typed_context(Edu)
    edu.other_lock.acquire()
    edu.lock.acquire()  # BUG locks_in_the_other_order
    edu.lock.release()
    edu.other_lock.release()
    complete(edu)


def enqueues(interrupt: Interrupt, device: Device) -> None:
    device.get_typed_context(Edu).work_item.enqueue()


def work_throws(item: WorkItem) -> None:
    edu = item.get_parent_object().get_typed_context(Edu)
    raise ValueError(edu.registers.read32(FACTORIAL))  # BUG work_throws


def completes_in_isr(interrupt: Interrupt, message: int) -> bool:
    edu = interrupt.device.get_typed_context(Edu)
    edu.registers.write32(ACKNOWLEDGE, edu.registers.read32(CAUSE))
    edu.request.complete(STATUS_SUCCESS)  # BUG completes_in_isr
    return True


BUGS = {
    "completes_twice": Bug("DoubleCompletion", dpc=completes_twice),
    "waits": Bug("KmdfIrql", 0xB8, dpc=waits),
    "raises_exception": Bug("KMODE_EXCEPTION_NOT_HANDLED", 0x1E, isr=raises_exception),
    "keeps_spin_lock": Bug("WdfSpinlockRelease", dpc=keeps_spin_lock),
    "touches_nothing": Bug("DRIVER_IRQL_NOT_LESS_OR_EQUAL", 0xD1, dpc=touches_nothing),
    "raises_irql": Bug("IrqlDispatch", 0xC4, dpc=raises_irql),
    "handler_raises_irql": Bug("VERIFIER_IRQL_MISMATCH", 0x10D, control=handler_raises_irql),
    "locks_twice": Bug("WdfSpinlock", 0x0F, dpc=locks_twice),
    "spins": Bug("DPC_WATCHDOG_VIOLATION", 0x133, dpc=spins),
    "spins_in_isr": Bug("DPC_WATCHDOG_VIOLATION", 0x133, isr=spins_in_isr),
    "looks_again": Bug("BufAfterReqCompletedIoctl", 0x1E, dpc=looks_again),
    "forgets": Bug("stall", dpc=forgets, stalls=True),
    "does_not_start": Bug("stall", control=does_not_start, stalls=True),
    "does_not_queue_a_dpc": Bug("stall", isr=does_not_queue_a_dpc, stalls=True),
    "waits_for_ever": Bug("stall", control=waits_for_ever, stalls=True),
    "locks_in_the_other_order": Bug(
        "LockOrder", 0xC4, control=locks_in_order, dpc=locks_in_the_other_order
    ),
    "work_throws": Bug("SYSTEM_THREAD_EXCEPTION_NOT_HANDLED", 0x7E, dpc=enqueues, work=work_throws),
    "completes_in_isr": Bug("KmdfIrql", isr=completes_in_isr),
}


def entry_with(bug: Bug) -> Callable[[DriverObject], Driver]:
    """The entry of the driver that has a bug."""

    def device_add(driver: Driver, init: DeviceInit) -> None:
        init.set_pnp_power_event_callbacks(
            PnpPowerEventCallbacks(evt_device_prepare_hardware=prepare_hardware)
        )
        device = Device.create(init, ObjectAttributes(context_type=Edu))
        edu = device.get_typed_context(Edu)
        below = ObjectAttributes(parent_object=device)
        edu.lock, edu.other_lock = SpinLock.create(below), SpinLock.create(below)
        edu.work_item = WorkItem.create(WorkItemConfig(bug.work), below)
        Interrupt.create(
            device, InterruptConfig(evt_interrupt_isr=bug.isr, evt_interrupt_dpc=bug.dpc)
        )
        config = IoQueueConfig(IoQueueDispatchType.SEQUENTIAL, default_queue=True)
        config.evt_io_device_control = bug.control
        IoQueue.create(device, config)

    def driver_entry(driver_object: DriverObject) -> Driver:
        return Driver.create(driver_object, DriverConfig(evt_driver_device_add=device_add))

    return driver_entry


def prepare_hardware(device: Device, raw: ResourceList, translated: ResourceList) -> None:
    registers = translated.memory[0].map()
    registers.write32(STATUS, INTERRUPT_WHEN_DONE)
    device.get_typed_context(Edu).registers = registers


def driver_entry(driver_object: DriverObject) -> Driver:
    """The driver with the bug that the environment names, for `pydriver run --driver`."""
    return entry_with(BUGS[os.environ["PLANTED_BUG"]])(driver_object)


def exercise(device: Device) -> str:
    """Sends a request, and waits for it."""
    with device.open() as file:
        file.device_control(IOCTL_FACTORIAL, struct.pack("<I", 5), 4)
    return ""


def marked_line(name: str) -> int:
    """The line of a bug in this file."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (line,) = (number for number, text in enumerate(lines, 1) if text.endswith(f"# BUG {name}"))
    return line
