# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The search for QEMU: a variable, the project's own build, then ``$PATH``."""

from pathlib import Path

import pytest

from pydriver.errors import ConfigurationError
from pydriver.machine import binary
from pydriver.machine.binary import QEMU_NAME, default_qemu, find_qemu


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QEMU in ``$PATH``; nothing has been built and no variable names another."""
    program = tmp_path / "bin" / QEMU_NAME
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("PYDRIVER_QEMU", raising=False)
    monkeypatch.setattr(binary, "BUILD", tmp_path / "build")
    return program


def test_qemu_of_the_variable_goes_before_all_others(
    installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYDRIVER_QEMU", str(tmp_path / "mine"))
    assert default_qemu() == tmp_path / "mine"
    with pytest.raises(ConfigurationError, match=r"QEMU .*/mine is missing"):
        find_qemu()


def test_qemu_that_was_built_goes_before_the_installed_one(installed: Path) -> None:
    assert default_qemu() == installed
    built = binary.BUILD / QEMU_NAME
    built.parent.mkdir()
    built.touch(0o755)
    assert default_qemu() == find_qemu() == built


def test_missing_qemu_is_named_by_where_make_puts_it(installed: Path) -> None:
    installed.unlink()
    assert default_qemu() == binary.BUILD / QEMU_NAME
    with pytest.raises(ConfigurationError, match=r"QEMU .*/build/.* is missing \(make qemu"):
        find_qemu()


def test_named_qemu_is_looked_up_in_the_path(installed: Path) -> None:
    assert find_qemu(Path(QEMU_NAME)) == installed
