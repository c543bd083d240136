# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""mqdma.md agrees with mqdma_regs.h: it has each register and code, with its number."""

import re

import pytest
from pydriver.abi._native import ffi

from .conftest import ROOT
from .test_registers import GLOBAL, GLOBAL_RESET, QUEUE

PAGE = (ROOT / "qemu-device/mqdma.md").read_text(encoding="utf-8")

NUMBER_AND_NAME = re.compile(r"^\| (\d+(?:, \d+)*) \| ((?:`[A-Z0-9_]+`(?:, )?)+)", re.MULTILINE)


def section(title: str) -> str:
    """The text below a heading, down to the next one."""
    return re.split(r"^#+ ", PAGE.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def registers(title: str) -> dict[str, tuple[int, str]]:
    """The offset and reset value of each register of a table, the halves of a register apart."""
    found = {}
    for row in re.findall(r"^\| 0x.*$", section(title), re.MULTILINE):
        offset, names, _, reset = (cell.strip() for cell in row.split("|")[1:5])
        at = int(offset, 16)
        first = ""
        for name in re.findall(r"`(\w+)`", names):
            full = first.removesuffix("LO") + "HI" if name == "_HI" else name
            first = first or full
            found[full] = (at, reset)
            at += 4
    return found


@pytest.mark.parametrize(
    ("title", "prefix", "declared"),
    [("Global page", "MQDMA_REG_", GLOBAL), ("Queue page", "MQDMA_Q_", QUEUE)],
)
def test_every_register_is_specified_at_its_offset(
    title: str, prefix: str, declared: dict[str, int]
) -> None:
    specified = {prefix + name: offset for name, (offset, _) in registers(title).items()}
    assert specified == declared


def test_reset_values_are_specified() -> None:
    for name, (_, reset) in registers("Global page").items():
        if re.fullmatch(r"0|0x[0-9a-f]+", reset):
            assert int(reset, 0) == GLOBAL_RESET["MQDMA_REG_" + name], name


@pytest.mark.parametrize(
    ("title", "enum", "prefix"),
    [
        ("Operations", "mqdma_opcode", "MQDMA_OP_"),
        ("Completions", "mqdma_status", "MQDMA_STATUS_"),
        ("States of a queue", "mqdma_error", "MQDMA_ERROR_"),
    ],
)
def test_every_code_is_specified(title: str, enum: str, prefix: str) -> None:
    specified = {}
    for numbers, names in NUMBER_AND_NAME.findall(section(title)):
        for number, name in zip(numbers.split(", "), re.findall(r"`(\w+)`", names), strict=True):
            specified[prefix + name] = int(number)
    declared = {name: value for value, name in ffi.typeof(f"enum {enum}").elements.items()}
    declared.pop(f"{prefix}COUNT", None)
    declared.pop(f"{prefix}NONE", None)
    assert specified == declared


@pytest.mark.parametrize("struct", ["descriptor", "completion"])
def test_layout_is_specified(struct: str) -> None:
    section_text = section(f"{struct.capitalize()}s")
    specified = re.findall(r"^\| (\d+) \| `(\w+)` \| ", section_text, re.MULTILINE)
    fields = ffi.typeof(f"struct mqdma_{struct}").fields
    assert {name: int(offset) for offset, name in specified if name in dict(fields)} == {
        name: field.offset for name, field in fields
    }
