# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Make docs/run.svg: run `make run` in a terminal of 80 columns, and draw what it printed.

    .venv/bin/python docs/picture_of_a_run.py

The progress bar, which vanishes when the run ends, is drawn as it was last seen.
"""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

PROJECT = Path(__file__).resolve().parent.parent
PICTURE = PROJECT / "docs" / "run.svg"
COMMAND = ("make", "run")
COLUMNS = 80
BAR = "━"

TOKEN = re.compile(r"\x1b\[(?P<argument>[?\d;]*)(?P<command>[A-Za-z])|\r|\n|[^\x1b\r\n]+")
"""A control sequence, a control character, or text."""

# What rich draws by default, but with the reader's own font instead of one from the network.
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font: {char_height}px monospace; line-height: {line_height}px; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


def run() -> tuple[int, str]:
    """Run the command in a pseudo-terminal.

    :return: its exit code and all that it wrote
    """
    master, slave = pty.openpty()
    environment = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
        "LINES": "40",
        "COLORTERM": "truecolor",
    }
    process = subprocess.Popen(
        COMMAND, cwd=PROJECT, env=environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 4096):
            written += piece
    except OSError:  # EIO: nobody has the terminal open any more
        pass
    os.close(master)
    return process.wait(), written.decode()


def final_screen(written: str) -> list[str]:
    """Interpret the few control sequences that a progress bar needs.

    :return: lines, with their colours as escape sequences
    """
    lines, row, bar = [""], 0, ""
    for token in TOKEN.finditer(written):
        command, text = token["command"], token[0]
        if text == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif command == "A":
            row = max(0, row - int(token["argument"] or 1))
        elif command == "K":
            if BAR in lines[row]:
                bar = lines[row]
            lines[row] = ""
        elif text != "\r" and command in {None, "m"}:
            lines[row] += text
    first = next(index for index, line in enumerate(lines) if line.startswith("streaming"))
    return [*lines[: first + 1], bar, "", *lines[first + 1 :]] if bar else lines


def main() -> int:
    """Make the picture."""
    code, written = run()
    if code:
        print(written, file=sys.stderr)
        return code
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {' '.join(COMMAND)}", style="bold"))
        for line in final_screen(written.rstrip()):
            console.print(Text.from_ansi(line), soft_wrap=True)
        console.save_svg(str(PICTURE), title="pydriver", code_format=SVG, unique_id="run")
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
