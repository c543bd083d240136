# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Every block of a page is run, or says why it is not; no block is skipped."""

import json
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from .blocks import PROJECT, Block, blocks_of, pages
from .c_header import compile_c
from .session import Session
from .transcript import commands_of, difference

# Directives of the page's builder, which checks them itself.
DIRECTIVES = {"{include}", "{literalinclude}", "{toctree}"}
NUMBERS_VARY = "numbers vary"
EXIT = "exit "


def run_console(session: Session, block: Block) -> None:
    """Each command prints the output on the page; the last one ends as the fence says."""
    commands = commands_of(block.text)
    assert commands, f"{block} has no command"
    notes = set(block.notes)
    numbers_vary = NUMBERS_VARY in notes
    codes = {note for note in notes if note.startswith(EXIT)}
    assert notes <= codes | {NUMBERS_VARY}, f"{block}: unknown notes {sorted(notes)}"
    wanted = int(codes.pop().removeprefix(EXIT)) if codes else 0
    for number, command in enumerate(commands, 1):
        typed = "".join(f"{line}\n" for line in command.typed)
        differ = partial(difference, command, numbers_vary=numbers_vary)
        background = command.text.endswith("&")
        code, printed = session.shell(
            command.text,
            typed,
            (lambda text, differ=differ: not differ(text)) if background else None,
        )
        differs = differ(printed)
        assert not differs, f"{block}: $ {command.text}\n{differs}"
        expected = wanted if number == len(commands) else 0
        assert code == expected, f"{block}: $ {command.text}\nends with {code}:\n{printed}"


def run_sh(session: Session, block: Block) -> None:
    """All lines succeed; their output is not on the page."""
    assert not block.notes, f"{block}: unknown notes {sorted(block.notes)}"
    code, printed = session.shell(f"set -e\n{block.text}set +e")
    assert code == 0, f"{block} ends with {code}:\n{printed}"


def run_patch(session: Session, block: Block) -> None:
    """The patch applies."""
    patch = session.write("page.diff", block.text)
    code, printed = session.shell(f"patch -p1 --fuzz=0 <{patch.name} && rm {patch.name}")
    assert code == 0, f"{block} does not apply:\n{printed}"


def check_c(session: Session, block: Block) -> None:
    """It compiles, with the names of the framework; a device is compiled by `make qemu`."""
    if "for QEMU" in block.notes:
        assert block.name, f"{block} is no file"
        session.write(block.name, block.text)
        return
    errors = compile_c(session.write(block.name or "page.c", block.text))
    assert not errors, f"{block} does not compile:\n{errors}"


def check_toml(session: Session, block: Block) -> None:
    """It can be parsed."""
    assert tomllib.loads(block.text)


def check_json(session: Session, block: Block) -> None:
    """It can be parsed."""
    assert json.loads(block.text)


def write_python(session: Session, block: Block) -> None:
    """Writes a file, which a command of the page runs; other blocks are run together at the end."""
    if block.name:
        compile(session.write(block.name, block.text).read_text(), block.name, "exec")


KINDS: dict[str, Callable[[Session, Block], None]] = {
    "c": check_c,
    "console": run_console,
    "diff": run_patch,
    "json": check_json,
    "python": write_python,
    "sh": run_sh,
    "toml": check_toml,
}


def run_block(session: Session, block: Block) -> None:
    """Runs a block, or fails if its kind is not known."""
    if block.reason or block.kind in DIRECTIVES:
        return
    assert block.kind in KINDS, (
        f"{block}: it is one of {', '.join(sorted(KINDS))}, or says in its fence why it is not run"
    )
    KINDS[block.kind](session, block)


def run_python(session: Session, blocks: list[Block]) -> None:
    """Runs the Python blocks of a page that are not files, as one script with its line numbers."""
    lines: list[str] = []
    for block in blocks:
        if block.kind == "python" and not block.name and not block.reason:
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    if lines:
        script = session.write(f"{blocks[0].page.name}.py", "\n".join([*lines, ""]))
        code, printed = session.python(script)
        assert code == 0, f"the Python of {blocks[0].page.name} ends with {code}:\n{printed}"


def run_blocks(session: Session, blocks: list[Block]) -> None:
    """Runs all blocks of a page."""
    for block in blocks:
        run_block(session, block)
    run_python(session, blocks)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    reader = Session(tmp_path)
    yield reader
    reader.close()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
@pytest.mark.timeout(240)
def test_the_page_runs_as_it_stands(page: Path, session: Session) -> None:
    blocks = blocks_of(page)
    run_blocks(session, blocks)


@pytest.mark.parametrize(
    "text",
    [
        "    an indented block\n",
        "```\nno kind\n```\n",
        "```text\nno reason\n```\n",
        "```fortran\nEND\n```\n",
        "- in a list\n\n  ```text\n  no reason\n  ```\n",
        "```console\n$ echo 1\n2\n```\n",
        "```console\n$ false\n```\n",
        "```console exit 1\n$ true\n```\n",
        "```console number varies\n$ echo 1\n1\n```\n",
        "```console numbers vary\n$ echo 1 apple\n2 pears\n```\n",
        "```console\n$ printf 'a\\nb\\n'\na\n```\n",
        "```console\nno command\n```\n",
        "```sh\nfalse\ntrue\n```\n",
        "```python\nassert False\n```\n",
        "`file.py`:\n\n```python\nx =\n```\n",
        "```diff\n--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-not there\n+there\n```\n",
        "```c\n#include <wdf.h>\nVOID f(WDFDPC Dpc) { WdfDpcEnqueue(Dpc, 1); }\n```\n",
        "```json\n{\n```\n",
        "```toml\nx\n```\n",
    ],
)
def test_a_wrong_block_is_found(text: str, session: Session) -> None:
    blocks = blocks_of(PROJECT / "README.md", text)
    assert len(blocks) == 1
    with pytest.raises((AssertionError, ValueError, SyntaxError)):
        run_blocks(session, blocks)


@pytest.mark.parametrize(
    "text",
    [
        "```text not run: a diagram\n-->\n```\n",
        "```console\n$ cd /; export A=1\n$ echo $PWD $A\n/ 1\n```\n",
        "```console exit 1\n$ true\n$ false\n```\n",
        "```console numbers vary\n$ echo 'a   17   0x1f'; echo -----\na 3 4\n---\n```\n",
        "```console\n$ printf 'a\\nb\\nc\\n'\na\n...\n```\n",
        "```console\n$ cat\n(gdb) print 1\nprint 1\n```\n",
        "```console\n$ echo one \\\n> two\none two\n```\n",
        "```console\n$ sleep 60 &\n```\n",
        "```c\n#include <wdf.h>\nVOID f(WDFDPC Dpc) { WdfDpcEnqueue(Dpc); }\n```\n",
        "```python\nassert __name__ != '__main__'\n```\n",
    ],
)
def test_a_right_block_is_run(text: str, session: Session) -> None:
    blocks = blocks_of(PROJECT / "README.md", text)
    assert len(blocks) == 1
    run_blocks(session, blocks)
