# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A QEMU without a guest: the test does what a processor would, by QEMU's qtest protocol.

Nothing has a name in the file system: sockets, RAM, BAR2 and the log of QEMU's standard error are
descriptors that QEMU inherits. The virtual clock stands still unless a test steps it.
"""

import json
import os
import socket
import subprocess
import time
from contextlib import ExitStack
from threading import Condition
from types import TracebackType
from typing import Any, Self

from qemu.qmp import ExecuteError

from pydriver.errors import MachineError
from pydriver.machine.memory import SharedMemory
from pydriver.machine.qmp import QmpThread

__all__ = ("TIMEOUT", "QtestError", "QtestMachine")

#: Seconds after which a QEMU that does not answer is taken for dead.
TIMEOUT = 30.0

LOG_TAIL = 4000

#: A PC wants a firmware image; nothing ever runs it.
FIRMWARE = b"\xf4" * 0x10000


class QtestError(MachineError):
    """QEMU refused a command, died, or does not answer; its last lines are in the message."""


class QtestMachine:
    """A q35 machine with a processor that never runs.

    :param binary: the QEMU to start
    :param arguments: further arguments of QEMU
    :param ram_size: bytes of RAM, shared with the test as :attr:`ram`
    :param shared_size: bytes of the memory backend ``shared``, 0 for none; :attr:`shared`
    :param disk: content of the block node ``disk``, None for none
    """

    def __init__(
        self,
        binary: str,
        *arguments: str,
        ram_size: int = 32 << 20,
        shared_size: int = 0,
        disk: bytes | None = None,
    ) -> None:
        self._clock = 0
        self.irqs: dict[int, bool] = {}
        self.irq_log: list[tuple[int, bool]] = []
        # Guards the two below, which the QMP thread changes.
        self._arrived = Condition()
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._over = False
        self._cleanup = ExitStack()
        self._log = os.memfd_create("qemu-stderr")
        self._cleanup.callback(os.close, self._log)
        self._qtest, qtest = self._pair()
        self._answers = self._qtest.makefile("rb")
        self._cleanup.callback(self._answers.close)
        peer, qmp = self._pair()
        self.ram = self._memory("ram", ram_size)
        firmware = self._memory("firmware", len(FIRMWARE))
        firmware.write(0, FIRMWARE)
        self._inherited = [qtest.fileno(), qmp.fileno(), self.ram.fd, firmware.fd]
        self._command = [
            *("setpriv", "--pdeathsig", "KILL", "--", binary),
            *("-nodefaults", "-display", "none", "-accel", "qtest"),
            *("-machine", "q35,memory-backend=ram", "-m", f"{ram_size >> 20}M"),
            *("-object", self.ram.backend("ram")),
            *("-chardev", f"socket,id=qtest,fd={qtest.fileno()}"),
            *("-qtest", "chardev:qtest", "-qtest-log", "none"),
            *("-bios", f"/proc/self/fd/{firmware.fd}"),
            *("-chardev", f"socket,id=qmp,fd={qmp.fileno()}"),
            *("-mon", "chardev=qmp,mode=control"),
        ]
        if shared_size:
            self.shared = self._memory("shared", shared_size)
            self._inherited.append(self.shared.fd)
            self._command += ["-object", self.shared.backend("shared")]
        if disk is not None:
            self.disk = self._memory("disk", len(disk))
            self.disk.write(0, disk)
            self._inherited.append(self.disk.fd)
            self._command += ["-blockdev", json.dumps(self._disk_node(self.disk))]
        self._command += arguments
        self._qmp = QmpThread(self._spawn, peer, TIMEOUT, self._note_end)
        self._qmp.listen(self._note_event)
        self._process = self._qmp.start()
        # From now on the end of QEMU is the end of the sockets.
        qtest.close()
        qmp.close()
        try:
            self.qmp("query-status")
        except BaseException:
            self.kill()
            raise

    def _spawn(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=self._inherited,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        """A socket of ours, and the one that QEMU inherits."""
        ours, remote = socket.socketpair()
        self._cleanup.callback(ours.close)
        self._cleanup.callback(remote.close)
        ours.settimeout(TIMEOUT)
        return ours, remote

    def _memory(self, name: str, size: int) -> SharedMemory:
        memory = SharedMemory(name, size)
        self._cleanup.callback(memory.close)
        return memory

    @staticmethod
    def _disk_node(memory: SharedMemory) -> dict[str, Any]:
        file = {"driver": "file", "filename": f"/proc/self/fd/{memory.fd}", "locking": "off"}
        return {"driver": "raw", "node-name": "disk", "file": file}

    def log(self) -> str:
        """Return what QEMU printed."""
        return os.pread(self._log, os.fstat(self._log).st_size, 0).decode(errors="replace")

    def _gone(self, error: Exception) -> QtestError:
        tail = self.log()[-LOG_TAIL:]
        return QtestError(f"QEMU is gone or does not answer ({error!r}):\n{tail}")

    def _send(self, text: str) -> None:
        try:
            self._qtest.sendall(text.encode() + b"\n")
        except OSError as error:
            raise self._gone(error) from error

    def _line(self) -> str:
        try:
            line = self._answers.readline()
        except OSError as error:
            raise self._gone(error) from error
        if not line:
            raise self._gone(EOFError())
        return line.decode()

    # qtest

    def command(self, *words: object) -> list[str]:
        """Send a qtest command; return the words of its answer after OK."""
        text = " ".join(map(str, words))
        self._send(text)
        return self._answer(text)

    def batch(self, *commands: str) -> None:
        """Send commands that QEMU executes without a turn of its main loop between them.

        It takes what arrives in one piece, up to 1 KiB, in one go: no bottom half, no timer and
        no completion of a block device comes between.
        """
        text = "\n".join(commands)
        assert len(text) < 1024
        self._send(text)
        for command in commands:
            self._answer(command)

    def _answer(self, text: str) -> list[str]:
        while True:
            answer = self._line().split()
            if answer[0] == "IRQ":
                number, level = int(answer[2]), answer[1] == "raise"
                self.irqs[number] = level
                self.irq_log.append((number, level))
            elif answer[0] == "OK":
                return answer[1:]
            else:
                raise QtestError(f"qtest: {text}: {' '.join(answer)}")

    def read(self, address: int, size: int) -> int:
        """Read 1, 2, 4 or 8 bytes of the processor's address space."""
        return int(self.command("read" + "bwlq"[size.bit_length() - 1], hex(address))[0], 0)

    def write(self, address: int, value: int, size: int) -> None:
        """Write 1, 2, 4 or 8 bytes of the processor's address space."""
        self.command("write" + "bwlq"[size.bit_length() - 1], hex(address), hex(value))

    def memread(self, address: int, length: int) -> bytes:
        """Read bytes of the processor's address space."""
        return bytes.fromhex(self.command("read", hex(address), length)[0].removeprefix("0x"))

    def memwrite(self, address: int, data: bytes) -> None:
        """Write bytes to the processor's address space."""
        self.command("write", hex(address), len(data), f"0x{data.hex()}")

    def inl(self, port: int) -> int:
        """Read 32 bits from an I/O port."""
        return int(self.command("inl", hex(port))[0], 0)

    def outl(self, port: int, value: int) -> None:
        """Write 32 bits to an I/O port."""
        self.command("outl", hex(port), hex(value))

    def sync(self) -> None:
        """Ask for nothing: what QEMU sent before is received, and whether it lives is known."""
        self.inl(0xCF8)

    def clock(self) -> int:
        """Return the virtual time in ns, which only this object moves."""
        return self._clock

    def step(self, ns: int) -> int:
        """Let virtual time pass; return the new time."""
        self._clock = int(self.command("clock_step", ns)[0])
        return self._clock

    def step_us(self, us: int) -> int:
        """Let virtual time pass, in microseconds."""
        return self.step(us * 1000)

    def clock_set(self, ns: int) -> None:
        """Let virtual time be ``ns``, which is not before it is now."""
        if ns > self._clock:
            self._clock = int(self.command("clock_set", ns)[0])

    def intercept_ioapic(self) -> None:
        """Have the levels of the IOAPIC's inputs reported in :attr:`irqs`."""
        self.command("irq_intercept_in", "ioapic")

    # QMP

    def qmp(self, execute: str, **arguments: Any) -> Any:
        """Execute a QMP command; return its result."""
        try:
            return self._qmp.execute(execute, arguments)
        except MachineError as error:
            if isinstance(error.__cause__, ExecuteError):
                raise QtestError(str(error)) from error
            raise self._gone(error) from error

    def wait_event(self, name: str) -> dict[str, Any]:
        """Return the data of the next event of that name that was not waited for yet."""
        deadline = time.monotonic() + TIMEOUT
        with self._arrived:
            while True:
                for index, (found, data) in enumerate(self._events):
                    if found == name:
                        del self._events[index]
                        return data
                if self._over or not self._arrived.wait(deadline - time.monotonic()):
                    raise self._gone(EOFError(f"waiting for {name}"))

    def _note_event(self, name: str, data: dict[str, Any]) -> None:
        with self._arrived:
            self._events.append((name, data))
            self._arrived.notify_all()

    def _note_end(self) -> None:
        with self._arrived:
            self._over = True
            self._arrived.notify_all()

    def reset(self) -> None:
        """Reset the machine, as its reset button does."""
        with self._arrived:
            self._events = [each for each in self._events if each[0] != "RESET"]
        self.qmp("system_reset")
        self.wait_event("RESET")

    # The end

    def kill(self) -> None:
        """End QEMU at once."""
        self._process.kill()
        self._process.wait()
        self._qmp.close()
        self._cleanup.close()

    def close(self) -> None:
        """Tell QEMU to quit; one that died, or ends with an error, is an error here."""
        if self._process.returncode is not None:
            return
        try:
            self.qmp("quit")
            code = self._process.wait(TIMEOUT)
            if code:
                raise QtestError(f"QEMU ended with code {code}:\n{self.log()[-LOG_TAIL:]}")
        finally:
            self.kill()
