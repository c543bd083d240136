# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The driver of `mqdma`, the multi-queue DMA engine (qemu-device/mqdma.md).

Each hardware queue has a queue object, an EvtDpcFunc DPC whose parent is that queue object, a
repair work item, and, with MSI-X, a message of its own. A request takes this path:

- the default queue's handler forwards it to the queue object of the next hardware queue; at
  DISPATCH_LEVEL, to the next one whose interrupt arrives on the same processor;
- that queue's handler copies the data to the shared memory and rings the doorbell;
- the ISR takes the queue's last event, which the next one would overwrite, and queues the DPC;
- the DPC takes completions from the ring and completes their requests;
- the work item handles failed requests and hung queues: it resets the queue if necessary and
  submits again what had been in flight.

Interrupts can also get lost. While requests are in flight, a timer periodically looks for
completions whose interrupt has not arrived.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from pydriver.abi._native import lib
from pydriver.drivers.mqdma.queue import HardwareQueue, QueueLayout
from pydriver.errors import ConfigurationError
from pydriver.ke import (
    DriverObject,
    Kernel,
    get_current_processor_number,
    query_active_processor_count,
)
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_NO_SUCH_DEVICE,
    STATUS_SUCCESS,
)
from pydriver.wdf import (
    WDF_REL_TIMEOUT_IN_MS,
    Device,
    DeviceInit,
    Dpc,
    DpcConfig,
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
    Timer,
    TimerConfig,
    WorkItem,
    WorkItemConfig,
    ctl_code,
)

__all__ = (
    "CRC_BYTES",
    "DEVICE",
    "HARDWARE_IDS",
    "IOCTL_COPY",
    "IOCTL_NOP",
    "VENDOR",
    "Capture",
    "MqdmaDevice",
    "Parameters",
    "driver_entry",
    "driver_entry_with",
    "shared_memory",
)

VENDOR = lib.MQDMA_PCI_VENDOR
DEVICE = lib.MQDMA_PCI_DEVICE
HARDWARE_IDS = (rf"PCI\VEN_{VENDOR:04X}&DEV_{DEVICE:04X}",)
METHOD_OUT_DIRECT = 2

IOCTL_COPY = ctl_code(0x800, METHOD_OUT_DIRECT)
"""Input: up to a block of data. Output: the data as the device copied it, then its CRC-32C as the
device computed it, 32 bits, little endian."""

IOCTL_NOP = ctl_code(0x801)
"""No input, no output: the device completes an empty descriptor."""

CRC_BYTES = 4
ALL_ONES = 0xFFFFFFFF
WATCH_INTERVAL = WDF_REL_TIMEOUT_IN_MS(50)
MAX_SHARED = 4 << 30


class Capture(Enum):
    """The callback that takes a queue's last event from the device."""

    ISR = "isr"
    DPC = "dpc"
    """Too late, on purpose: by the device's overrun counter the tests show the lost events."""


@dataclass(frozen=True)
class Parameters:
    """The driver's parameters, which on Windows the registry would hold.

    :ivar depth: requests in flight for each hardware queue, 1 to 2048
    :ivar block: largest request in bytes, 4 to 16 MiB, a multiple of 4
    :ivar capture: the callback that takes events
    :ivar watchdog_us: time without progress, in us, after which the device reports a queue as hung
    """

    depth: int = 32
    block: int = 65536
    capture: Capture = Capture.ISR
    watchdog_us: int = 1_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 2048:
            raise ConfigurationError(f"depth {self.depth}: 1 to 2048 are possible")
        if not 4 <= self.block <= lib.MQDMA_MAX_TRANSFER or self.block % 4:
            raise ConfigurationError(
                f"block of {self.block} bytes: 4 to {lib.MQDMA_MAX_TRANSFER} are possible, "
                "in steps of 4"
            )

    @property
    def layout(self) -> QueueLayout:
        """The layout of a queue's rings and buffers in its part of the shared memory."""
        return QueueLayout.for_depth(self.depth, self.block)


def shared_memory(queues: int, depth: int, block: int) -> int:
    """The number of bytes of BAR2 that the driver needs, a power of two.

    :raises ConfigurationError: the number is more than 4 GiB
    """
    needed = queues * Parameters(depth, block).layout.size
    size = 1 << (needed - 1).bit_length()
    if size > MAX_SHARED:
        raise ConfigurationError(
            f"{queues} queues of {depth} blocks of {block} bytes need {-(-needed >> 20)} MiB of "
            f"shared memory; {MAX_SHARED >> 20} MiB are possible"
        )
    return size


@dataclass
class MqdmaDevice:
    """The device's context.

    :ivar queues: the hardware queues
    :ivar local: the queues by the processor on which their interrupts arrive
    :ivar requests: number of requests so far, which decides the next queue
    :ivar gone: the device answers with all ones
    :ivar watching: the watch is started
    :ivar seen: completed requests of each queue at the last look of the watch
    """

    parameters: Parameters = field(default_factory=Parameters)
    queues: list[HardwareQueue] = field(default_factory=list)
    interrupts: list[Interrupt] = field(default_factory=list)
    local: list[list[HardwareQueue]] = field(default_factory=list)
    requests: int = 0
    gone: bool = False
    exclusive: bool = False
    watching: bool = False
    registers: MappedRegisters = field(init=False)
    watch: Timer = field(init=False)
    seen: list[int] = field(default_factory=list)


def driver_entry(driver_object: DriverObject) -> Driver:
    """DriverEntry, with the default parameters."""
    return driver_entry_with(Parameters())(driver_object)


def driver_entry_with(parameters: Parameters) -> Callable[[DriverObject], Driver]:
    """A DriverEntry for these parameters."""

    def entry(driver_object: DriverObject) -> Driver:
        def add(driver: Driver, init: DeviceInit) -> None:
            _device_add(init, parameters)

        return Driver.create(driver_object, DriverConfig(evt_driver_device_add=add))

    return entry


def _device_add(init: DeviceInit, parameters: Parameters) -> None:
    init.set_pnp_power_event_callbacks(
        PnpPowerEventCallbacks(
            evt_device_prepare_hardware=_prepare_hardware,
            evt_device_d0_entry=_d0_entry,
            evt_device_d0_exit=_d0_exit,
            evt_device_release_hardware=_release_hardware,
            evt_device_surprise_removal=_surprise_removal,
        )
    )
    device = Device.create(init, ObjectAttributes(context_type=MqdmaDevice))
    context = device.get_typed_context(MqdmaDevice)
    context.parameters = parameters
    # The number in use is not known before the numbers of messages and of the device's queues are.
    for index in range(lib.MQDMA_MAX_QUEUES):
        context.interrupts.append(_create_interrupt(device, context, index))
    IoQueue.create(
        device,
        IoQueueConfig(
            IoQueueDispatchType.PARALLEL,
            evt_io_device_control=_make_router(device.system.kernel, context),
            default_queue=True,
        ),
    )
    context.watch = Timer.create(
        TimerConfig(evt_timer_func=_watch), ObjectAttributes(parent_object=device)
    )


# Hardware


def _prepare_hardware(device: Device, raw: ResourceList, translated: ResourceList) -> int:
    context = device.get_typed_context(MqdmaDevice)
    registers = translated.memory[lib.MQDMA_BAR_REGISTERS].map()
    if registers.read32(lib.MQDMA_REG_ID) != lib.MQDMA_ID_VALUE:
        return STATUS_NO_SUCH_DEVICE
    context.registers = registers
    count = registers.read32(lib.MQDMA_REG_CAPS) & lib.MQDMA_CAPS_QUEUES_MASK
    shared = device.system.machine.bar2
    layout = context.parameters.layout
    if shared is None or shared.size < count * layout.size:
        return STATUS_BUFFER_TOO_SMALL
    messages = len(translated.interrupts)
    # The line is released by reading the causes, so it is served as if it were shared.
    context.exclusive = messages >= count and translated.interrupts[0].message_signaled
    if not context.queues:
        for index in range(count):
            context.queues.append(_create_queue(device, context, index))
    for queue in context.queues:
        queue.map(registers, shared, layout, vector=queue.index % messages)
        queue.interrupt = context.interrupts[queue.index % messages]
    context.local = [
        [queue for queue in context.queues if _arrives_on(processor, queue)]
        for processor in range(query_active_processor_count(device.system.kernel))
    ]
    return STATUS_SUCCESS


def _arrives_on(processor: int, queue: HardwareQueue) -> bool:
    return bool(queue.interrupt.get_info().target_processor_set & 1 << processor)


def _create_queue(device: Device, context: MqdmaDevice, index: int) -> HardwareQueue:
    hardware = HardwareQueue(index, context.parameters.watchdog_us, lambda: _start_watch(context))
    queue = IoQueue.create(
        device,
        IoQueueConfig(
            IoQueueDispatchType.PARALLEL,
            evt_io_device_control=hardware.evt_io_device_control,
            number_of_presented_requests=context.parameters.depth,
        ),
    )
    below = ObjectAttributes(parent_object=queue)
    take_event = context.parameters.capture is Capture.DPC

    def evt_dpc_func(dpc: Dpc) -> None:
        if take_event:
            hardware.capture()
        hardware.reap()

    hardware.queue = queue
    hardware.lock = SpinLock.create(below)
    hardware.dpc = Dpc.create(DpcConfig(evt_dpc_func=evt_dpc_func), below)
    hardware.repair = WorkItem.create(WorkItemConfig(evt_work_item_func=hardware.evt_repair), below)
    return hardware


def _d0_entry(device: Device, previous: int) -> None:
    context = device.get_typed_context(MqdmaDevice)
    write32 = context.registers.write32
    write32(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_RESET)
    # A queue that fails raises its own interrupt; the device-level causes only repeat that.
    write32(lib.MQDMA_REG_INT_MASK_GLOBAL, lib.MQDMA_GLOBAL_ALL)
    write32(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_ENABLE)
    for queue in context.queues:
        queue.program()


def _d0_exit(device: Device, target: int) -> None:
    context = device.get_typed_context(MqdmaDevice)
    # Not before: the queues have just waited for requests whose interrupts may have been lost.
    context.watch.stop(wait=True)
    context.watching = False
    for queue in context.queues:
        queue.repair.flush()
    # A reset also clears the causes, which would assert the line once messages are off.
    context.registers.write32(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_RESET)


def _release_hardware(device: Device, translated: ResourceList) -> None:
    context = device.get_typed_context(MqdmaDevice)
    for queue in context.queues:
        queue.unmap()


def _surprise_removal(device: Device) -> None:
    """The device has been pulled out and will not complete the requests that it has."""
    context = device.get_typed_context(MqdmaDevice)
    context.gone = True
    for queue in context.queues:
        queue.give_up()


# Interrupts


def _create_interrupt(device: Device, context: MqdmaDevice, index: int) -> Interrupt:
    """Creates the interrupt of a message, for its queue, or for all if there are fewer messages."""
    in_isr = context.parameters.capture is Capture.ISR
    queues = context.queues

    def one(interrupt: Interrupt, message: int) -> bool:
        hardware = queues[message]
        if in_isr and not hardware.capture():
            return False
        hardware.queue_dpc()
        return True

    def all_of_them(interrupt: Interrupt, message: int) -> bool:
        causes = _take_causes(context)
        while causes:
            lowest = causes & -causes
            causes ^= lowest
            hardware = queues[lowest.bit_length() - 1]
            hardware.interrupts += 1
            if in_isr:
                hardware.capture()
            hardware.queue_dpc()
            message = -1
        return message < 0

    def isr(interrupt: Interrupt, message: int) -> bool:
        return (one if context.exclusive else all_of_them)(interrupt, message)

    return Interrupt.create(device, InterruptConfig(evt_interrupt_isr=isr))


def _take_causes(context: MqdmaDevice) -> int:
    """Reads the cause registers, which clears them. One bit for each queue."""
    read32 = context.registers.read32
    low = read32(lib.MQDMA_REG_CAUSE_LO)
    high = read32(lib.MQDMA_REG_CAUSE_HI) if len(context.queues) > 32 else 0
    if low == ALL_ONES and read32(lib.MQDMA_REG_ID) == ALL_ONES:
        return 0  # the device is gone
    return high << 32 | low


# Requests


def _make_router(
    kernel: Kernel, context: MqdmaDevice
) -> Callable[[IoQueue, Request, int, int, int], None]:
    all_queues = context.queues
    current_irql = kernel.irql
    largest = context.parameters.block

    def evt_io_device_control(
        queue: IoQueue, request: Request, output_length: int, input_length: int, code: int
    ) -> None:
        if code == IOCTL_COPY:
            if not 0 < input_length <= largest:
                request.complete(STATUS_INVALID_PARAMETER)
                return
            if output_length < input_length + CRC_BYTES:
                request.complete(STATUS_BUFFER_TOO_SMALL)
                return
        elif code != IOCTL_NOP:
            request.complete(STATUS_INVALID_DEVICE_REQUEST)
            return
        if context.gone:
            request.complete(STATUS_NO_SUCH_DEVICE)
            return
        queues = all_queues
        # A request sent by a completion stays on its processor: locks and rings have one user then.
        if current_irql() == DISPATCH_LEVEL:
            queues = context.local[get_current_processor_number(kernel)] or queues
        number = context.requests
        context.requests = number + 1
        request.forward_to_io_queue(queues[number % len(queues)].queue)

    return evt_io_device_control


# The watch


def _start_watch(context: MqdmaDevice) -> None:
    if not context.watching:
        context.watching = True
        context.seen = [-1] * len(context.queues)
        context.watch.start(WATCH_INTERVAL)


def _watch(timer: Timer) -> None:
    """Looks after queues that have requests in flight and make no progress."""
    device = timer.get_parent_object()
    assert isinstance(device, Device)
    context = device.get_typed_context(MqdmaDevice)
    for queue in context.queues:
        if queue.in_flight and context.seen[queue.index] == queue.completed:
            queue.look_after()
            context.gone = context.gone or queue.gone
        context.seen[queue.index] = queue.completed
    if any(queue.in_flight for queue in context.queues):
        timer.start(WATCH_INTERVAL)
        return
    context.watching = False
    # A request that was submitted in the meantime saw the flag still set.
    if any(queue.in_flight for queue in context.queues):
        _start_watch(context)
