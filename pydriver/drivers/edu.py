# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A driver for `edu`, QEMU's device for teaching: it computes factorials and has a DMA buffer.

Device: QEMU docs/specs/edu.txt. It has one MSI, or the line. Requests are handled one by one:

- IOCTL_FACTORIAL computes a factorial;
- writes and reads copy to and from the device's buffer, by its DMA engine, at the request's offset.

docs/tutorial/first-driver.md builds such a driver from nothing.
"""

from math import factorial
from random import randbytes

from pydriver.ke import DriverObject
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_NO_SUCH_DEVICE,
    STATUS_SUCCESS,
)
from pydriver.regs import Register32, Register64, RegisterMap, at, bit, bits
from pydriver.wdf import (
    Device,
    DeviceInit,
    DmaDirection,
    DmaEnabler,
    DmaEnablerConfig,
    DmaProfile,
    DmaTransaction,
    Driver,
    DriverConfig,
    Interrupt,
    InterruptConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    Request,
    ResourceList,
    ScatterGatherList,
    ctl_code,
)

__all__ = (
    "BUFFER_BYTES",
    "DEVICE",
    "HARDWARE_IDS",
    "IOCTL_FACTORIAL",
    "VENDOR",
    "Edu",
    "EduRegisters",
    "driver_entry",
    "exercise",
)

VENDOR, DEVICE = 0x1234, 0x11E8
HARDWARE_IDS = (r"PCI\VEN_1234&DEV_11E8",)

IOCTL_FACTORIAL = ctl_code(0x800)
"""Input: n, 32 bits. Output: n! modulo 2**32, 32 bits. Both little endian."""

BUFFER = 0x40000
"""Address of the buffer for the DMA engine."""
BUFFER_BYTES = 4095
"""QEMU ends itself when a transfer reaches the buffer's last byte."""
ADDRESS_BITS = 28
ID_MASK, ID = 0xFFFF, 0x00ED
NUMBER_BYTES = 4


class Identification(Register32):
    """The identification register."""

    magic = bits(15, 0)  # 0x00ed
    minor = bits(23, 16)
    major = bits(31, 24)


class Status(Register32):
    """State of the factorial."""

    computing = bit(0)
    interrupt = bit(7)  # when it is done


class Causes(Register32):
    """Causes of an interrupt."""

    factorial = bit(0)
    dma = bit(8)


class DmaCommand(Register64):
    """Starts a transfer."""

    start = bit(0)
    to_memory = bit(1)
    interrupt = bit(2)  # when it is done


class EduRegisters(RegisterMap):
    """BAR0."""

    ID = at(0x00, Identification)
    LIVENESS = at(0x04, Register32)  # reads as the complement of what was written
    FACTORIAL = at(0x08, Register32)
    STATUS = at(0x20, Status)
    CAUSES = at(0x24, Causes)
    RAISE = at(0x60, Causes)
    ACKNOWLEDGE = at(0x64, Causes)
    DMA_SOURCE = at(0x80, Register64)
    DMA_DESTINATION = at(0x88, Register64)
    DMA_COUNT = at(0x90, Register64)
    DMA_COMMAND = at(0x98, DmaCommand)


class Edu:
    """The device's context.

    :ivar registers: BAR0
    :ivar causes: causes that the ISR has taken from the device and the DPC has not seen
    :ivar transaction: the DMA transaction of a read or a write
    :ivar factorial: the request whose factorial is being computed
    """

    registers: EduRegisters
    transaction: DmaTransaction

    def __init__(self) -> None:
        self.causes = 0
        self.factorial: Request | None = None


def driver_entry(driver_object: DriverObject) -> Driver:
    """DriverEntry."""
    return Driver.create(driver_object, DriverConfig(evt_driver_device_add=_device_add))


def _device_add(driver: Driver, init: DeviceInit) -> None:
    init.set_pnp_power_event_callbacks(
        PnpPowerEventCallbacks(
            evt_device_prepare_hardware=_prepare_hardware, evt_device_d0_entry=_d0_entry
        )
    )
    device = Device.create(init, ObjectAttributes(context_type=Edu))
    config = InterruptConfig(evt_interrupt_isr=_isr, evt_interrupt_dpc=_dpc)
    Interrupt.create(device, config)
    enabler = DmaEnabler.create(
        device,
        DmaEnablerConfig(DmaProfile.PACKET, BUFFER_BYTES, address_width_override=ADDRESS_BITS),
    )
    _edu(device).transaction = DmaTransaction.create(enabler)
    IoQueue.create(
        device,
        IoQueueConfig(
            IoQueueDispatchType.SEQUENTIAL,
            default_queue=True,
            evt_io_read=_evt_io_read,
            evt_io_write=_evt_io_write,
            evt_io_device_control=_evt_io_device_control,
        ),
    )


def _edu(device: Device) -> Edu:
    return device.get_typed_context(Edu)


def _prepare_hardware(device: Device, raw: ResourceList, translated: ResourceList) -> int:
    registers = EduRegisters(translated.memory[0].map(), 0)
    if registers.ID.read().magic != ID:
        return STATUS_NO_SUCH_DEVICE
    _edu(device).registers = registers
    return STATUS_SUCCESS


def _d0_entry(device: Device, previous: int) -> None:
    _edu(device).registers.STATUS.write(interrupt=1)


# Requests


def _evt_io_device_control(
    queue: IoQueue, request: Request, output: int, length: int, code: int
) -> None:
    if code != IOCTL_FACTORIAL:
        request.complete(STATUS_INVALID_DEVICE_REQUEST)
    elif min(length, output) < NUMBER_BYTES:
        request.complete(STATUS_BUFFER_TOO_SMALL)
    else:
        edu = _edu(queue.device)
        edu.factorial = request
        number = int.from_bytes(request.retrieve_input_buffer()[:NUMBER_BYTES], "little")
        edu.registers.FACTORIAL.write(number)


def _evt_io_read(queue: IoQueue, request: Request, length: int) -> None:
    _transfer(queue, request, length, DmaDirection.READ_FROM_DEVICE)


def _evt_io_write(queue: IoQueue, request: Request, length: int) -> None:
    _transfer(queue, request, length, DmaDirection.WRITE_TO_DEVICE)


def _transfer(queue: IoQueue, request: Request, length: int, direction: DmaDirection) -> None:
    if request.offset + length > BUFFER_BYTES:
        request.complete(STATUS_INVALID_PARAMETER)
    elif not length:
        request.complete_with_information(STATUS_SUCCESS, 0)
    else:
        transaction = _edu(queue.device).transaction
        transaction.initialize_using_request(request, _evt_program_dma, direction)
        transaction.execute(request)


def _evt_program_dma(
    transaction: DmaTransaction,
    device: Device,
    request: Request,
    direction: DmaDirection,
    sg_list: ScatterGatherList,
) -> bool:
    (piece,) = sg_list.elements
    inside = BUFFER + request.offset + transaction.get_bytes_transferred()
    to_memory = direction == DmaDirection.READ_FROM_DEVICE
    registers = _edu(device).registers
    registers.DMA_SOURCE.write(inside if to_memory else piece.address)
    registers.DMA_DESTINATION.write(piece.address if to_memory else inside)
    registers.DMA_COUNT.write(piece.length)
    registers.DMA_COMMAND.write(start=1, to_memory=to_memory, interrupt=1)
    return True


# Interrupts


def _isr(interrupt: Interrupt, message: int) -> bool:
    edu = _edu(interrupt.device)
    causes = int(edu.registers.CAUSES.read())
    if not causes:
        return False
    edu.registers.ACKNOWLEDGE.write(causes)
    edu.causes |= causes
    interrupt.queue_dpc_for_isr()
    return True


def _dpc(interrupt: Interrupt, device: Device) -> None:
    edu = _edu(device)
    interrupt.acquire_lock()
    causes, edu.causes = Causes(edu.causes), 0
    interrupt.release_lock()
    if causes.factorial and edu.factorial is not None:
        _end_factorial(edu, edu.factorial)
    if causes.dma:
        _end_transfer(edu.transaction)


def _end_factorial(edu: Edu, request: Request) -> None:
    edu.factorial = None
    result = int(edu.registers.FACTORIAL.read())
    request.retrieve_output_buffer()[:NUMBER_BYTES] = result.to_bytes(NUMBER_BYTES, "little")
    request.complete_with_information(STATUS_SUCCESS, NUMBER_BYTES)


def _end_transfer(transaction: DmaTransaction) -> None:
    request = transaction.get_request()
    ended, status = transaction.dma_completed()
    if ended and request is not None:
        done = transaction.get_bytes_transferred()
        transaction.release()
        request.complete_with_information(status, done)


# An application


def exercise(device: Device) -> str:
    """Tries a device: factorials, and data to its buffer and back.

    :return: a description of what is wrong, or an empty string
    """
    with device.open() as file:
        for number in range(13):
            answer = file.device_control(
                IOCTL_FACTORIAL, number.to_bytes(NUMBER_BYTES, "little"), NUMBER_BYTES
            )
            if int.from_bytes(answer, "little") != factorial(number):
                return f"{number}! is {int.from_bytes(answer, 'little')}"
        data = randbytes(BUFFER_BYTES)
        file.write(data)
        if file.read(len(data)) != data:
            return "what was written does not come back"
    return ""
