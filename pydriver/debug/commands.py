# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The commands that only show state, by name: for the shell of `debug` and for `attach`.

Their names and their output are WDFKD's where it has the command, and as short where it has not. A
command takes words and returns lines; it changes nothing.
"""

import contextlib
import difflib
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydriver.debug import framework, hardware
from pydriver.debug.handles import Handles
from pydriver.errors import PydriverError
from pydriver.wdf import Device, Interrupt, IoQueue
from pydriver.wdf.device.wdfkd import kind_of
from pydriver.wdf.io.request_base import RequestBase

if TYPE_CHECKING:
    from pydriver.system import System
    from pydriver.wdf import Object

__all__ = ("COMMANDS", "Command", "CommandError", "Views")

LOG_LINES = 40
MEMORY_BYTES = 64
TRIES = 100

ObjectT = TypeVar("ObjectT", bound="Object")


class CommandError(PydriverError):
    """A command cannot show what its arguments ask for."""


@dataclass(frozen=True)
class Command:
    """A command.

    :ivar name: the name, as it is typed
    :ivar usage: the arguments, as help shows them
    :ivar help: the description, in one line
    :ivar show: the function that takes the views and the words, and returns lines
    """

    name: str
    usage: str
    help: str
    show: Callable[["Views", list[str]], list[str]]


class Views:
    """The views of one system.

    :param system: the running system
    :ivar handles: the handles of its objects
    """

    def __init__(self, system: "System") -> None:
        self.system = system
        self.handles = Handles(system)

    def execute(self, line: str) -> list[str]:
        """Executes a command line; a ``!`` before it, as in WinDbg, is ignored.

        :return: the lines of the output
        :raises CommandError: there is no such command, or it cannot be carried out
        """
        try:
            words = shlex.split(line.strip().removeprefix("!"))
        except ValueError as error:
            raise CommandError(f"{line!r}: {error}") from error
        if not words:
            return []
        name, *arguments = words
        command = COMMANDS.get(name)
        if command is None:
            near = difflib.get_close_matches(name, COMMANDS, 1)
            raise CommandError(
                f"there is no command {name!r}" + (f"; {near[0]!r}?" if near else " (see help)")
            )
        most = len(command.usage.split())
        if len(arguments) > most:
            raise CommandError(f"usage: {name} {command.usage}".rstrip())
        for _ in range(TRIES):
            try:
                return command.show(self, arguments)
            except ValueError as error:
                raise CommandError(f"{name}: {error}") from error
            except RuntimeError:  # a set or a queue has changed while it was iterated
                continue
        raise CommandError(f"{name}: the system changes too quickly to be shown; stop it first")

    # Arguments

    def object(self, words: list[str], wanted: type[ObjectT]) -> ObjectT:
        """Returns the object that the first word names, or the only one of its type.

        :raises CommandError: there is no such object, or there are several
        """
        if words:
            found = self.handles.find(words[0])
            if found is None:
                raise CommandError(f"{words[0]} is neither a handle nor the name of an object")
            if not isinstance(found, wanted):
                raise CommandError(f"{words[0]} is a {kind_of(found)}: {found}")
            return found
        candidates = [each for each in self.handles.all() if isinstance(each, wanted)]
        if len(candidates) == 1:
            return candidates[0]
        if not candidates:
            raise CommandError(f"there is no object of the type {wanted.__name__}")
        named = ", ".join(f"{self.handles.of(each)} ({each})" for each in candidates[:8])
        raise CommandError(
            f"there are several: name one of {named}{', ...' if len(candidates) > 8 else ''}"
        )

    def any_object(self, words: list[str]) -> "Object":
        """Returns the object that a word names."""
        if not words:
            raise CommandError("give the handle of an object, as the other commands print it")
        found = self.handles.find(words[0])
        if found is None:
            raise CommandError(f"{words[0]} is neither a handle nor the name of an object")
        return found


def _number(words: list[str], index: int, default: int, what: str) -> int:
    if len(words) <= index:
        return default
    try:
        return int(words[index], 0)
    except ValueError:
        raise CommandError(f"{words[index]!r} is not a {what}") from None


def _driver_info(views: Views, words: list[str]) -> list[str]:
    drivers = [
        each.driver
        for each in views.system.drivers
        if each.driver is not None and (not words or each.name == words[0])
    ]
    if not drivers:
        raise CommandError(f"no driver {words[0]} is loaded" if words else "no driver is loaded")
    return [line for each in drivers for line in framework.show_driver(views.handles, each)]


def _log_dump(views: Views, words: list[str]) -> list[str]:
    count = _number(words, 0, LOG_LINES, "number of lines")
    return views.system.kernel.recorder.format(count)


def _crash_dump(views: Views, words: list[str]) -> list[str]:
    from pydriver.ke import BugCheck

    failure = views.system.kernel.failure
    lines = [
        line
        for each in views.system.kernel.verifier.violations
        for line in each.report().splitlines()
    ]
    if isinstance(failure, BugCheck):
        lines += failure.report.splitlines()
    elif failure is not None:
        lines.append(f"the system has ended: {failure}")
    return lines or ["there is no bug check, and the verifier has found no broken rule"]


def _local_apic(views: Views, words: list[str]) -> list[str]:
    number = _number(words, 0, 0, "processor")
    count = len(views.system.kernel.processors)
    if not 0 <= number < count:
        raise CommandError(f"processor {number}: there are {count}")
    return hardware.local_apic(views.system, number)


def _registers(views: Views, words: list[str]) -> list[str]:
    return hardware.device_registers(views.system, views.object(words, Device))


def _memory(views: Views, words: list[str]) -> list[str]:
    if not words:
        raise CommandError("usage: mem ADDRESS|SYMBOL [BYTES]")
    try:
        address = int(words[0], 0)
    except ValueError:
        with contextlib.suppress(PydriverError):
            address = views.system.machine.image.symbol(words[0])
            return hardware.dump_memory(
                views.system, address, _number(words, 1, MEMORY_BYTES, "number of bytes")
            )
        raise CommandError(
            f"{words[0]!r} is neither an address nor a symbol of the guest"
        ) from None
    length = _number(words, 1, MEMORY_BYTES, "number of bytes")
    return hardware.dump_memory(views.system, address, length)


def _help(views: Views, words: list[str]) -> list[str]:
    names = [each for each in COMMANDS.values() if not words or each.name in words]
    if not names:
        raise CommandError(f"there is no command {words[0]!r}")
    width = max(len(f"{each.name} {each.usage}") for each in names)
    return [f"{f'{each.name} {each.usage}':<{width}}  {each.help}" for each in names]


def _framework(
    function: Callable[[Handles, ObjectT], list[str]], wanted: type[ObjectT]
) -> Callable[[Views, list[str]], list[str]]:
    return lambda views, words: function(views.handles, views.object(words, wanted))


def _request(views: Views, words: list[str]) -> list[str]:
    request = views.object(words, RequestBase)
    return framework.show_request(views.handles, views.system, request)


COMMANDS = {
    command.name: command
    for command in (
        Command("wdfdriverinfo", "[DRIVER]", "the drivers and their devices", _driver_info),
        Command(
            "wdfdevice",
            "[DEVICE]",
            "a device: its states, its callbacks",
            _framework(framework.show_device, Device),
        ),
        Command(
            "wdfdevicequeues",
            "[DEVICE]",
            "a device's queues and their requests",
            _framework(framework.device_queues, Device),
        ),
        Command(
            "wdfdeviceinterrupts",
            "[DEVICE]",
            "a device's interrupts",
            _framework(framework.device_interrupts, Device),
        ),
        Command(
            "wdfinterrupt",
            "[INTERRUPT]",
            "an interrupt: resource, state, callbacks",
            _framework(framework.show_state, Interrupt),
        ),
        Command(
            "wdfqueue",
            "[QUEUE]",
            "a queue: state, requests, handlers",
            _framework(framework.show_state, IoQueue),
        ),
        Command(
            "wdfrequest", "[REQUEST]", "a request, and the events since it was presented", _request
        ),
        Command(
            "wdfobject",
            "HANDLE",
            "the properties that all objects have: parent, children, references",
            lambda views, words: framework.show_object(views.handles, views.any_object(words)),
        ),
        Command(
            "wdfhandle",
            "HANDLE",
            "the type of a handle",
            lambda views, words: framework.show_handle(views.handles, views.any_object(words)),
        ),
        Command("wdflogdump", "[LINES]", "the last events of the recorder", _log_dump),
        Command("wdfcrashdump", "", "the bug check, and the rules that were broken", _crash_dump),
        Command(
            "dpcs",
            "",
            "the DPC queue of each processor",
            lambda views, words: hardware.dpc_queues(views.system),
        ),
        Command(
            "irql",
            "",
            "each processor's IRQL: Python's state beside the guest's CR8",
            lambda views, words: hardware.irqls(views.system),
        ),
        Command("lapic", "[PROCESSOR]", "the local APIC of a processor", _local_apic),
        Command(
            "pci",
            "",
            "the PCI functions, their BARs and drivers",
            lambda views, words: hardware.pci_functions(views.system),
        ),
        Command("regs", "[DEVICE]", "a device's registers, decoded; it reads each", _registers),
        Command("mem", "ADDRESS|SYMBOL [BYTES]", "guest RAM", _memory),
        Command(
            "sym",
            "[PATTERN|ADDRESS]",
            "symbols of the guest, or the one at an address",
            lambda views, words: hardware.symbols(views.system, words[0] if words else "*"),
        ),
        Command(
            "bt",
            "",
            "the guest's upcall frames, and the driver's stacks",
            lambda views, words: hardware.backtrace(views.system),
        ),
        Command("help", "[COMMAND]", "this list", _help),
    )
}
"""The commands, by name."""

ACTIVE = frozenset({"regs"})
"""Commands that a device may notice: a read of a register can clear it."""
