# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A session of `pydriver debug`: the commands that stop the system and let it go on."""

import time
from typing import TYPE_CHECKING, Any

from pydriver.debug import CommandError, Stop, Views
from pydriver.debug.shell import ShellCommand, view_commands
from pydriver.ke.probes import Point

if TYPE_CHECKING:
    from pydriver.cli.debug_job import DebugJob
    from pydriver.ke import System

__all__ = ("DebugSession",)

DETAILED = frozenset({Point.UPCALL, Point.INTERRUPT, Point.REGISTER})
"""Points that a breakpoint names by a number: a vector, an address."""

HELP = {
    "go": ("[SECONDS]", "let the system run until it stops; start the application"),
    "stop": ("", "stop the machine, and hold the driver's threads"),
    "step": ("[POINT]", "go on to the next upcall, interrupt, dpc, callback, register, ddi ..."),
    "bp": ("POINT [NAME|NUMBER]", "stop at a vector, a register, a ddi, a callback, a rule ..."),
    "bl": ("", "list the breakpoints"),
    "bc": ("NUMBER|*", "clear a breakpoint, or all"),
    "inject": ("VECTOR [PROCESSOR]", "send an interrupt to a processor"),
    "fault": ("ID PROPERTY VALUE", "set a property of one of QEMU's devices"),
    "help": ("[COMMAND]", "this list"),
}

WORDS = {"vector": Point.UPCALL} | {point.value: point for point in Point}


class DebugSession:
    """The commands of one session.

    :param job: whose system is debugged; its system runs
    :param loaded: the driver has been loaded; if not, the first :meth:`go` does it
    """

    def __init__(self, job: "DebugJob", *, loaded: bool) -> None:
        self._job = job
        self._loaded = loaded
        self._debugger = job.debugger
        self._started = False
        system = job.system
        assert system is not None
        self._system: System = system
        self.views = Views(system)

    @property
    def commands(self) -> dict[str, ShellCommand]:
        """All commands by name."""
        own = {
            "go": self.go,
            "stop": self.stop,
            "step": self.step,
            "bp": self.bp,
            "bl": self.bl,
            "bc": self.bc,
            "inject": self.inject,
            "fault": self.fault,
            "help": self.help,
        }
        return {
            **{name: ShellCommand(*HELP[name], run) for name, run in own.items()},
            **{name: each for name, each in view_commands(self.views).items() if name != "help"},
        }

    @property
    def names(self) -> dict[str, Any]:
        """What Python code in the shell sees."""
        system = self._system
        devices = self._job.devices
        return {
            "system": system,
            "kernel": system.kernel,
            "machine": system.machine,
            "driver": devices[0].driver if devices else None,
            "device": devices[0] if devices else None,
            "devices": devices,
            "debugger": self._debugger,
            "views": self.views,
        }

    def go(self, line: str) -> str:
        """Lets the system run until it stops; the first time it starts the application, too.

        Without a time it waits until a breakpoint, the end of the application, or Ctrl-C.
        """
        timeout = None if not line else _seconds(line)
        if not self._loaded:
            self._loaded = True
            self._job.load()
        if not self._started and self._job.application:
            self._started = True
            self._job.exercise()
        self._debugger.resume()
        return self._wait(timeout)

    def stop(self, line: str) -> str:
        """Stops the machine, and holds the driver's threads."""
        return str(self._debugger.stop())

    def step(self, line: str) -> str:
        """Goes on to the next point of a kind."""
        point = WORDS.get(line or "upcall")
        if point is None:
            raise CommandError(f"{line!r} is none of {', '.join(WORDS)}")
        self._debugger.step(point)
        return self._wait(None)

    def bp(self, line: str) -> str:
        """Adds a breakpoint.

        The name is a shell pattern: of a callback, a DDI, a rule. Where a point has a number, a
        vector or an address, that can be given instead.
        """
        words = line.split()
        point = WORDS.get(words[0]) if words else None
        if point is None or len(words) > 2:
            raise CommandError(f"usage: bp POINT [NAME|NUMBER]; POINT is one of {', '.join(WORDS)}")
        if len(words) == 1:
            return str(self._debugger.break_at(point))
        if point in DETAILED:
            try:
                return str(self._debugger.break_at(point, detail=int(words[1], 0)))
            except ValueError:
                pass
        return str(self._debugger.break_at(point, words[1]))

    def bl(self, line: str) -> str:
        """Lists the breakpoints."""
        return "\n".join(map(str, self._debugger.breakpoints.values())) or "there is no breakpoint"

    def bc(self, line: str) -> str:
        """Clears a breakpoint, or all."""
        numbers = list(self._debugger.breakpoints) if line == "*" else [line]
        for each in numbers:
            try:
                self._debugger.clear(int(each))
            except (KeyError, ValueError):
                raise CommandError(f"there is no breakpoint {each!r}") from None
        return ""

    def inject(self, line: str) -> str:
        """Sends an interrupt to a processor, as another one would."""
        words = line.split()
        try:
            vector = int(words[0], 0)
            number = int(words[1], 0) if len(words) > 1 else 0
        except (IndexError, ValueError):
            raise CommandError("usage: inject VECTOR [PROCESSOR]") from None
        processors = self._system.kernel.processors
        if not 0x30 <= vector <= 0xFF or not 0 <= number < len(processors):
            raise CommandError("a vector is 0x30 to 0xff, and the processor one that there is")
        if self._debugger.stopped is not None:
            raise CommandError("the machine is stopped; the interrupt needs a processor that runs")
        with self._debugger.free(), self._system.kernel.borrowed() as link:
            link.send_ipi(processors[number].link.apic_id, vector)
            link.sync()
        return f"vector {vector:#x} was sent to processor {number}"

    def fault(self, line: str) -> str:
        """Sets a property of one of QEMU's devices, by the device's id [QOM]."""
        words = line.split()
        if len(words) != 3:
            raise CommandError("usage: fault ID PROPERTY VALUE")
        identifier, name, text = words
        value: int | bool | str
        try:
            value = int(text, 0)
        except ValueError:
            value = {"true": True, "on": True, "false": False, "off": False}.get(text, text)
        path = f"/machine/peripheral/{identifier}"
        self._system.machine.qmp("qom-set", path=path, property=name, value=value)
        return ""

    def help(self, line: str) -> str:
        """Lists the commands."""
        commands = self.commands
        if line and line not in commands:
            raise CommandError(f"there is no command {line!r}")
        shown = [line] if line else list(commands)
        usages = {name: f"{name} {commands[name].usage}".rstrip() for name in shown}
        width = max(map(len, usages.values()))
        return "\n".join(f"{usages[name]:<{width}}  {commands[name].help}" for name in shown)

    def _wait(self, timeout: float | None) -> str:
        debugger, job = self._debugger, self._job
        start = time.monotonic()

        def idle() -> bool:
            return not job.busy and (timeout is None or self._started)

        try:
            stop: Stop | None = debugger.wait(timeout, idle)
        except KeyboardInterrupt:
            return str(debugger.stop("stopped by Ctrl-C"))
        if stop is not None:
            return str(stop)
        failure = self._system.kernel.failure
        if failure is not None:
            return f"the system has ended: {failure}"
        if idle():
            return "the application has ended" if self._started else "it runs; nothing is going on"
        return f"it still runs after {time.monotonic() - start:.1f} s"


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CommandError(f"{text!r} is no number of seconds") from None
