# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Make docs/ddi.md and what `pydriver ddi` knows about tests, from the registry and the tests.

    .venv/bin/python build-tools/ddi_reference.py [--check]

A test says what it shows with `@pytest.mark.covers("WdfDpcEnqueue", ...)`.
"""

import ast
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pydriver.wdf
from pydriver.ke.irql import irql_name
from pydriver.wdf.ddi import REGISTRY, Ddi

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENT = PROJECT / "docs" / "ddi.md"
KNOWLEDGE = PROJECT / "pydriver" / "cli" / "ddi_tests.json"

assert pydriver.wdf  # its modules fill the registry

HEAD = """\
# DDIs

Made by `make docs` from the registry (`pydriver.wdf.REGISTRY`) and from the marks of the tests; do
not edit. `pydriver ddi` prints the same list. {count} DDIs and kernel routines; what is left out,
and why, is in [left-out.md](left-out.md).

`pydriver.ddi` offers each under its exact name: `from pydriver.ddi import WdfDpcEnqueue`.
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


def covered(tests: Path) -> dict[str, list[str]]:
    """The tests that show a row of the reference, by the row's name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(tests.rglob("test_*.py")):
        where = path.relative_to(tests.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for name in _names(node):
                    found[name].append(f"{where}::{node.name}")
    return dict(found)


def _names(test: ast.FunctionDef) -> Iterator[str]:
    for decorator in test.decorator_list:
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Attribute)
            and decorator.func.attr == "covers"
        ):
            for argument in decorator.args:
                if not isinstance(argument, ast.Constant):
                    raise SystemExit(f"{test.name}: covers() takes names, as they are written")
                yield argument.value


def irqls(declared: Ddi) -> str:
    """``PASSIVE_LEVEL (0)``, or a range."""
    if declared.lowest == declared.highest:
        return f"= {irql_name(declared.highest)}"
    return f"<= {irql_name(declared.highest)}"


def family(name: str) -> str:
    """The heading under which a DDI is listed."""
    return next(title for prefix, title in FAMILIES if name.startswith(prefix))


def document(tests: dict[str, list[str]]) -> str:
    """docs/ddi.md."""
    titles = list(dict.fromkeys(title for _, title in FAMILIES))
    parts = [HEAD.format(count=len(REGISTRY))]
    for title in titles:
        names = sorted(name for name in REGISTRY if family(name) == title)
        if not names:
            continue
        parts.append(f"## {title}\n")
        parts.append("| DDI | Python | IRQL | signature | tests |\n| --- | --- | --- | --- | --- |")
        for name in names:
            declared = REGISTRY[name]
            method = declared.method.replace(":", ".")
            shown = ", ".join(
                sorted({each.rpartition("::")[2].removeprefix("test_") for each in tests[name]})
            )
            parts.append(
                f"| `{name}` | `{method}` | {irqls(declared)} | `{declared.signature}` | {shown} |"
            )
        parts.append("")
    return "\n".join(parts)


def main() -> int:
    """Write both files, or with --check see whether they are as they would be written."""
    tests: dict[str, list[str]] = defaultdict(list, covered(PROJECT / "tests"))
    known = {name: tests[name] for name in sorted(REGISTRY)}
    texts = {
        DOCUMENT: document(tests),
        KNOWLEDGE: json.dumps(known, indent=0, sort_keys=True) + "\n",
    }
    if "--check" in sys.argv[1:]:
        stale = [
            path.relative_to(PROJECT)
            for path, text in texts.items()
            if not path.exists() or path.read_text(encoding="utf-8") != text
        ]
        for path in stale:
            print(f"{path} is not up to date: make docs")
        return int(bool(stale))
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(PROJECT)} is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
