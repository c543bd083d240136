# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Runs that `pydriver run` refuses or gives up: one line says why."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .command import Command, assert_error, run


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nowhere",), "cannot read nowhere: No such file or directory"),
        (("/tmp",), "cannot read /tmp: it is a directory"),
        (("/dev/zero",), "cannot read /dev/zero: it is not a regular file"),
        (("--queues", "65"), "65 is not in the range"),
        (("--queues", "0"), "0 is not in the range"),
        (("--depth", "257"), "257 is not in the range"),
        (("--block", "6"), "6 is not a multiple of 4"),
        (("--block", "17M"), "17M is not a multiple of 4 from 4 to 16M"),
        (("--block", "much"), "'much' is not a size"),
        (("--interrupts", "smoke"), "'smoke' is not one of"),
        (("--interrupts", "intx", "--messages", "2"), "--messages needs"),
        (("--fault", "earthquake"), "'earthquake' is not one of"),
        (("--bogus",), "No such option '?--bogus"),
        (("/bin/true", "/bin/false"), "unexpected extra argument"),
        (("--queues", "64", "--depth", "256", "--block", "1M"), "4096 MiB are possible"),
        (("--output", "/nowhere/file"), "cannot write /nowhere/file: No such file"),
        (("--output", "/tmp"), "cannot write /tmp: it is a directory"),
        (("--output", "/dev/null"), "cannot write /dev/null: it is not a regular file"),
        (("--qmp", "/nowhere/qmp"), "QMP socket /nowhere/qmp: No such file"),
        (("--qmp", "x" * 200), "QMP socket x+: "),
    ],
)
def test_a_wrong_command_line(arguments: tuple[str, ...], text: str) -> None:
    result = run("run", *arguments)
    assert_error(result, 2, text)
    assert result.stderr.startswith("pydriver run: error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("option", ["--output", "--trace", "--mmio-trace"])
def test_a_link_that_leads_to_itself(small: Path, tmp_path: Path, option: str) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert_error(run("run", small, option, loop), 2, "cannot write .*: Symlink loop")


def test_an_unknown_command() -> None:
    assert_error(run("fly"), 2, "^pydriver: error: No such command 'fly'")


def test_a_file_without_permission_to_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"data")
    path.chmod(0)
    capabilities = "-dac_override,-dac_read_search"
    prefix = ("setpriv", f"--bounding-set={capabilities}") if os.geteuid() == 0 else ()
    assert_error(run("run", path, prefix=prefix), 2, f"cannot read {path}: Permission denied")


def test_a_qemu_that_is_not_built(tmp_path: Path) -> None:
    missing = {"PYDRIVER_QEMU": str(tmp_path / "qemu")}
    for arguments in (("run",), ("run", "/bin/true")):
        result = run(*arguments, environment=missing)
        assert_error(result, 2, r"QEMU .* is missing \(make qemu builds it\)")
        assert result.stderr.count("\n") == 1


def test_a_guest_that_is_not_built(tmp_path: Path) -> None:
    prelude = (
        f"import pathlib, pydriver.machine.qemu as q; q.BUILD = pathlib.Path({str(tmp_path)!r})"
    )
    qemu = {"PYDRIVER_QEMU": "/bin/true"}
    result = run("run", "/bin/true", prelude=prelude, environment=qemu)
    assert_error(result, 2, r"boot ROM .* is missing \(make guest builds it\)")


def test_an_extension_that_is_not_built() -> None:
    result = run(
        "run", "/bin/true", prelude="import sys; sys.modules['pydriver.abi._native'] = None"
    )
    assert_error(result, 2, "the extension pydriver.abi._native is missing")
    assert result.stderr.count("\n") == 1


def test_a_kvm_that_is_not_there() -> None:
    prelude = "import pydriver.machine.kvm as k; k.KVM = '/nowhere/kvm'"
    result = run("run", "/bin/true", "--accel", "kvm", prelude=prelude)
    assert_error(result, 2, "KVM is not usable: /nowhere/kvm: No such file or directory")


# Missing parts of the host


def test_no_memory_for_the_memfd(small: Path) -> None:
    result = run("run", small, prefix=("prlimit", f"--fsize={1 << 20}"))
    assert_error(result, 1, "no memory for ram: memfd of 65536 KiB: File too large")
    assert result.stdout == ""


def test_no_address_space_for_the_memfd(small: Path) -> None:
    result = run("run", small, "--json", prefix=("prlimit", f"--as={110 << 20}"))
    assert_error(result, 1, "no memory for .*: Cannot allocate memory")
    assert "no memory" in json.loads(result.stdout)["verdict"]


def test_no_descriptors(small: Path) -> None:
    assert_error(run("run", small, "--cpus", "8", prefix=("prlimit", "--nofile=24")), 1, "Too many")


def test_a_full_dev_shm_does_not_matter(small: Path) -> None:
    full = "mount -t tmpfs -o size=4k none /dev/shm && echo x > /dev/shm/full"
    unshare = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, full], check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system in a namespace of our own is not allowed here")
    prefix = (*unshare, f'{full}; exec "$0" "$@"')
    result = run("run", small, prefix=prefix)
    assert result.code == 0, result.stderr


def test_a_disk_that_is_full(small: Path) -> None:
    unshare = ["unshare", "--mount", "sh", "-c"]
    small_disk = "mount -t tmpfs -o size=1m none /mnt"
    if subprocess.run([*unshare, small_disk], check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system in a namespace of our own is not allowed here")
    prefix = (*unshare, f'{small_disk}; "$0" "$@"; code=$?; ls -A /mnt; exit $code')
    result = run("run", small, "--output", "/mnt/output", prefix=prefix)
    assert_error(result, 1, "cannot write /mnt/output: No space left on device")
    assert result.stdout == ""


# Readers of the output


def test_a_reader_that_goes_away_is_no_error(small: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with Command("run", small, stdout=writer) as command:
            result = command.finish()
    finally:
        os.close(writer)
    assert result.code == 0
    assert "error" not in result.stderr.lower()


def test_a_stdout_that_is_full_is_an_error(small: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with Command("run", small, stdout=full) as command:
            result = command.finish()
    finally:
        os.close(full)
    assert_error(result, 1, "cannot write to stdout: No space left on device")


# Help


def test_version_and_help() -> None:
    assert re.fullmatch(r"pydriver \d+\.\d+\.\d+\n", run("--version").stdout)
    assert "stream a file" in run("--help").stdout
    shown = run("run", "--help").stdout
    for word in ("--queues", "--fault", "spurious", "removed", "Exit codes"):
        assert word in shown
    assert run().stdout == run("--help").stdout


def test_help_is_quick_because_it_imports_little() -> None:
    code = (
        "import sys; from pydriver.cli.main import pydriver\n"
        "try: pydriver.main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.partition('.')[0] in {'rich', 'qemu', 'asyncio'}])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == "[]"


def test_help_of_run_has_each_option_once_and_those_of_a_pair_between_the_common_ones() -> None:
    shown = re.findall(r"^  (?:-h, )?(--[a-z-]+)", run("run", "--help").stdout, re.MULTILINE)
    assert len(shown) == len(set(shown))
    pair = ["--fault", "--device", "--driver", "--qemu-option", "--idle", "--output"]
    assert shown[shown.index("--fault") :][: len(pair)] == pair
    assert shown[-4:] == ["--crash-dir", "--verifier", "--json", "--help"]
