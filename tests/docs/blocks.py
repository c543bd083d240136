# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The blocks of a page: the contents of its fences.

The first line of a fence names its kind, and options.

    ```console                              commands after "$ ", and their output
    ```console numbers vary, exit 1         numbers are not compared, and the last command fails
    ```text not run: a diagram              the block cannot be run, and the reason

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
    """The contents of a fence.

    :ivar page: the page that contains it
    :ivar line: the number of its first line of text, from 1
    :ivar kind: the first word of the fence; `INDENTED` for a block without a fence
    :ivar notes: the options of the fence
    :ivar reason: the reason why it is not run; empty: it is run
    :ivar text: the lines
    :ivar name: the name of the file that it is; empty: it is not a file
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
    """All pages whose blocks are run, with mqdma.md, which Sphinx includes."""
    return [
        PROJECT / "README.md",
        PROJECT / "qemu-device/mqdma.md",
        *sorted((PROJECT / "docs").rglob("*.md")),
    ]


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """The blocks of a page, in its order.

    :param page: the file
    :param text: its text, if it differs from the file's
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
