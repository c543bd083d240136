# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""QMP for a test: commands, and the events that came while it ran."""

from threading import Condition
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pydriver.machine import Machine

__all__ = ("Qmp",)

TIMEOUT = 10.0


class Qmp:
    """``qmp("query-status")`` executes a command, as :meth:`pydriver.machine.Machine.qmp` does.

    :param machine: the machine to speak to
    :ivar events: name and data of each event since the test began
    """

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self._came = Condition()
        self.events: list[tuple[str, dict[str, Any]]] = []
        machine.listen(self._note)

    def __call__(self, command: str, **arguments: Any) -> Any:
        """Executes a command; underscores in ``arguments`` become hyphens.

        :return: the command's ``return`` value
        :raises MachineError: QEMU refuses it or does not answer
        :raises MachineDied: QEMU has ended
        """
        return self._machine.qmp(command, **arguments)

    def wait(self, name: str, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Waits for an event, which may have come already, and removes it from `events`.

        :param name: the name of the event
        :param timeout: the longest time to wait in seconds
        :return: the data of the event
        """
        __tracebackhide__ = True
        with self._came:
            if not self._came.wait_for(lambda: self._index(name) is not None, timeout):
                pytest.fail(f"QMP event {name} did not come within {timeout:g} s")
            index = self._index(name)
            assert index is not None
            return self.events.pop(index)[1]

    def close(self) -> None:
        """Stops listening for events."""
        self._machine.unlisten(self._note)

    def _index(self, name: str) -> int | None:
        return next((i for i, (each, _) in enumerate(self.events) if each == name), None)

    def _note(self, name: str, data: dict[str, Any]) -> None:
        """Notes an event; called on the QMP thread."""
        with self._came:
            self.events.append((name, data))
            self._came.notify_all()
