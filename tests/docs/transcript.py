# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Transcripts: commands with what they print, and whether they still print that.

A line after `$ ` is a command, lines after `> ` go on with it. Lines after the prompt of a program,
such as `(gdb) `, are typed into the command above. A line `...` stands for any lines, `...` at the
end of a line for the rest of it.
"""

import difflib
import re
from dataclasses import dataclass, field

__all__ = ("Command", "commands_of", "difference", "without_numbers")

PROMPT = re.compile(r" ?\((?:QEMU|gdb|Pdb|pydriver)\) ?|>>> ?")
NUMBER = re.compile(r"0x[0-9A-Fa-f]+|\d[\d.,]*")
ANY_LINES, ANY_REST = "...", "..."


@dataclass
class Command:
    """A command of a transcript.

    :ivar text: for the shell
    :ivar typed: what is typed into it, line by line
    :ivar output: the lines that it prints
    """

    text: str
    typed: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)


def commands_of(transcript: str) -> list[Command]:
    """The commands of a transcript.

    :raises ValueError: something is printed before the first command
    """
    commands: list[Command] = []
    for line in transcript.splitlines():
        prompt = PROMPT.match(line)
        if line.startswith("$ "):
            commands.append(Command(line[2:]))
        elif not commands:
            raise ValueError(f"no command prints this: {line}")
        elif line.startswith("> ") and not commands[-1].output:
            commands[-1].text += "\n" + line[2:]
        elif prompt:
            commands[-1].typed.append(line[prompt.end() :])
        else:
            commands[-1].output.append(line)
    return commands


def without_numbers(line: str) -> str:
    """A line without what varies: numbers, and the width of columns that hold them."""
    line = NUMBER.sub("#", line)
    return re.sub(r"-{3,}", "---", re.sub(r"\s+", " ", line)).strip()


def without_prompts(line: str) -> str:
    """A line without the prompts that a program prints although nobody sees its input."""
    while prompt := PROMPT.match(line):
        line = line[prompt.end() :]
    return line.rstrip()


def difference(command: Command, printed: str, *, numbers_vary: bool) -> str:
    """How what a command has printed differs from what the transcript has.

    :param command: of the transcript
    :param printed: what it has printed now
    :param numbers_vary: numbers may differ
    :return: nothing, or a text that shows both
    """
    got = [line.rstrip() for line in printed.splitlines()]
    wanted = [line.rstrip() for line in command.output]
    if command.typed:
        got = [without_prompts(line) for line in got]
        got = [line for line in got if line]
    if numbers_vary:
        got = [without_numbers(line) for line in got]
        wanted = [without_numbers(line) for line in wanted]
    pattern = "".join(_pattern(line) for line in wanted)
    if re.fullmatch(pattern, "".join(f"{line}\n" for line in got)):
        return ""
    return "\n".join(difflib.unified_diff(wanted, got, "the page", "this run", lineterm=""))


def _pattern(line: str) -> str:
    if line.strip() == ANY_LINES:
        return r"(?:.*\n)*?"
    if line.endswith(ANY_REST):
        return re.escape(line.removesuffix(ANY_REST)) + r".*\n"
    return re.escape(line) + r"\n"
