# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The directory of a crash: written while the system is dying, and read later.

The files most likely to be wanted, which also need least, are written first: a report that does not
need the machine exists even if QEMU is dead, and one that is short exists even if the disk is full.
A file is either complete or absent. `contents.json`, and the result of :func:`write_crash`, say
which files are missing and why.
"""

import contextlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from pydriver.crash.device_state import configuration_spaces, device_properties, monitor, vcpus
from pydriver.crash.memory import dump_by_qemu, dump_shared
from pydriver.crash.snapshot import FORMAT, Json, recorder_entries, snapshot, tree_of
from pydriver.errors import ConfigurationError, MachineDied, MachineError, PydriverError
from pydriver.ke import BugCheck, VerifierError
from pydriver.ke.bugcheck import REPORTED_EVENTS

if TYPE_CHECKING:
    from pydriver.system import System

__all__ = ("Crash", "CrashDirectory", "WrittenCrash", "read_crash", "write_crash")

CRASH = "crash.json"
RECORDER = "recorder.json"
EVENTS = "recorder.txt"
CONTENTS = "contents.json"
MEMORY = "memory.elf"
KEYS = (
    "bug_check",
    "error",
    "error_frames",
    "incidents",
    "kind",
    "locks",
    "objects",
    "processors",
    "threads",
    "time",
)
"""The keys that the state of every crash has."""

PACKAGES = ("pydriver", "cffi", "qemu.qmp")


@dataclass
class WrittenCrash:
    """The outcome of writing a crash directory.

    :ivar path: the path of the directory
    :ivar written: the names of the files that were written
    :ivar missing: the reasons why files are missing, by name of the file
    """

    path: Path
    written: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.written:
            reasons = sorted(set(self.missing.values()))
            return f"nothing could be written to {self.path}: {'; '.join(reasons)}"
        lost = ", ".join(f"{name} ({why})" for name, why in self.missing.items())
        lost = f"; missing: {lost}" if lost else ""
        return f"{self.path} has the crash: pydriver analyze {self.path} explains it{lost}"


class CrashDirectory:
    """Writes the first failure of a system to a directory; for `SystemConfig.on_failure`.

    :param path: the path of the directory, which is created; it may exist if it is empty
    :ivar result: the outcome, or ``None`` if nothing has failed
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.result: WrittenCrash | None = None
        self._once = Lock()

    def check(self) -> None:
        """Checks that the directory can be created.

        :raises ConfigurationError: it is not empty, it is not a directory, or its parent is missing
        """
        if self.path.is_dir():
            if any(self.path.iterdir()):
                raise ConfigurationError(f"{self.path} is not empty; name a new directory")
        elif self.path.exists():
            raise ConfigurationError(f"{self.path} is not a directory")
        elif not self.path.absolute().parent.is_dir():
            raise ConfigurationError(f"{self.path.absolute().parent} is missing")

    def __call__(self, system: "System", failure: BaseException) -> None:
        """Writes the directory, once; `result` names the files that could not be written."""
        with self._once:
            if self.result is None:
                self.result = write_crash(self.path, system, failure)


def write_crash(directory: Path, system: "System", failure: BaseException) -> WrittenCrash:
    """Writes all that is known about a failure. Errors of the writing itself are not raised.

    The machine is stopped meanwhile; if it ran, it is resumed afterwards.

    :param directory: the directory, created with mode 0700; files that are in it already stay
    :param system: the system that has failed, not yet closed
    :param failure: the error that ended the system, or the error of a test, of which `Stalled` and
        `TimeoutError` are analysed as a stall
    :return: the files that were written, and those that were not
    """
    result = WrittenCrash(directory)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        result.missing[CRASH] = error.strerror or str(error)
        return result
    with _stopped(system):
        _Writer(system, failure, result).write()
    return result


@contextlib.contextmanager
def _stopped(system: "System") -> Any:
    machine = system.machine
    running = False
    with contextlib.suppress(PydriverError):
        running = machine.qmp("query-status")["running"]
        machine.stop()
    try:
        yield
    finally:
        if running:
            with contextlib.suppress(PydriverError):
                machine.resume()


class _Writer:
    """The writer of the files; an error with one does not affect the others.

    :param system: the system that has failed
    :param failure: the error that ended it
    :param result: the object that records the outcome for each file
    """

    def __init__(self, system: "System", failure: BaseException, result: WrittenCrash) -> None:
        self._system = system
        self._failure = failure
        self._result = result
        self._unanswered: MachineError | None = None

    def write(self) -> None:
        system, machine = self._system, self._system.machine
        recorder = system.kernel.recorder
        self._file("report.txt", lambda: f"{_report(system, self._failure)}\n")
        self._file(CRASH, lambda: _json(snapshot(system, self._failure)))
        self._file(RECORDER, lambda: _json(recorder_entries(recorder)))
        self._file(EVENTS, lambda: "".join(f"{line}\n" for line in recorder.format()))
        self._file("qemu.log", machine.whole_log)
        self._file("configuration.json", lambda: _json(_configuration(system)))
        self._ask("registers.txt", lambda: vcpus(machine))
        self._ask("qtree.txt", lambda: monitor(machine, "info qtree", "info pci", "info pic"))
        self._ask("devices.json", lambda: _json(device_properties(machine)))
        self._ask("pci-config.txt", lambda: configuration_spaces(system))
        self._try("guest.elf", lambda path: shutil.copyfile(machine.image.path, path))
        self._try(MEMORY, self._dump)
        self._file(CONTENTS, lambda: _json(_contents(self._result)))

    def _dump(self, path: Path) -> None:
        if self._unanswered is None:
            try:
                dump_by_qemu(self._system.machine, path)
            except MachineDied as error:
                self._unanswered = error
            else:
                return
        dump_shared(self._system.machine.memory, path)

    def _ask(self, name: str, text: Callable[[], str]) -> None:
        """Writes QEMU's answer, unless QEMU has failed to answer before: each wait takes long."""
        if self._unanswered is not None:
            self._result.missing[name] = _reason(self._unanswered)
        else:
            self._file(name, text)

    def _file(self, name: str, text: Callable[[], str]) -> None:
        self._try(name, lambda path: path.write_text(text(), encoding="utf-8"))

    def _try(self, name: str, write: Callable[[Path], object]) -> None:
        path = self._result.path / name
        part = path.with_name(f"{name}.part")
        try:
            os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600))
            write(part)
            part.replace(path)
        except Exception as error:  # noqa: BLE001 -- the next files must still be written
            if isinstance(error, MachineError):
                self._unanswered = error
            self._result.missing[name] = _reason(error)
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        else:
            self._result.written.append(name)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = str(error).partition("\n")[0]
    return text if isinstance(error, PydriverError) else f"{type(error).__name__}: {text}"


def _report(system: "System", failure: BaseException) -> str:
    if isinstance(failure, VerifierError):
        return "\n\n".join(each.report(events=True) for each in failure.violations)
    if isinstance(failure, BugCheck):
        return failure.report
    objects = system.kernel.describe(tree_of(system))
    events = system.kernel.recorder.format(REPORTED_EVENTS)
    return "\n".join([f"{type(failure).__name__}: {failure}", *objects, *events])


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"


def _contents(result: WrittenCrash) -> Json:
    return {"format": FORMAT, "written": result.written, "missing": result.missing}


def _configuration(system: "System") -> Json:
    machine = system.machine
    versions = {"python": platform.python_version(), "host": platform.platform()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    with contextlib.suppress(PydriverError):
        found = machine.qmp("query-version")["qemu"]
        versions["qemu"] = f"{found['major']}.{found['minor']}.{found['micro']}"
    return {
        "versions": versions,
        "command": sys.argv,
        "qemu": machine.command,
        "machine": {name: str(value) for name, value in vars(machine.config).items()},
        "drivers": [each.name for each in system.drivers],
    }


@dataclass(frozen=True)
class Crash:
    """A crash directory that has been read.

    :ivar path: the path of the directory
    :ivar state: the state that :func:`~pydriver.crash.snapshot.snapshot` returned
    :ivar recorder: all entries of the recorder, the oldest first
    :ivar events: the same entries as lines of text
    :ivar missing: the reasons why files are missing, by name of the file
    """

    path: Path
    state: Json
    recorder: list[Json]
    events: list[str]
    missing: dict[str, str]


def read_crash(path: Path) -> Crash:
    """Reads a crash directory.

    :raises ConfigurationError: it is not a crash directory, or it cannot be read
    """
    if not path.is_dir():
        raise ConfigurationError(
            f"{path} {'is not a directory' if path.exists() else 'is missing'}"
        )
    if not (path / CRASH).exists():
        raise ConfigurationError(f"{path} is not a crash directory: it has no {CRASH}")
    state = _load(path / CRASH)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise ConfigurationError(f"{path / CRASH} has format {found}, not {FORMAT}")
    for key in KEYS:
        if key not in state:
            raise ConfigurationError(f"{path / CRASH} is damaged: it has no {key}")
    recorder = _load(path / RECORDER) if (path / RECORDER).exists() else []
    events = _read(path / EVENTS).splitlines() if (path / EVENTS).exists() else []
    contents = _load(path / CONTENTS) if (path / CONTENTS).exists() else {}
    return Crash(path, state, recorder, events, contents.get("missing", {}))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _load(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid JSON: {error}") from error
