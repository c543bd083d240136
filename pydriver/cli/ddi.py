# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver ddi`: every DDI that is implemented, and the C types that it is declared with."""

import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import click

from pydriver.cli.console import say
from pydriver.ke.irql import irql_name
from pydriver.wdf.object.ddi import REGISTRY, Ddi

__all__ = ("ddi",)

TABLE_WIDTH = 400
"""Columns: enough for the longest signature."""

COVERED = Path(__file__).parents[2] / "tests" / "reference" / "covered.json"
"""The list of the tests of each DDI, which only a clone has; `make docs` writes it."""

Tests = dict[str, list[str]]


@click.command()
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option(
    "--tests",
    "with_tests",
    is_flag=True,
    help="Name the tests that exercise each; in a clone of pydriver.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: parameters, types, layouts, and the tests.",
)
def ddi(patterns: tuple[str, ...], with_tests: bool, as_json: bool) -> int:  # noqa: FBT001
    """List the DDIs and kernel routines: IRQL limits, Python method, C signature, tests.

    PATTERN is a name, or a pattern as in the shell: 'WdfDpc*'. It also finds callbacks
    ('EVT_WDF_*'), structures and enumerations. Without a pattern all DDIs are listed, one line
    each in a pipe or a file; --json has the types, too.
    """
    from pydriver import declared  # its import fills the registry

    names = [name for name in sorted(REGISTRY) if _matches(name, patterns)]
    types = [name for name in declared.type_names() if _matches(name, patterns)]
    if not names and not types:
        raise click.UsageError(f"nothing is called {' or '.join(patterns)}")
    tests = _read_tests()
    if with_tests and tests is None:
        raise click.UsageError(
            f"--tests needs the list of tests {COVERED}, which only a clone of pydriver has"
        )
    if as_json:
        found = {name: declared.entry(name) for name in (*names, *types)}
        for name in names:
            found[name]["tests"] = tests and tests.get(name, [])
        return _end(say(json.dumps(found)))
    # A row of the table is wider than a terminal: people get an entry of a few lines for each.
    if with_tests or patterns or (sys.stdout is not None and sys.stdout.isatty()):
        text = "\n".join(_entry(REGISTRY[name], tests, with_tests) for name in names)
        if patterns:
            text = "\n".join([*([text] if names else []), *(_type(name) for name in types)])
    else:
        text = _table([REGISTRY[name] for name in names], tests)
    count = f"{len(names)} DDIs and kernel routines"
    if patterns and types:
        count += f", {len(types)} types"
    return _end(say(f"{text}\n\n{count}"))


def _read_tests() -> Tests | None:
    """The names of the tests of each DDI, ``None`` if pydriver was installed without them."""
    try:
        tests: Tests = json.loads(COVERED.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return tests


def _end(said: bool) -> int:  # noqa: FBT001
    return 0 if said else 1


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name.lower(), each.lower()) for each in patterns)


def _irqls(declared: Ddi) -> str:
    return _range(declared.lowest, declared.highest)


def _range(lowest: int, highest: int) -> str:
    return f"{'=' if lowest == highest else '<='} {irql_name(highest)}"


def _entry(declared: Ddi, tests: Tests | None, with_tests: bool) -> str:  # noqa: FBT001
    from pydriver.declared import public_path

    lines = [
        declared.name,
        f"    {declared.signature}",
        f"    pydriver.{public_path(declared)}, IRQL {_irqls(declared)}",
    ]
    if tests is None:
        return "\n".join(lines)
    names = tests.get(declared.name, [])
    if with_tests:
        lines += [f"    {test}" for test in names]
    else:
        lines.append(f"    {len(names)} tests")
    return "\n".join(lines)


def _type(name: str) -> str:
    """A callback, a structure, an enumeration or a handle, in a few lines."""
    from pydriver import declared

    entry = declared.entry(name)
    lines = [name]
    if entry["kind"] == "callback":
        lowest, highest = entry["lowest"], entry["highest"]
        lines += [f"    {entry['signature']}", f"    IRQL {_range(lowest, highest)}"]
        lines += [f"    {place}" for place in entry["places"]]
    elif "fields" in entry:
        classes = ", ".join(f"pydriver.{each}" for each in entry["classes"])
        lines.append(
            f"    {entry['kind']}, {entry['size']:#x} bytes" + (f", {classes}" * bool(classes))
        )
        for each in entry["fields"]:
            bits = "" if each["bits"] is None else f" : {each['bits']}"
            lines.append(f"    {each['offset']:#06x} {each['type']} {each['name']}{bits}")
    elif "values" in entry:
        lines += [f"    {each['value']:#x} {each['name']}" for each in entry["values"]]
    else:
        lines.append(
            f"    {entry['kind']}" + (f", pydriver.{entry['class']}" * bool(entry["class"]))
        )
    return "\n".join(lines)


def _table(all_of_them: list[Ddi], tests: Tests | None) -> str:
    from rich.console import Console
    from rich.table import Table

    from pydriver.declared import public_path

    table = Table(box=None, pad_edge=False)
    table.add_column("DDI", no_wrap=True)
    table.add_column("IRQL", no_wrap=True)
    if tests is not None:
        table.add_column("tests", justify="right")
    table.add_column("Python", no_wrap=True)
    table.add_column("C", overflow="fold")
    for each in all_of_them:
        table.add_row(
            each.name,
            _irqls(each),
            *(() if tests is None else (str(len(tests.get(each.name, []))),)),
            public_path(each),
            each.signature,
        )
    console = Console(width=TABLE_WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
