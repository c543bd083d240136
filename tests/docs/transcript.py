# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Transcripts: commands and their output, and the comparison with the output of today.

A line after `$ ` is a command, lines after `> ` continue it. Lines after the prompt of a program,
such as `(gdb) `, are typed into the command above. A line `...` matches any lines, `...` at the end
of a line matches the rest of it.
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

    :ivar text: the command, for the shell
    :ivar typed: the input that is typed into it, line by line
    :ivar output: the lines that it prints
    """

    text: str
    typed: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)


def commands_of(transcript: str) -> list[Command]:
    """The commands of a transcript.

    :raises ValueError: the transcript has output before the first command
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
    """A line without the parts that vary: numbers, and the width of their columns."""
    line = NUMBER.sub("#", line)
    return re.sub(r"-{3,}", "---", re.sub(r"\s+", " ", line)).strip()


def without_prompts(line: str) -> str:
    """A line without the prompts that a program prints although its input is not echoed."""
    while prompt := PROMPT.match(line):
        line = line[prompt.end() :]
    return line.rstrip()


def difference(command: Command, printed: str, *, numbers_vary: bool) -> str:
    """Compares the output of a command with the transcript.

    :param command: the command, with the output in the transcript
    :param printed: the output of today
    :param numbers_vary: whether numbers may differ
    :return: a text that shows both outputs; empty: they agree
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
