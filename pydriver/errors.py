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
    """The base of all exceptions that pydriver raises on purpose."""


class ConfigurationError(PydriverError):
    """A configuration cannot be built: it has a bad value, or a file is missing."""


class MachineError(PydriverError):
    """QEMU could not be started, or did not carry out a command."""


class MachineDied(MachineError):
    """The QEMU process ended unasked; the message has the last lines of its output."""


class StateError(PydriverError):
    """A call that the state of its object does not allow: before its start, or after its end."""


class Stalled(PydriverError):
    """Nothing has failed, but nothing makes progress: for example, nobody completes a request."""


class LinkError(PydriverError):
    """The guest and the controller do not understand each other."""


class LinkStopped(LinkError):
    """A wait on the link ended because the link was being closed."""


class AccessFault(LinkError):
    """A command touched an address that faults in the guest.

    :ivar address: guest-physical address, port or MSR of the command
    :ivar vector: vector of the exception that the processor raised
    :ivar error_code: error code that the processor pushed
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
    """An error of a PCI function or a bus; the message names the function."""


class ConfigAccessError(PciError):
    """An access to configuration space that no hardware can make: misaligned or out of range."""


class PciNotFoundError(PciError):
    """No bus has such a function."""


class CapabilityError(PciError):
    """A capability is missing, cannot do what was asked, or is in a list that is damaged."""


class PciResourceError(PciError):
    """A window has no room left for a BAR, or a BAR is not assigned."""


class PciTimeoutError(PciError):
    """A function did not finish in the time that the specification allows."""


class VectorsExhaustedError(PciError):
    """The processor has not enough free interrupt vectors at that IRQL."""
