# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver attach`: the debugger's views of a system in another process, read-only."""

import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

import click

from pydriver.cli.console import say
from pydriver.cli.options import PATH, lines_option

__all__ = ("attach",)

PROMPT = "pydriver> "
ENDINGS = frozenset({"exit", "quit", "q"})


@click.command()
@click.argument("path", metavar="SOCKET", type=PATH)
@lines_option
def attach(path: Path, lines: tuple[str, ...]) -> int:
    """Look at a running `pydriver run --debug-socket SOCKET`.

    The commands are those of `pydriver debug` that only show state; `help` lists them. Nothing is
    stopped, so the state may change while it is read. `exit` or Ctrl-D ends.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise click.UsageError(f"cannot attach to {path}: {error.strerror or error}") from error
    with connection, connection.makefile("rw", encoding="utf-8") as file:
        if lines:
            return _execute(file, lines, echo=True)
        return _execute(file, _typed(file), echo=not sys.stdin.isatty())


def _execute(file: TextIO, lines: Iterable[str], *, echo: bool) -> int:
    from pydriver.debug.commands import CommandError
    from pydriver.debug.server import ask

    code = 0
    for line in lines:
        if echo:
            say(f"{PROMPT}{line}")
        try:
            text = "\n".join(ask(file, line)) if line.strip() else ""
        except CommandError as error:
            say(f"error: {error}")
            code = 1
        except ConnectionError as error:
            say(f"pydriver attach: error: {error}", error=True)
            return 1
        else:
            if text:
                say(text)
    return code


def _typed(file: TextIO) -> Iterator[str]:
    """The lines that a person types, with history and completion; or those of a file on stdin."""
    if not sys.stdin.isatty():
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory

    from pydriver.debug.commands import ACTIVE, COMMANDS
    from pydriver.debug.shell import cache_folder

    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    session: PromptSession[str] = PromptSession(
        PROMPT,
        history=FileHistory(str(cache / "attach-history")),
        completer=WordCompleter([name for name in COMMANDS if name not in ACTIVE]),
    )
    while True:
        try:
            line = session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if line.strip() in ENDINGS:
            return
        yield line
