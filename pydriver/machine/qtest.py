# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A QEMU without a guest: the test does what a processor would, by QEMU's qtest protocol.

Nothing has a name in the file system: sockets, RAM, BAR2 and the log of QEMU's standard error are
descriptors that QEMU inherits. The virtual clock stands still unless a test steps it.
"""

import json
import mmap
import os
import socket
import subprocess
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from pydriver.errors import MachineError

__all__ = ("TIMEOUT", "QtestError", "QtestMachine", "Region")

#: Seconds after which a QEMU that does not answer is taken for dead.
TIMEOUT = 30.0

LOG_TAIL = 4000

#: A PC wants a firmware image; nothing ever runs it.
FIRMWARE = b"\xf4" * 0x10000


class QtestError(MachineError):
    """QEMU refused a command, died, or does not answer; its last lines are in the message."""


class Region:
    """Memory that the test shares with QEMU."""

    def __init__(self, name: str, size: int) -> None:
        self.size = size
        self.fd = os.memfd_create(name)
        os.ftruncate(self.fd, size)
        self._map = mmap.mmap(self.fd, size)

    @property
    def view(self) -> memoryview:
        """All of it; release what you take of it before it is closed."""
        return memoryview(self._map)

    def read(self, address: int, length: int) -> bytes:
        """Bytes from an offset."""
        return self._map[address : address + length]

    def write(self, address: int, data: bytes) -> None:
        """Bytes to an offset."""
        self._map[address : address + len(data)] = data

    def close(self) -> None:
        """Gives the memory back."""
        self._map.close()
        os.close(self.fd)


class Channel:
    """One end of a socket pair, read by lines."""

    def __init__(self) -> None:
        self._socket, self.remote = socket.socketpair()
        self._socket.settimeout(TIMEOUT)
        self._pending = b""

    def send(self, line: str) -> None:
        """Sends a line."""
        self._socket.sendall(line.encode() + b"\n")

    def receive(self) -> str:
        """Waits for a line."""
        while b"\n" not in self._pending:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        """Closes both ends, as far as they are ours."""
        self._socket.close()
        self.remote.close()


class QtestMachine:
    """A q35 machine with a processor that never runs.

    :param binary: the QEMU to start
    :param arguments: what else it is given
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
        self.events: list[dict[str, Any]] = []
        self._cleanup = ExitStack()
        self._log = os.memfd_create("qemu-stderr")
        self._cleanup.callback(os.close, self._log)
        self._qtest = self._channel()
        self._qmp = self._channel()
        self.ram = self._region("ram", ram_size)
        firmware = self._region("firmware", len(FIRMWARE))
        firmware.write(0, FIRMWARE)
        command = [
            *("setpriv", "--pdeathsig", "KILL", "--", binary),
            *("-nodefaults", "-display", "none", "-accel", "qtest"),
            *("-machine", "q35,memory-backend=ram", "-m", f"{ram_size >> 20}M"),
            *self._backend("ram", self.ram),
            *("-chardev", f"socket,id=qtest,fd={self._qtest.remote.fileno()}"),
            *("-qtest", "chardev:qtest", "-qtest-log", "none"),
            *("-bios", f"/proc/self/fd/{firmware.fd}"),
            *("-chardev", f"socket,id=qmp,fd={self._qmp.remote.fileno()}"),
            *("-mon", "chardev=qmp,mode=control"),
        ]
        inherited = [self._qtest.remote.fileno(), self._qmp.remote.fileno()]
        inherited += [self.ram.fd, firmware.fd]
        if shared_size:
            self.shared = self._region("shared", shared_size)
            inherited.append(self.shared.fd)
            command += self._backend("shared", self.shared)
        if disk is not None:
            self.disk = self._region("disk", len(disk))
            self.disk.write(0, disk)
            inherited.append(self.disk.fd)
            command += ["-blockdev", json.dumps(self._disk_node(self.disk))]
        self._process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=inherited,
        )
        # From now on the end of QEMU is the end of the channels.
        self._qtest.remote.close()
        self._qmp.remote.close()
        try:
            self._line(self._qmp)
            self.qmp("qmp_capabilities")
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _channel(self) -> Channel:
        channel = Channel()
        self._cleanup.callback(channel.close)
        return channel

    def _region(self, name: str, size: int) -> Region:
        region = Region(name, size)
        self._cleanup.callback(region.close)
        return region

    @staticmethod
    def _backend(name: str, region: Region) -> tuple[str, str]:
        path = f"/proc/self/fd/{region.fd}"
        return (
            "-object",
            f"memory-backend-file,id={name},size={region.size},mem-path={path},share=on",
        )

    @staticmethod
    def _disk_node(region: Region) -> dict[str, Any]:
        file = {"driver": "file", "filename": f"/proc/self/fd/{region.fd}", "locking": "off"}
        return {"driver": "raw", "node-name": "disk", "file": file}

    def log(self) -> str:
        """Return what QEMU printed."""
        return os.pread(self._log, os.fstat(self._log).st_size, 0).decode(errors="replace")

    def _gone(self, error: Exception) -> QtestError:
        tail = self.log()[-LOG_TAIL:]
        return QtestError(f"QEMU is gone or does not answer ({error!r}):\n{tail}")

    def _line(self, channel: Channel) -> str:
        try:
            return channel.receive()
        except (OSError, EOFError) as error:
            raise self._gone(error) from error

    def _send(self, channel: Channel, text: str) -> None:
        try:
            channel.send(text)
        except OSError as error:
            raise self._gone(error) from error

    # qtest

    def command(self, *words: object) -> list[str]:
        """Send a qtest command; return the words of its answer after OK."""
        text = " ".join(map(str, words))
        self._send(self._qtest, text)
        return self._answer(text)

    def batch(self, *commands: str) -> None:
        """Send commands that QEMU executes without a turn of its main loop between them.

        It takes what arrives in one piece, up to 1 KiB, in one go: no bottom half, no timer and
        no completion of a block device comes between.
        """
        text = "\n".join(commands)
        assert len(text) < 1024
        self._send(self._qtest, text)
        for command in commands:
            self._answer(command)

    def _answer(self, text: str) -> list[str]:
        while True:
            answer = self._line(self._qtest).split()
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
        self._send(self._qmp, json.dumps({"execute": execute, "arguments": arguments}))
        while True:
            answer = json.loads(self._line(self._qmp))
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QtestError(answer["error"]["desc"])
            else:
                return answer["return"]

    def wait_event(self, name: str) -> dict[str, Any]:
        """Return the next event of that name that was not waited for yet."""
        while True:
            for index, event in enumerate(self.events):
                if event["event"] == name:
                    return self.events.pop(index)
            answer = json.loads(self._line(self._qmp))
            if "event" in answer:
                self.events.append(answer)

    def reset(self) -> None:
        """Reset the machine, as its reset button does."""
        self.events = [event for event in self.events if event["event"] != "RESET"]
        self.qmp("system_reset")
        self.wait_event("RESET")

    # The end

    def kill(self) -> None:
        """End QEMU at once."""
        self._process.kill()
        self._process.wait()
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
