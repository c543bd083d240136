# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The exceptions of pydriver: a small tree under :class:`PydriverError`."""

__all__ = (
    "AccessFault",
    "CapabilityError",
    "ConfigAccessError",
    "ConfigurationError",
    "LinkError",
    "LinkStopped",
    "MachineDied",
    "MachineError",
    "PciError",
    "PciNotFoundError",
    "PciResourceError",
    "PciTimeoutError",
    "PydriverError",
    "Stalled",
    "StateError",
    "VectorsExhaustedError",
)


class PydriverError(Exception):
    """Everything that pydriver raises on purpose."""


class ConfigurationError(PydriverError):
    """What was asked for cannot be built: a bad value, or a file that is missing."""


class MachineError(PydriverError):
    """QEMU could not be started or did not do what it was told."""


class MachineDied(MachineError):
    """The QEMU process ended although nobody asked it to; says so with its last lines."""


class StateError(PydriverError):
    """A call that the state of its object does not allow: before its start, or after its end."""


class Stalled(PydriverError):
    """Nothing moves any more, and nothing has failed: a request that nobody completes."""


class LinkError(PydriverError):
    """The guest and the controller do not understand each other."""


class LinkStopped(LinkError):
    """A wait on the link ended because the link is being closed."""


class AccessFault(LinkError):
    """A command touched an address that faults in the guest.

    :ivar address: guest-physical address, port or MSR of the command
    :ivar vector: exception vector that the processor raised
    :ivar error_code: what it pushed
    """

    def __init__(self, address: int, vector: int, error_code: int) -> None:
        super().__init__(
            f"access to {address:#x} faulted in the guest: vector {vector}, "
            f"error code {error_code:#x}"
        )
        self.address = address
        self.vector = vector
        self.error_code = error_code


class PciError(PydriverError):
    """Something about a PCI function or a bus; the message names the function."""


class ConfigAccessError(PciError):
    """An access to configuration space that no hardware can make: misaligned or out of range."""


class PciNotFoundError(PciError):
    """There is no such function on any bus."""


class CapabilityError(PciError):
    """A capability is missing, its list is damaged, or it cannot do what was asked."""


class PciResourceError(PciError):
    """A window has no room left for a BAR, or a BAR is not assigned."""


class PciTimeoutError(PciError):
    """A function did not finish in the time that the specification gives it."""


class VectorsExhaustedError(PciError):
    """No free interrupt vectors of that number and IRQL on that processor."""
