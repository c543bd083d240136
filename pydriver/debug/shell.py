# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The interactive shell: IPython, with the debugger's commands as its magic commands.

A command is typed by its name, as in WinDbg: ``wdfqueue 0x1010``. Any other input is Python, which
can use the system's objects by name.
"""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydriver.debug.commands import COMMANDS, CommandError
from pydriver.errors import PydriverError

if TYPE_CHECKING:
    from IPython.terminal.embed import InteractiveShellEmbed

__all__ = ("ShellCommand", "cache_folder", "make_shell", "run_lines")


@dataclass(frozen=True)
class ShellCommand:
    """A command of a shell.

    :ivar usage: the arguments, as help shows them
    :ivar help: the description, in one line
    :ivar run: the function that takes the rest of the line and returns the output
    """

    usage: str
    help: str
    run: Callable[[str], str]


def cache_folder() -> Path:
    """Returns the folder of the histories, `$XDG_CACHE_HOME/pydriver`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pydriver"


def _printing(command: ShellCommand) -> Callable[[str], None]:
    def magic(line: str = "") -> None:
        try:
            text = command.run(line.strip())
        except PydriverError as error:
            print(f"error: {error}")
            return
        if text:
            print(text)

    magic.__doc__ = f"{command.usage}: {command.help}"
    return magic


def view_commands(execute: Callable[[str], list[str]]) -> dict[str, ShellCommand]:
    """Returns the commands that only show state, each as a function of the rest of its line.

    :param execute: :meth:`Views.execute` of the system that is shown
    """

    def make(name: str) -> ShellCommand:
        command = COMMANDS[name]
        return ShellCommand(
            command.usage,
            command.help,
            lambda line: "\n".join(execute(f"{name} {line}")),
        )

    return {name: make(name) for name in COMMANDS}


def make_shell(
    commands: dict[str, ShellCommand], namespace: dict[str, Any], banner: str, cache: Path
) -> "InteractiveShellEmbed":
    """Makes an IPython shell with commands and names.

    :param commands: the commands by name
    :param namespace: the names that Python code uses and defines
    :param banner: the text that is printed first
    :param cache: the folder for the history
    """
    from IPython.terminal.embed import InteractiveShellEmbed
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.hist_file = str(cache / "history.sqlite")
    config.TerminalInteractiveShell.confirm_exit = False
    config.InteractiveShellEmbed.confirm_exit = False
    config.InteractiveShellEmbed.simple_prompt = not sys.stdin.isatty()
    config.IPCompleter.use_jedi = False  # it knows less about objects that already exist
    config.InteractiveShellEmbed.banner1 = banner
    cache.mkdir(parents=True, exist_ok=True)
    make: Callable[..., InteractiveShellEmbed] = InteractiveShellEmbed
    shell = make(config=config, user_ns=namespace, ipython_dir=str(cache / "ipython"))
    register: Callable[..., None] = shell.register_magic_function
    for name, command in commands.items():
        register(_printing(command), "line", name)
    shell.input_transformers_cleanup.append(_make_transformer(frozenset(commands)))
    return shell


def _make_transformer(names: frozenset[str]) -> Callable[[list[str]], list[str]]:
    """Makes a function that turns lines such as ``!wdfqueue 0x1010`` into commands.

    The views print a command that way; a name that Python also has is a command, too.
    """

    def transform(lines: list[str]) -> list[str]:
        if len(lines) != 1:
            return lines
        words = lines[0].strip().removeprefix("!").split(maxsplit=1)
        if not words or words[0] not in names or (len(words) > 1 and words[1][0] in "=.(["):
            return lines
        return [f"%{' '.join(words)}\n"]

    return transform


def run_lines(commands: dict[str, ShellCommand], lines: Iterable[str], prompt: str) -> bool:
    """Executes command lines, and prints each with its output.

    :param prompt: the text that is printed before each line
    :return: whether all of them succeeded
    """
    for line in lines:
        print(f"{prompt}{line}", flush=True)
        name, _, rest = line.strip().removeprefix("!").partition(" ")
        command = commands.get(name)
        try:
            if command is None:
                raise CommandError(f"there is no command {name!r}")
            text = command.run(rest.strip())
        except PydriverError as error:
            print(f"error: {error}", flush=True)
            return False
        if text:
            print(text, flush=True)
    return True
