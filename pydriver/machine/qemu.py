# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A QEMU process that runs the guest, and everything that it shares with the controller."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydriver.abi._native import lib
from pydriver.errors import ConfigurationError, MachineDied, MachineError
from pydriver.machine.binary import BUILD, find_qemu
from pydriver.machine.image import GuestImage
from pydriver.machine.ivshmem import DoorbellServer
from pydriver.machine.memory import Reservations, SharedMemory
from pydriver.machine.qmp import QmpThread
from pydriver.machine.sockets import listen

__all__ = ("Machine", "MachineConfig")

ACCELERATORS = ("tcg", "kvm")
VCPU_THREADS = (None, "single", "multi")
LOG_LINES = 12
LOG_TAIL = 8192
QUIT_TIMEOUT = 2.0
RESET_TIMEOUT = 5.0
BAR2_ID = "bar2"
PERIPHERALS = "/machine/peripheral"
"""Path of the devices that have an id in QEMU's object model."""
MIB = 1 << 20


@dataclass(frozen=True)
class MachineConfig:
    """The configuration of a machine.

    :ivar cpus: vCPUs, 1 to 8
    :ivar accel: ``tcg`` or ``kvm``
    :ivar memory: guest RAM in bytes, a multiple of 2 MiB, 16 MiB to 2 GiB
    :ivar bar2: bytes of the shared memory with the id ``bar2``, a power of two; 0 for none
    :ivar devices: arguments of ``-device``, in order
    :ivar options: further QEMU arguments
    :ivar qemu: the binary; ``None`` for :func:`~pydriver.machine.binary.default_qemu`
    :ivar image: the guest; ``None`` for the one that ``make guest`` built
    :ivar qmp_path: the path of a second QMP socket, for a user; ``None`` for no socket
    :ivar gdb_path: the path of a socket for gdb, which debugs the guest; ``None`` for no socket
    :ivar vcpu_threads: the threads of TCG. ``multi``: each vCPU has a thread of QEMU's; ``single``:
        they take turns on one; ``None``: ``single`` if there are several vCPUs and fewer than two
        host processors for each of them, one for itself and one for its controller's thread. The
        default is ``$PYDRIVER_VCPU_THREADS``
    """

    cpus: int = 1
    accel: str = "tcg"
    memory: int = 64 * MIB
    bar2: int = 64 * MIB
    devices: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    qemu: Path | None = None
    image: Path | None = None
    qmp_path: Path | None = None
    gdb_path: Path | None = None
    vcpu_threads: str | None = field(
        default_factory=lambda: os.environ.get("PYDRIVER_VCPU_THREADS") or None
    )

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= lib.LINK_MAX_CPUS:
            raise ConfigurationError(f"{self.cpus} vCPUs: 1 to {lib.LINK_MAX_CPUS} are possible")
        if self.accel not in ACCELERATORS:
            raise ConfigurationError(f"accelerator {self.accel!r}: {' or '.join(ACCELERATORS)}")
        if self.vcpu_threads not in VCPU_THREADS:
            raise ConfigurationError(f"vCPU threads {self.vcpu_threads!r}: single or multi")
        if self.memory % (2 * MIB) or not 16 * MIB <= self.memory <= 2048 * MIB:
            raise ConfigurationError(f"{self.memory} bytes of RAM: 16 MiB to 2 GiB are possible")
        if self.bar2 and (self.bar2 < 4096 or self.bar2 & (self.bar2 - 1)):
            raise ConfigurationError(f"BAR2 of {self.bar2} bytes is not a power of two >= 4096")

    @property
    def one_thread(self) -> bool:
        """Whether QEMU runs all vCPUs on one thread."""
        if self.cpus == 1 or self.accel != "tcg":
            return False
        if self.vcpu_threads is not None:
            return self.vcpu_threads == "single"
        return len(os.sched_getaffinity(0)) < 2 * self.cpus


class Machine:
    """One QEMU process. Use it as a context manager, or call :meth:`start` and :meth:`quit`.

    :param config: the configuration
    :param options: options of QEMU beside those of the configuration, which do not change the
        machine
    :ivar memory: guest RAM from physical address 0
    :ivar bar2: the shared memory of BAR2, or ``None``
    :ivar image: the guest's ELF image
    :ivar doorbell: the eventfds of the link
    :ivar reservations: guest RAM that is free for the controller's use
    :ivar pidfd: the descriptor of the QEMU process; readable when it has ended
    :ivar one_thread: QEMU runs all vCPUs on one thread
    """

    def __init__(self, config: MachineConfig, options: Sequence[str] = ()) -> None:
        self.config = config
        self._options = options
        self.pidfd = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._words: list[str] = []
        self._listening: dict[str, socket.socket] = {}
        self.one_thread = config.one_thread
        self._binary = find_qemu(config.qemu)
        self._rom = (config.image or BUILD / "guest.elf").with_name("boot.rom")
        if not self._rom.is_file():
            raise ConfigurationError(f"boot ROM {self._rom} is missing (make guest builds it)")
        with contextlib.ExitStack() as stack:
            self.image = GuestImage(config.image or BUILD / "guest.elf")
            stack.callback(self.image.close)
            self.memory = SharedMemory("ram", config.memory)
            stack.callback(self.memory.close)
            self.bar2 = SharedMemory("bar2", config.bar2) if config.bar2 else None
            if self.bar2:
                stack.callback(self.bar2.close)
            self.doorbell = DoorbellServer(config.cpus)
            stack.callback(self.doorbell.close)
            self._log_fd = os.memfd_create("pydriver-log", os.MFD_CLOEXEC)
            self._last_lines: list[str] = []
            stack.callback(self._close_log)
            ours, self._qmp_socket = socket.socketpair()
            stack.callback(self._qmp_socket.close)
            self._was_reset = threading.Event()
            self._qmp = QmpThread(self._spawn, ours)
            self._qmp.listen(self._note_event)
            stack.callback(self._end)
            self._stack = stack.pop_all()
        end = (self.image.end + 4095) & -4096
        self.reservations = Reservations(end, config.memory)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.quit()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.quit()

    def start(self) -> None:
        """Starts QEMU; the guest runs when this returns.

        :raises MachineError: if the process cannot be created
        """
        self._listen()
        self._process = self._qmp.start()
        self.pidfd = os.pidfd_open(self._process.pid)
        self._qmp_socket.close()
        self.doorbell.socket.close()

    @property
    def pid(self) -> int:
        """Process id of QEMU."""
        return self._running().pid

    @property
    def command(self) -> list[str]:
        """The command line that started QEMU."""
        return list(self._words)

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Executes a QMP command; underscores in ``arguments`` become hyphens.

        :returns: the command's ``return`` value
        :raises MachineError: if QEMU refuses it or does not answer
        :raises MachineDied: if QEMU is gone
        """
        try:
            return self._qmp.execute(
                command, {name.replace("_", "-"): value for name, value in arguments.items()}
            )
        except MachineError:
            self.check_alive()
            raise

    def properties(self, device: str) -> tuple[str, ...]:
        """The names of a device's properties [QMP ``qom-list``].

        :param device: id of the device, which its ``-device`` argument has given it
        :raises MachineError: there is no such device
        """
        listed = self.qmp("qom-list", path=f"{PERIPHERALS}/{device}")
        return tuple(each["name"] for each in listed)

    def set_property(self, device: str, name: str, value: int | str) -> None:
        """Sets a property of a device [QMP ``qom-set``].

        :param device: id of the device, which its ``-device`` argument has given it
        :param name: name of the property, such as ``fault-removed``
        :param value: value of the property's type; a bool for a flag
        :raises MachineError: there is no such device or property, or the value is refused
        """
        self.qmp("qom-set", path=f"{PERIPHERALS}/{device}", property=name, value=value)

    def listen(self, listener: Callable[[str, dict[str, Any]], None]) -> None:
        """Has ``listener(name, data)`` called, on the QMP thread, for each QMP event."""
        self._qmp.listen(listener)

    def unlisten(self, listener: Callable[[str, dict[str, Any]], None]) -> None:
        """Undoes :meth:`listen`."""
        self._qmp.unlisten(listener)

    def stop(self) -> None:
        """Stops all vCPUs and virtual time."""
        self.qmp("stop")

    def resume(self) -> None:
        """Continues after :meth:`stop`."""
        self.qmp("cont")

    def reset(self) -> None:
        """Resets the machine as its reset button would; the link must be opened again.

        :raises MachineError: if it is not reset in time
        """
        # A reset that nobody asked for is a guest that crashed, and ends QEMU.
        self._was_reset.clear()
        self.qmp("set-action", reboot="reset")
        self.qmp("system_reset")
        if not self._was_reset.wait(RESET_TIMEOUT):
            raise MachineError("QEMU did not reset the machine")
        self.qmp("set-action", reboot="shutdown")

    def check_alive(self) -> None:
        """Raises :class:`MachineDied` if QEMU has ended, with its last lines."""
        process = self._running()
        if process.poll() is not None:
            raise self.death()

    def death(self) -> MachineDied:
        """The error that says how QEMU ended and what it said last."""
        process = self._running()
        try:
            status = process.wait(QUIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            return MachineDied("QEMU closed its end but still runs")
        if status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        else:
            how = f"ended with status {status}"
        lines = self.log()
        said = "\n  ".join(["its last lines:", *lines]) if lines else "it had printed nothing"
        return MachineDied(f"QEMU (pid {process.pid}) {how}; {said}")

    @property
    def log_size(self) -> int:
        """Bytes that QEMU has printed so far."""
        return os.fstat(self._log_fd).st_size

    def log(self, since: int = 0) -> list[str]:
        """The last lines that QEMU printed; also after the end.

        :param since: :attr:`log_size` of a moment after which they were printed
        """
        if self._log_fd < 0:
            return self._last_lines
        return self._read_log(LOG_TAIL, since).splitlines()[-LOG_LINES:]

    def whole_log(self) -> str:
        """Returns the output of QEMU so far, or its last MiB."""
        return "\n".join(self._last_lines) if self._log_fd < 0 else self._read_log(MIB)

    def _read_log(self, most: int, since: int = 0) -> str:
        size = self.log_size
        start = max(since, size - most)
        return os.pread(self._log_fd, size - start, start).decode(errors="replace")

    def _close_log(self) -> None:
        self._last_lines = self.log()
        os.close(self._log_fd)
        self._log_fd = -1

    def kill(self) -> None:
        """Kills QEMU, if it runs. Any thread may call it; :meth:`quit` gives everything back."""
        if self.pidfd >= 0:
            with contextlib.suppress(OSError):  # it has just ended
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def quit(self) -> None:
        """Ends QEMU and gives everything back. Idempotent."""
        self._stack.close()

    def _note_event(self, name: str, data: dict[str, Any]) -> None:
        if name == "RESET":
            self._was_reset.set()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise MachineError("the machine has not been started")
        return self._process

    def _end(self) -> None:
        process = self._process
        if process is not None:
            process.kill()  # it has no state that a clean end would save
            process.wait()
        self._qmp.close()
        paths = self._paths
        for name, listening in self._listening.items():
            listening.close()
            paths[name].unlink(missing_ok=True)
        self._listening.clear()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    @property
    def _paths(self) -> dict[str, Path]:
        """The paths at which a user can connect, by the protocol."""
        paths = {"QMP": self.config.qmp_path, "gdb": self.config.gdb_path}
        return {name: path for name, path in paths.items() if path is not None}

    def _listen(self) -> None:
        for name, path in self._paths.items():
            self._listening[name] = listen(path, name)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        descriptors = [self.memory.fd, self._qmp_socket.fileno(), self.doorbell.socket.fileno()]
        if self.bar2:
            descriptors.append(self.bar2.fd)
        descriptors += [each.fileno() for each in self._listening.values()]
        self._words = self._arguments()
        try:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self._words],
                stdin=subprocess.DEVNULL,
                stdout=self._log_fd,
                stderr=self._log_fd,
                pass_fds=descriptors,
                process_group=0,  # Ctrl-C is for the controller, which ends QEMU in order
            )
        except OSError as error:
            raise MachineError(f"{self._binary}: {error.strerror}") from error

    def _arguments(self) -> list[str]:
        config = self.config
        arguments = [
            str(self._binary),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-name", "pydriver,debug-threads=on"),
            *("-machine", f"q35,{_QUIET_Q35},memory-backend=ram"),
            *_PROCESSORS["tcg-single" if self.one_thread else config.accel],
            # maxcpus=1 would make TCG drop the guest's fences and atomics against the host.
            *("-smp", f"{config.cpus},maxcpus={max(2, config.cpus)}"),
            *("-m", f"{config.memory // MIB}M"),
            # Network cards ask for a boot ROM by default, which our QEMU does not have.
            *("-global", "pci-device.romfile="),
            *("-object", self.memory.backend("ram")),
            *("-bios", str(self._rom), "-device", f"loader,file={self.image.path}"),
            *("-chardev", f"socket,id=qmp,fd={self._qmp_socket.fileno()}"),
            *("-mon", "chardev=qmp,mode=control"),
            *("-chardev", f"socket,id=doorbell,fd={self.doorbell.socket.fileno()}"),
            *("-device", f"ivshmem-doorbell,chardev=doorbell,vectors={self.doorbell.vectors}"),
        ]
        if self.bar2:
            arguments += ["-object", self.bar2.backend(BAR2_ID)]
        for name, listening in self._listening.items():
            person = f"socket,id=person-{name},fd={listening.fileno()},server=on,wait=off"
            arguments += ["-chardev", person, *_PERSONS[name]]
        for device in config.devices:
            arguments += ["-device", device]
        return [*arguments, *config.options, *self._options]


_PERSONS = {
    "QMP": ("-mon", "chardev=person-QMP,mode=control"),
    "gdb": ("-gdb", "chardev:person-gdb"),
}

# The APIC without KVM's option ROM for 32-bit Windows. Nested KVM refuses to pass on
# MSR_IA32_ARCH_CAPABILITIES, which the guest does not read.
_PROCESSORS = {
    "tcg": ("-accel", "tcg,thread=multi", "-cpu", "max", "-global", "apic.vapic=off"),
    "tcg-single": ("-accel", "tcg,thread=single", "-cpu", "max", "-global", "apic.vapic=off"),
    "kvm": ("-accel", "kvm", "-cpu", "host,-arch-capabilities", "-global", "kvm-apic.vapic=off"),
}

# Nothing that interrupts by itself, and nothing that a firmware would want.
_QUIET_Q35 = ",".join(
    f"{name}=off"
    for name in (
        "acpi",
        "graphics",
        "hpet",
        "i8042",
        "pit",
        "sata",
        "smbus",
        "smm",
        "usb",
        "vmport",
    )
)
