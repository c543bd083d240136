# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Traces for tests: recorded in this process, and given to a plain QEMU."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from pydriver.drivers import edu, mqdma
from pydriver.ke import DriverObject
from pydriver.machine import MachineConfig
from pydriver.machine.binary import default_qemu
from pydriver.machine.qtest import FIRMWARE
from pydriver.system import System, SystemConfig
from pydriver.trace.registers import RegisterTrace
from pydriver.wdf import Device, Driver

EDU = (edu.VENDOR, edu.DEVICE)
MQDMA = (mqdma.VENDOR, mqdma.DEVICE)
TIMEOUT = 40.0

Entry = Callable[[DriverObject], Driver]


def record(
    path: Path,
    machine: MachineConfig,
    ids: tuple[int, int],
    entry: Entry,
    use: Callable[[Device], object],
) -> list[str]:
    """Runs a driver with its device, and records the accesses.

    :return: the lines of the trace
    """
    trace = RegisterTrace(path)
    try:
        with System(SystemConfig(machine, register_trace=trace)) as system:
            use(system.load_driver(entry).add_device(system.pci.find(*ids)))
    finally:
        trace.close()
    return path.read_text(encoding="utf-8").splitlines()


def statements(lines: list[str]) -> list[str]:
    """The lines without their comments, and without their common parts."""
    found = [line.partition("  # ")[0] for line in lines]
    return [line for line in found if not line.startswith("clock_step")]


def value_of(lines: list[str], read: str) -> list[int]:
    """The recorded values of a read."""
    pattern = re.compile(rf"expect\({re.escape(read)}, (0x[0-9a-f]+)\)")
    return [int(match[1], 16) for line in lines if (match := pattern.match(line))]


class PlainQemu:
    """A QEMU that is started without this project, and reads commands from a file.

    :param command_line: the command line that `pydriver replay --qtest` has printed
    :param folder: the folder for the firmware, which a QEMU that is not installed lacks
    """

    def __init__(self, command_line: str, folder: Path) -> None:
        firmware = folder / "firmware"
        firmware.write_bytes(FIRMWARE)
        words = shlex.split(command_line)
        assert words[0] == "qemu-system-x86_64"
        self._path = Path(words[-1])
        assert words[-2] == "<"
        self._command = [str(default_qemu()), "-bios", str(firmware), *words[1:-2]]

    def run(self) -> tuple[int | None, list[str], str]:
        """Runs it until it has answered all commands, or has ended.

        :return: its exit code (`None`: it still ran), its answers, its output on stderr
        """
        commands = self._path.read_text(encoding="ascii").splitlines()
        answers: list[str] = []
        with (
            self._path.open("rb") as source,
            subprocess.Popen(
                [*self._command, "-qtest-log", "/dev/null"],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                answers.append(line.strip())
                if len(answers) == len(commands):
                    process.kill()
                    break
            said = process.communicate(timeout=TIMEOUT)[1]
        ended = len(answers) < len(commands)
        return process.returncode if ended else None, answers, said

    def reads(self, answers: list[str]) -> list[int]:
        """The values of the reads, in their order."""
        commands = self._path.read_text(encoding="ascii").splitlines()
        return [
            int(answer.split()[1], 16)
            for command, answer in zip(commands, answers, strict=False)
            if command.startswith(("readb", "readw", "readl", "readq", "in"))
        ]
