# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The state of a controller, as far as its queues need it: its identity, its line, its clock."""

from dataclasses import dataclass

from pydriver.drivers.nvme.rings import QueuePair
from pydriver.drivers.nvme.spec import (
    INTERRUPT_MASK_CLEAR,
    INTERRUPT_MASK_SET,
    PAGE,
    IdentifyController,
    IdentifyNamespace,
)
from pydriver.errors import ConfigurationError
from pydriver.wdf import Device, DmaEnabler, Interrupt, MappedRegisters, Request

__all__ = ("MAX_TRANSFER", "WATCH_MS", "ControllerState", "Parameters")

WATCH_MS = 100
"""Milliseconds of a tick."""

MIB = 1 << 20
MAX_TRANSFER = 4 * MIB
"""Bytes: QEMU takes no more than 1024 pieces."""


@dataclass(frozen=True)
class Parameters:
    """The driver's parameters, which on Windows the registry would hold.

    :ivar queues: I/O queue pairs to use, 1 to 64, if the controller has so many
    :ivar depth: commands in flight for each of them, 1 to 1023
    :ivar max_transfer: maximum bytes of one command's data; 4096 to 4 MiB, a multiple of 4096
    :ivar timeout_ms: time, in ms, after which a command is aborted; after twice that time, the
        controller is reset
    """

    queues: int = 4
    depth: int = 32
    max_transfer: int = MIB
    timeout_ms: int = 5000

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("queues", self.queues, 1, 64),
            ("depth", self.depth, 1, 1023),
            ("max_transfer", self.max_transfer, PAGE, MAX_TRANSFER),
            ("timeout_ms", self.timeout_ms, 1, 3_600_000),
        ):
            if not low <= value <= high:
                raise ConfigurationError(f"{name} {value}: {low} to {high} are possible")
        if self.max_transfer % PAGE:
            raise ConfigurationError(
                f"max_transfer {self.max_transfer} is not a multiple of {PAGE}"
            )


class ControllerState:
    """The state that a controller and its queues share.

    :ivar device: the controller's device
    :ivar parameters: the driver's parameters
    :ivar enabler: the controller's DMA enabler
    :ivar identity: the controller's identify data
    :ivar by_name: the active namespaces by the names of their files; "" is the first one
    :ivar max_transfer: bytes of one command's data, at most
    :ivar gone: whether the controller has been pulled out
    """

    device: Device
    parameters: Parameters
    enabler: DmaEnabler
    identity: IdentifyController
    _mapped: MappedRegisters

    def __init__(self) -> None:
        self.by_name: dict[str, IdentifyNamespace] = {}
        self.max_transfer = 0
        self.gone = False
        self._tick = 0
        self._line: Interrupt | None = None  # while it is connected

    def take_completions(
        self, pair: QueuePair, *, acknowledge: bool = True
    ) -> list[tuple[int, int, int]]:
        """Takes completions while the ISR cannot see those that are taken and not acknowledged.

        With a line, the ISR would find nothing and the line would stay asserted. It would interrupt
        the thread that is about to release it again and again, perhaps forever.
        """
        line = self._line
        if line is None:
            return pair.take_completions(acknowledge=acknowledge)
        line.acquire_lock()
        try:
            return pair.take_completions(acknowledge=acknowledge)
        finally:
            line.release_lock()

    def _mask(self) -> None:
        """Keeps the controller off the line, which other devices may share while its ISR is off."""
        self._mapped.write32(INTERRUPT_MASK_SET, 1)

    def unmask(self) -> None:
        """Lets the line interrupt again; up to DISPATCH_LEVEL."""
        line = self._line
        if line is not None:
            line.acquire_lock()
            if self._line is line:  # otherwise the ISR is not called any more
                self._mapped.write32(INTERRUPT_MASK_CLEAR, 1)
            line.release_lock()

    def namespace_of(self, request: Request) -> IdentifyNamespace:
        """The namespace that the request's file has opened."""
        file = request.get_file_object()
        assert file is not None
        return self.by_name[file.name]

    def deadline(self) -> int:
        """The tick after which a command handed over now is late."""
        return self._tick + 1 + -(-self.parameters.timeout_ms // WATCH_MS)
