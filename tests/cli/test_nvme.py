# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver nvme copy`: a file system goes through the driver, and is whole afterwards."""

import filecmp
import json
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import OFTEN, PROGRESS, Command, assert_error, names, run

SYSTEM_TOOLS = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
AT_ONCE = 2.0
MIB = 1 << 20


def tool(name: str) -> str:
    found = shutil.which(name, path=SYSTEM_TOOLS)
    assert found, f"{name} is missing (Debian: e2fsprogs)"
    return found


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ext4 file system with some directories and files."""
    place = tmp_path_factory.mktemp("image")
    tree = place / "tree"
    choose = random.Random(5)
    for folder in ("a", "a/b", "c"):
        (tree / folder).mkdir(parents=True)
        for number in range(20):
            size = choose.choice((0, 1, 4095, 70_000, 300_000))
            (tree / folder / f"file{number}").write_bytes(choose.randbytes(size))
    path = place / "image.ext4"
    command = [tool("mke2fs"), "-q", "-t", "ext4", "-d", str(tree), str(path), "24M"]
    subprocess.run(command, check=True)
    return path


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--block-size", "4096"),
        ("--transfer", "4M", "--depth", "2"),  # a PRP list of two pages
        ("--reset",),
        ("--reset", "--block-size", "4096", "--interrupts", "intx", "--cpus", "2"),
        ("--cpus", "4", "--no-check"),
    ],
    ids=lambda options: " ".join(options) or "512",
)
def test_file_system_is_clean_and_identical_on_the_other_side(
    image: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    disk = tmp_path / "disk"
    result = run("nvme", "copy", image, disk, "--json", *options)
    assert result.code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["verdict"] == "correct"
    assert found["bytes"] == image.stat().st_size
    assert len(found["queues"]) == 4
    for queue in found["queues"]:
        assert queue["completed"] > 0
        assert queue["isrs"] > 0
        assert queue["interrupts"] > 0 or "intx" in options
    # The reset was made by a work item.
    assert found["levels"]["work_item"]["count"] == ("--reset" in options)
    subprocess.run([tool("e2fsck"), "-fn", str(disk)], check=True, capture_output=True)
    assert filecmp.cmp(image, disk, shallow=False)
    assert names(tmp_path) == ["disk"]


def test_copy_can_be_looked_at_like_a_run(image: Path, tmp_path: Path) -> None:
    target, trace, registers = (tmp_path / name for name in ("disk", "t.pftrace", "registers.py"))
    looks = ("--trace", trace, "--mmio-trace", registers)
    result = run("nvme", "copy", image, target, "--queues", "2", "--json", *looks)
    assert result.code == 0, result.stderr
    assert filecmp.cmp(image, target, shallow=False)
    isrs = json.loads(result.stdout)["levels"]["isr"]["count"]
    routines = json.loads(run("timeline", trace, "--json").stdout)["routines"]
    assert sum(each["count"] for each in routines if each["level"] == "ISR") == isrs > 0
    # The disk that the run wrote to has become the target: the replay has an empty one.
    replayed = run("replay", registers)
    assert replayed.code == 0, replayed.stdout + replayed.stderr
    assert re.search(r"\d+ values compared: all as recorded", replayed.stdout)


@pytest.mark.parametrize("taken", ["source", "target", "trace"])
def test_trace_of_a_copy_that_would_replace_another_file_is_refused(
    tmp_path: Path, taken: str
) -> None:
    files = {name: tmp_path / name for name in ("source", "target", "trace")}
    files["source"].write_bytes(bytes(4096))
    looks = ("--trace", files["trace"], "--mmio-trace", files[taken])
    result = run("nvme", "copy", files["source"], files["target"], *looks)
    assert_error(result, 2, "is given for two files")
    assert files["source"].read_bytes() == bytes(4096)
    assert names(tmp_path) == ["source"]


def test_file_that_is_no_whole_number_of_blocks_stays_as_it_is(tmp_path: Path) -> None:
    source, disk = tmp_path / "source", tmp_path / "disk, with a comma"
    source.write_bytes(random.Random(6).randbytes(200_001))
    result = run("nvme", "copy", source, disk, "--block-size", "4096")
    assert result.code == 0, result.stderr
    assert "verdict: correct" in result.stdout
    assert filecmp.cmp(source, disk, shallow=False)


def test_what_was_read_back_wrong_is_found_and_not_kept(image: Path, tmp_path: Path) -> None:
    prelude = (
        "import pydriver.cli.jobs.disk_stream as d; right = d.DiskReader._read_source;"
        "d.DiskReader._read_source = lambda self, block: right(self, block)[:-1] + b'x'"
    )
    result = run("nvme", "copy", image, tmp_path / "disk", prelude=prelude)
    assert result.code == 1
    assert "what was read differs from the input" in result.stdout
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("{missing}", "{target}"), "cannot read .*missing: No such file"),
        (("{empty}", "{target}"), "empty is empty"),
        (("{full}", "{folder}/nowhere/target"), "cannot write"),
        (("{full}", "{folder}"), "it is a directory"),
        (("{full}", "{target}", "--queues", "65"), "queues"),
        (("{full}", "{target}", "--transfer", "6K"), "transfer"),
        (("{full}",), "IMAGE-OUT"),
    ],
)
def test_a_copy_that_cannot_be_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    places = {name: tmp_path / name for name in ("missing", "empty", "full", "target")}
    places["empty"].touch()
    places["full"].write_bytes(bytes(4096))
    result = run("nvme", "copy", *(each.format(**places, folder=folder) for each in arguments))
    assert_error(result, 2, text)
    assert names(tmp_path) == ["empty", "folder", "full"]
    assert names(folder) == []


def test_without_a_subcommand_there_is_help() -> None:
    result = run("nvme")
    assert result.code == 0
    assert "copy" in result.stdout


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Command]:
    """A copy that has begun."""
    source = tmp_path / "endless"
    with source.open("wb") as file:
        file.truncate(64 << 30)
    place = tmp_path / "place"
    place.mkdir()
    with Command("nvme", "copy", source, place / "disk", prelude=OFTEN) as command:
        command.wait_for_line(PROGRESS)
        yield command
    assert names(place) == []


def test_ctrl_c_ends_a_copy_at_once_and_nothing_is_left(busy: Command) -> None:
    busy.signal(signal.SIGINT)
    result = busy.finish()
    assert result.code == 130
    assert result.seconds < AT_ONCE
    assert result.stderr.splitlines()[-1] == "pydriver nvme copy: interrupted"


def test_qemu_killed_during_a_copy(busy: Command) -> None:
    busy.signal(signal.SIGKILL, busy.qemu)
    result = busy.finish()
    assert result.seconds < AT_ONCE
    assert_error(result, 1, r"pydriver nvme copy: error: QEMU \(pid \d+\) was killed by SIGKILL")
