# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A session of the debugger: its systems, and the commands that stop and continue them."""

import contextlib
import linecache
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydriver.debug.commands import CommandError, Views
from pydriver.debug.debuggee import Debuggee
from pydriver.debug.debugger import Debugger, Stop
from pydriver.debug.shell import ShellCommand, view_commands
from pydriver.debug.snapshots import Position, Snapshot
from pydriver.errors import PydriverError
from pydriver.ke.bugcheck import BugCheck
from pydriver.ke.probes import Point

if TYPE_CHECKING:
    from pydriver.system import System

__all__ = ("END", "DebugSession")

END = 5.0
"""Seconds that a system has to end before its power is cut."""

SETTLE = 1.0
"""Seconds that an application has to end after its system has ended."""

LOOK = 0.02
"""Seconds between two checks of the state of a job."""

DETAILED = frozenset({Point.UPCALL, Point.INTERRUPT, Point.REGISTER})
"""Points that a breakpoint can name by a number: a vector or an address."""

HELP = {
    "go": ("[SECONDS]", "let the system run until it stops; start the application"),
    "stop": ("", "stop the machine, and hold the driver's threads"),
    "step": ("[POINT]", "run to the next upcall, interrupt, dpc, callback, register, ddi ..."),
    "bp": ("POINT [NAME|NUMBER]", "stop at a vector, a register, a ddi, a callback, a rule ..."),
    "bl": ("", "list the breakpoints"),
    "bc": ("NUMBER|*", "clear a breakpoint, or all"),
    "inject": ("VECTOR [PROCESSOR]", "send an interrupt to a processor"),
    "fault": ("ID PROPERTY VALUE", "set a property of one of QEMU's devices"),
    "restart": ("", "begin again, with a new system and the driver's file as it is now"),
    "snapshot": ("[NAME]", "name the point at which the system is stopped; list the names"),
    "restore": ("NAME", "begin again, and run to that point"),
    "help": ("[COMMAND]", "this list"),
}

WORDS = {"vector": Point.UPCALL} | {point.value: point for point in Point}


class DebugSession:
    """A session: successive systems, and the commands for them.

    :param make: a function that makes a new debuggee for each start
    :param stop_first: whether the driver is loaded only by the first :meth:`go`
    :ivar debugger: the debugger of all systems of the session
    :ivar namespace: the dictionary in which :attr:`names` are kept up to date
    :raises ConfigurationError: there is no such driver, or it drives none of the devices
    :raises PydriverError: the first system does not start
    """

    def __init__(self, make: Callable[[Debugger], Debuggee], *, stop_first: bool) -> None:
        self._make = make
        self.debugger = Debugger()
        self.namespace: dict[str, Any] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._cut = True  # there is no system to end
        try:
            self._begin(load=not stop_first)
        except KeyboardInterrupt:
            self.end(0)
            raise

    def _begin(self, *, load: bool) -> Stop | None:
        """Starts a system.

        :param load: whether to load its driver as well
        :return: the stop that the driver's start has run into, or ``None``
        """
        self._loaded = self._started = False
        job = self._make(self.debugger)
        self._job, self._cut = job, False
        job.start()
        job.ready.wait()
        if job.system is None or (job.over and job.error is not None):
            raise _ended(job)
        self._system: System = job.system
        self.views = Views(self._system)
        self._name()
        if not load:
            return None
        self._load()
        stop = self.debugger.wait(None, lambda: not job.busy)
        while stop is None and job.busy:  # it has failed and is about to end
            job.join(LOOK)
        if job.over:
            raise _ended(job)
        self._name()
        return stop

    def _load(self) -> None:
        self._loaded = True
        self._job.load()

    def _start(self) -> None:
        if not self._started and self._job.application:
            self._started = True
            self._job.exercise()

    def _name(self) -> None:
        self.namespace.update(self.names)

    def end(self, patience: float) -> BaseException | None:
        """Ends the system.

        :param patience: seconds that the system has to end before its power is cut
        :return: the error that ended it before, if any
        """
        if self._cut:
            return None
        job = self._job
        job.finish()
        job.join(patience)
        deadline = time.monotonic() + END
        while not job.over and time.monotonic() < deadline:
            # An application that still waits fails because of the power cut, which is intended.
            self._cut = True
            job.cut()
            job.join(LOOK)
        if not job.over and job.system is not None:
            # It waits for something else and cannot be woken. Only its thread is left behind.
            with contextlib.suppress(PydriverError, BugCheck):
                job.system.close()
        return None if self._cut else job.error

    @property
    def title(self) -> str:
        """The devices that are debugged, for people."""
        return ", ".join(map(str, self._job.devices)) or "no driver yet"

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
            "restart": self.restart,
            "snapshot": self.snapshot,
            "restore": self.restore,
            "help": self.help,
        }
        return {
            **{name: ShellCommand(*HELP[name], run) for name, run in own.items()},
            **{name: each for name, each in view_commands(self._look).items() if name != "help"},
        }

    def _look(self, line: str) -> list[str]:
        return self.views.execute(line)

    @property
    def names(self) -> dict[str, Any]:
        """The objects that Python code in the shell can use, by name."""
        system = self._system
        devices = self._job.devices
        return {
            "system": system,
            "kernel": system.kernel,
            "machine": system.machine,
            "driver": devices[0].driver if devices else None,
            "device": devices[0] if devices else None,
            "devices": devices,
            "debugger": self.debugger,
            "views": self.views,
        }

    def go(self, line: str) -> str:
        """Lets the system run until it stops; the first call also starts the application.

        Without a time limit it waits for a breakpoint, the end of the application, or Ctrl-C.
        """
        timeout = None if not line else _seconds(line)
        if not self._loaded:
            self._load()
        self._start()
        self.debugger.resume()
        return self._wait(timeout)

    def stop(self, line: str) -> str:
        """Stops the machine, and holds the driver's threads."""
        return str(self.debugger.stop())

    def step(self, line: str) -> str:
        """Continues the system up to the next point of a kind."""
        point = WORDS.get(line or "upcall")
        if point is None:
            raise CommandError(f"{line!r} is not a point; use one of {', '.join(WORDS)}")
        self.debugger.step(point)
        return self._wait(None)

    def bp(self, line: str) -> str:
        """Adds a breakpoint.

        The name is a shell pattern for a callback, a DDI or a rule. If a point has a number, which
        is a vector or an address, that can be given instead.
        """
        words = line.split()
        point = WORDS.get(words[0]) if words else None
        if point is None or len(words) > 2:
            raise CommandError(f"usage: bp POINT [NAME|NUMBER]; POINT is one of {', '.join(WORDS)}")
        if len(words) == 1:
            return str(self.debugger.break_at(point))
        if point in DETAILED:
            try:
                return str(self.debugger.break_at(point, detail=int(words[1], 0)))
            except ValueError:
                pass
        return str(self.debugger.break_at(point, words[1]))

    def bl(self, line: str) -> str:
        """Lists the breakpoints."""
        return "\n".join(map(str, self.debugger.breakpoints.values())) or "there is no breakpoint"

    def bc(self, line: str) -> str:
        """Clears one breakpoint, or all."""
        numbers = list(self.debugger.breakpoints) if line == "*" else [line]
        for each in numbers:
            try:
                self.debugger.clear(int(each))
            except (KeyError, ValueError):
                raise CommandError(f"there is no breakpoint {each!r}") from None
        return ""

    def inject(self, line: str) -> str:
        """Sends an interrupt to a processor, as another processor would."""
        words = line.split()
        try:
            vector = int(words[0], 0)
            number = int(words[1], 0) if len(words) > 1 else 0
        except (IndexError, ValueError):
            raise CommandError("usage: inject VECTOR [PROCESSOR]") from None
        processors = self._system.kernel.processors
        if not 0x30 <= vector <= 0xFF or not 0 <= number < len(processors):
            raise CommandError("the vector must be 0x30 to 0xff, and the processor one that exists")
        if self.debugger.stopped is not None:
            raise CommandError(
                "the machine is stopped, and the interrupt needs a running processor: use go first"
            )
        with self.debugger.free(), self._system.kernel.borrowed() as link:
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
        self._system.machine.set_property(identifier, name, value)
        return ""

    def restart(self, line: str) -> str:
        """Begins again, with a new system and with the driver's file as it is now."""
        stop = self._again(load=True)
        return f"{self.title}, from the beginning" if stop is None else str(stop)

    def _again(self, *, load: bool, goal: Position | None = None) -> Stop | None:
        """Begins again.

        :param load: whether to load the driver as well
        :param goal: the position at which the new system should stop
        :return: the stop that the driver's start has run into, or ``None``
        """
        self.end(0 if self._job.busy else END)
        if not self._job.over:
            raise CommandError(
                "the application does not end: it waits for something outside the system"
            )
        self._job.forget()
        linecache.checkcache()
        self.debugger.seek(goal)  # before anything can reach it: loading the driver may
        try:
            return self._begin(load=load)
        except PydriverError:
            raise
        except (BugCheck, Exception) as error:
            raise CommandError(f"the driver: {type(error).__name__}: {error}") from error

    def snapshot(self, line: str) -> str:
        """Names the point at which the system is stopped; without a name, lists the snapshots."""
        if not line:
            return "\n".join(map(str, self._snapshots.values())) or "there is no snapshot"
        stopped = self.debugger.stopped
        if stopped is None or stopped.position is None:
            raise CommandError("the system is not stopped at a point; use bp or step first")
        taken = Snapshot(line, stopped.position, self.debugger.counts, self._started)
        self._snapshots[line] = taken
        return str(taken)

    def restore(self, line: str) -> str:
        """Begins again, and runs to the point that a snapshot names.

        Changes that were made at the prompt are not made again.
        """
        snapshot = self._snapshots.get(line)
        if snapshot is None:
            raise CommandError(f"there is no snapshot {line!r}")
        try:
            self._again(load=False, goal=snapshot.position)
            self._load()
            if snapshot.started:
                self._start()
            text = self._wait(None)
        finally:
            self.debugger.seek(None)
        stopped = self.debugger.stopped
        if stopped is None or stopped.position != snapshot.position:
            return f"{text}\nit has not reached {snapshot.position}"
        return f"{text}\n{snapshot.compare(self.debugger.counts)}"

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
        debugger, job = self.debugger, self._job
        start = time.monotonic()

        def idle() -> bool:
            return not job.busy and (timeout is None or self._started)

        try:
            stop: Stop | None = debugger.wait(timeout, idle)
        except KeyboardInterrupt:
            return str(debugger.stop("stopped by Ctrl-C"))
        finally:
            self._name()
        if stop is not None:
            return str(stop)
        if self._system.kernel.failure is not None:
            job.join(SETTLE)  # the application may have ended it
            return f"the system has ended: {job.error or self._system.kernel.failure}"
        if idle():
            return (
                "the application has ended"
                if self._started
                else "it runs; no application has been started"
            )
        return f"it still runs after {time.monotonic() - start:.1f} s"


def _ended(job: Debuggee) -> BaseException:
    """Returns the reason why a system has ended that should run."""
    return job.error or CommandError("the system has ended")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CommandError(f"{text!r} is not a number of seconds") from None
