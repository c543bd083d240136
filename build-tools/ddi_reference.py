# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Make the lists of the reference, in docs/reference, and the one that `pydriver ddi` shows.

    .venv/bin/python build-tools/ddi_reference.py [--check]

They come from the registry and from the tests. A test says what it shows with
`@pytest.mark.covers("WdfDpcEnqueue", ...)`, and which mistake of a driver the verifier finds in it
with `@pytest.mark.mistake("DoubleCompletion")` or, if it ends in a bug check,
`@pytest.mark.mistake("WdfSpinlock", 0x0F)`.
"""

import ast
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydriver.declarations.registry import CALLBACKS, ENUMERATIONS, STRUCTURES
from pydriver.declared import (
    callback_entry,
    enumeration_entry,
    public_path,
    structure_entry,
)
from pydriver.ke.bugcheck import KMDF_RULES, bug_check_name
from pydriver.ke.irql import irql_name
from pydriver.wdf.object.ddi import REGISTRY, Ddi

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENT = PROJECT / "docs" / "reference" / "ddi.md"
CALLBACKS_PAGE = PROJECT / "docs" / "reference" / "callbacks.md"
STRUCTURES_PAGE = PROJECT / "docs" / "reference" / "structures.md"
MISTAKES = PROJECT / "docs" / "reference" / "verifier.md"
COVERED = PROJECT / "tests" / "reference" / "covered.json"
"""The list of tests. It lies beside them, because an installed pydriver has no tests."""

HEAD = """\
# DDIs

Made by `make docs` from the registry (`pydriver.wdf.REGISTRY`) and from the marks of the tests; do
not edit. `pydriver ddi` prints the same list. {count} DDIs and kernel routines. [What is left
out](left-out.md), and why, and [what the verifier finds](verifier.md) have pages of their own.

`pydriver.ddi` offers each under its exact name: `from pydriver.ddi import WdfDpcEnqueue`.
[Callbacks](callbacks.md) and [structures and enumerations](structures.md) have their own pages.
"""

CALLBACKS_HEAD = """\
# Callbacks

Made by `make docs` from the declarations; do not edit. {count} types of functions that a driver
supplies, with the field or the DDI's parameter that takes each. A Python callback gets the same
parameters, and returns `None` for VOID and for STATUS_SUCCESS.

| callback | IRQL | signature | where |
| --- | --- | --- | --- |
"""

STRUCTURES_HEAD = """\
# Structures and enumerations

Made by `make docs` from the declarations; do not edit. Sizes and offsets are those of x64, in
bytes; compilers confirm them in the tests. A structure that starts with `Size` may be shorter, as
an older driver was compiled with it. `pydriver ddi 'WDF_*' --json` has the same as data.
"""

MISTAKES_HEAD = """\
# Mistakes that the verifier finds

Made by `make docs` from the marks of the tests; do not edit. {count} mistakes of drivers, each made
by a test, which fails unless the verifier reports the rule and, where there is one, the bug check.

Without a bug check WDF breaks into the debugger, or Windows notices nothing: the run goes on, and
`System.close` raises what was found. A rule of the KMDF rule sets has the page that is named, in
the documentation of Windows drivers; a name in capitals is Windows' name of the bug check, or of
its first parameter; the other rules are of this verifier.

| rule | bug check | page | mistake |
| --- | --- | --- | --- |
"""

FAMILIES = (
    ("WdfDriver", "Drivers"),
    ("WdfGetDriver", "Drivers"),
    ("WdfDeviceInit", "Devices: before creation"),
    ("WdfFdoInit", "Devices: before creation"),
    ("WdfDevice", "Devices"),
    ("WdfFdo", "Devices"),
    ("WdfInterrupt", "Interrupts"),
    ("WdfDpc", "DPCs"),
    ("WdfWorkItem", "Work items"),
    ("WdfTimer", "Timers"),
    ("WdfSpinLock", "Locks"),
    ("WdfWaitLock", "Locks"),
    ("WdfIoQueue", "Queues"),
    ("WdfRequest", "Requests"),
    ("WdfFileObject", "File objects"),
    ("WdfObject", "Objects"),
    ("WdfMemory", "Memory"),
    ("WdfLookaside", "Memory"),
    ("WdfCommonBuffer", "DMA"),
    ("WdfDma", "DMA"),
    ("WdfCmResourceList", "Resources"),
    ("WdfRegistry", "Registry"),
    ("READ_", "Registers and ports"),
    ("WRITE_", "Registers and ports"),
    ("Mm", "Registers and ports"),
    ("", "Kernel routines"),
)


class Mistake(NamedTuple):
    """A mistake that a test makes: the rule, the bug check's code, and the test."""

    rule: str
    code: int | None
    test: str

    @property
    def words(self) -> str:
        """The test's name as words."""
        return _words(self.test)


def _words(test: str) -> str:
    return test.rpartition("::")[2].removeprefix("test_").replace("_", " ")


def marks(tests: Path, name: str) -> Iterator[tuple[str, list[Any]]]:
    """The tests with a certain mark, also on a parameter, and the arguments of the mark.

    :param tests: the folder of the tests
    :param name: the name of the mark
    :raises SystemExit: an argument is not a literal
    """
    for path in sorted(tests.rglob("test_*.py")):
        where = path.relative_to(tests.parent).as_posix()
        for test in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                for decorator in test.decorator_list:
                    for node in ast.walk(decorator):
                        if _is_mark(node, name):
                            yield f"{where}::{test.name}", _arguments(test, name, node)


def _is_mark(node: ast.AST, name: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
        and ast.unparse(node.func.value) == "pytest.mark"
    )


def _arguments(test: ast.FunctionDef, name: str, mark: ast.AST) -> list[Any]:
    assert isinstance(mark, ast.Call)
    values = [each.value for each in mark.args if isinstance(each, ast.Constant)]
    if len(values) < len(mark.args) or mark.keywords:
        raise SystemExit(f"{test.name}: {name}() takes only literals")
    return values


def covered(tests: Path) -> dict[str, list[str]]:
    """The tests that show a row of the reference, by the row's name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for test, names in marks(tests, "covers"):
        for name in names:
            found[name].append(test)
    return dict(found)


def mistakes(tests: Path) -> list[Mistake]:
    """The mistakes that tests make."""
    return [
        Mistake(rule, code[0] if code else None, test)
        for test, (rule, *code) in marks(tests, "mistake")
    ]


def irqls(declared: Ddi) -> str:
    """``PASSIVE_LEVEL (0)``, or a range."""
    return _range(declared.lowest, declared.highest)


def family(name: str) -> str:
    """The heading under which a DDI is listed."""
    return next(title for prefix, title in FAMILIES if name.startswith(prefix))


def document(tests: dict[str, list[str]]) -> str:
    """docs/reference/ddi.md."""
    titles = list(dict.fromkeys(title for _, title in FAMILIES))
    parts = [HEAD.format(count=len(REGISTRY))]
    for title in titles:
        names = sorted(name for name in REGISTRY if family(name) == title)
        if not names:
            continue
        parts.append(f"## {title}\n")
        parts.append("| DDI | IRQL | signature | tests |\n| --- | --- | --- | --- |")
        for name in names:
            declared = REGISTRY[name]
            method = public_path(declared)
            shown = ", ".join(sorted({_words(each) for each in tests[name]}))
            parts.append(
                f"| `{name}`<br>`{method}` | {irqls(declared)} | `{declared.signature}` | {shown} |"
            )
        parts.append("")
    return "\n".join(parts)


def callbacks_document() -> str:
    """docs/reference/callbacks.md."""
    lines = []
    for name in sorted(CALLBACKS):
        each = callback_entry(CALLBACKS[name])
        places = ", ".join(f"`{place}`" for place in each["places"]) or "-"
        irql = _range(each["lowest"], each["highest"])
        lines.append(f"| `{name}` | {irql} | `{each['signature']}` | {places} |\n")
    return CALLBACKS_HEAD.format(count=len(lines)) + "".join(lines)


def _range(lowest: int, highest: int) -> str:
    return f"= {irql_name(highest)}" if lowest == highest else f"<= {irql_name(highest)}"


def structures_document() -> str:
    """docs/reference/structures.md."""
    parts = [STRUCTURES_HEAD]
    for title, wanted in (("WDF", True), ("Kernel", False)):
        parts.append(f"## {title}: structures\n")
        for name in sorted(STRUCTURES):
            if name.startswith("WDF") is wanted:
                parts += _structure(structure_entry(STRUCTURES[name]))
    for title, wanted in (("WDF", True), ("Kernel", False)):
        parts.append(f"## {title}: enumerations and constants\n")
        parts.append("| enumeration | Python | values |\n| --- | --- | --- |")
        for name in sorted(ENUMERATIONS):
            if name.startswith("WDF") is wanted:
                each = enumeration_entry(ENUMERATIONS[name])
                python = f"`{each['class']}`" if each["class"] else "-"
                values = ", ".join(f"`{one['name']}` = {one['value']:#x}" for one in each["values"])
                parts.append(f"| `{name}` | {python} | {values} |")
        parts.append("")
    return "\n".join(parts)


def _structure(entry: dict[str, Any]) -> list[str]:
    classes = ", ".join(f"`{each}`" for each in (*entry["classes"], entry["object"]) if each)
    text = f"{entry['size']} bytes"
    if classes:
        text += f"; {classes}"
    for version, size in entry["older"].items():
        text += f"; {size} up to KMDF {version}"
    lines = [f"### {entry['name']}\n", f"{text}.\n"]
    lines.append("| offset | type | member | Python |\n| --- | --- | --- | --- |")
    for each in entry["fields"]:
        bits = "" if each["bits"] is None else f" : {each['bits']}"
        attributes = ", ".join(sorted({f"`{one}`" for one in each["attributes"].values()})) or "-"
        lines.append(
            f"| {each['offset']:#x} | `{each['type']}` | `{each['name']}{bits}` | {attributes} |"
        )
    return [*lines, ""]


def mistakes_document(found: list[Mistake]) -> str:
    """docs/reference/verifier.md."""
    lines = []
    for rule, code, words in sorted(
        ((each.rule, each.code, each.words) for each in found),
        key=lambda each: (each[0].lower(), each[1] or 0, each[2]),
    ):
        bug_check = "-" if code is None else f"0x{code:X} {bug_check_name(code)}"
        page = f"kmdf-{rule.lower()}" if rule in KMDF_RULES else "-"
        lines.append(f"| `{rule}` | {bug_check} | {page} | {words} |\n")
    return MISTAKES_HEAD.format(count=len(lines)) + "".join(lines)


def main() -> int:
    """Write the files, or with --check see whether they are up to date."""
    tests: dict[str, list[str]] = defaultdict(list, covered(PROJECT / "tests"))
    known = {name: tests[name] for name in sorted(REGISTRY)}
    texts = {
        DOCUMENT: document(tests),
        CALLBACKS_PAGE: callbacks_document(),
        STRUCTURES_PAGE: structures_document(),
        MISTAKES: mistakes_document(mistakes(PROJECT / "tests")),
        COVERED: json.dumps(known, indent=0, sort_keys=True) + "\n",
    }
    if "--check" in sys.argv[1:]:
        stale = [
            path.relative_to(PROJECT)
            for path, text in texts.items()
            if not path.exists() or path.read_text(encoding="utf-8") != text
        ]
        for path in stale:
            print(f"{path} is not up to date: run make docs")
        return int(bool(stale))
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(PROJECT)} is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
