# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The blocks of a page: what stands in its fences.

A fence says what it is in its first line: a kind, and what is particular about it.

    ```console                              commands after "$ ", and what they print
    ```console numbers vary, exit 1         numbers are not compared, and the last command fails
    ```text not run: a diagram              nobody can run this, and why

A paragraph before a fence that is a file's name and a colon (`driver.py`:) makes it that file.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

__all__ = ("PROJECT", "Block", "blocks_of", "pages")

PROJECT = Path(__file__).resolve().parents[2]
INDENTED = "indented"
INFO = re.compile(r"(?P<kind>\S*)\s*(?:not run: (?P<reason>.+)|(?P<notes>.*))")
FILE_NAME = re.compile(r"`(?P<name>[\w./-]+)`:")


@dataclass(frozen=True)
class Block:
    """What stands in a fence.

    :ivar page: where it is
    :ivar line: of its first line of text, from 1
    :ivar kind: first word of the fence; `INDENTED` for a block without a fence
    :ivar notes: what else the fence says
    :ivar reason: why it is not run; empty: it is
    :ivar text: the lines
    :ivar name: of the file that it is; empty: it is none
    """

    page: Path
    line: int
    kind: str
    notes: frozenset[str]
    reason: str
    text: str
    name: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}: {self.kind} block"


def pages() -> list[Path]:
    """All pages whose blocks are run; mqdma.md is one of those that Sphinx includes."""
    return [
        PROJECT / "README.md",
        PROJECT / "qemu-device/mqdma.md",
        *sorted((PROJECT / "docs").rglob("*.md")),
    ]


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """The blocks of a page, in its order.

    :param page: the file
    :param text: its text, where it is not the file's
    """
    found = []
    name = ""
    for token in MarkdownIt("commonmark").parse(text or page.read_text(encoding="utf-8")):
        if token.type == "inline":
            match = FILE_NAME.fullmatch(token.content)
            name = match["name"] if match else ""
        elif token.type in {"fence", "code_block"}:
            assert token.map is not None
            info = INFO.fullmatch(token.info.strip()) if token.type == "fence" else None
            found.append(
                Block(
                    page,
                    token.map[0] + (2 if info else 1),
                    info["kind"] if info else INDENTED,
                    frozenset(filter(None, re.split(r",\s*", (info and info["notes"]) or ""))),
                    (info and info["reason"]) or "",
                    token.content,
                    name,
                )
            )
            name = ""
    return found
