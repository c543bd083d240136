# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Faults of the device under test: its QOM properties whose names begin with ``fault-``.

`mqdma` has them, and so has any device model of QEMU that follows the same convention.
"""

from typing import TYPE_CHECKING

from pydriver.errors import ConfigurationError, MachineError
from pydriver.testing.systems import device_id
from pydriver.testing.watch import Fate

if TYPE_CHECKING:
    from pydriver.testing.watch import Watch

__all__ = ("Fault",)

PREFIX = "fault-"


class Fault:
    """The faults of the device under test. The machine is not used for another test afterwards.

    :param watch: the watch of the test
    :raises ConfigurationError: there is no device under test
    """

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch
        self._machine = watch.system.machine
        self._device = device_id(self._machine.config)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the faults: the device's properties, without ``fault-``."""
        names = self._machine.properties(self._device)
        return tuple(sorted(each.removeprefix(PREFIX) for each in names if each.startswith(PREFIX)))

    def set(self, **faults: int | bool) -> None:
        """Sets properties, in the order given: ``fault.set(queue=1, lost=4)``.

        :param faults: the values by name of the fault, without ``fault-``; underscores become
            hyphens
        :raises ConfigurationError: the device has no such fault
        :raises MachineError: QEMU refuses the value
        """
        for name, value in faults.items():
            self._set(PREFIX + name.replace("_", "-"), value)

    def inject(self, name: str, queue: int = 0) -> None:
        """Breaks the device as ``pydriver run --fault NAME`` does.

        :param name: ``spurious``, ``storm``, ``lost``, ``stuck``, ``hung``, ``corrupt``, ``dma``
            or ``removed``
        :param queue: the queue that it happens to
        :raises ConfigurationError: there is no such fault, or the device does not have it
        """
        from pydriver.drivers.mqdma.faults import FAULTS

        if name not in FAULTS:
            raise ConfigurationError(f"fault {name!r}: there are {', '.join(FAULTS)}")
        for each, value in FAULTS[name].settings(queue):
            self._set(each, value)

    def _set(self, name: str, value: int | bool) -> None:  # noqa: FBT001 -- a value of QOM
        __tracebackhide__ = True
        self._watch.worsen(Fate.SPENT)
        try:
            self._machine.set_property(self._device, name, value)
        except MachineError as error:
            names = self.names
            if name.removeprefix(PREFIX) in names:
                raise
            has = f"it has {', '.join(names)}" if names else "it has no faults at all"
            device = self._machine.config.devices[0]
            raise ConfigurationError(f"device {device} has no property {name}; {has}") from error
