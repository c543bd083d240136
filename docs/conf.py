# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""How Sphinx builds the pages: `make docs`.

Nothing on the pages comes from the network: the theme uses the reader's own fonts, and the search
works on an index that lies beside the pages.
"""

import importlib
import re
import tomllib
from enum import Enum
from pathlib import Path
from typing import Any

import click
from docutils.nodes import Element, Text, TextElement
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PROJECT = Path(__file__).resolve().parent.parent

project = "pydriver"
author = "the pydriver authors"
copyright = f"2026 {author}"  # noqa: A001 -- Sphinx's name for it
release = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["picture_of_a_run.py"]
nitpicky = True
nitpick_ignore_regex = [
    # The language's own documentation is not here, and looking into it needs the network.
    (r"py:.*", r"(?!pydriver\.)[a-z_]+\..*"),
    # Annotations name classes that are no part of the interface, where they are defined.
    (r"py:.*", r"pydriver\.\w+\.[\w.]+"),
    # So do the names of type variables, and those that only a type checker imports.
    (r"py:.*", r"pydriver\.regs\.(R|M|T|E|_At)"),
    (r"py:class", r"(tuple|dict)\[str|RequestBase|Watch|Line|Entry"),
    (r"py:class", r"InterruptConnection|Incident|BusFunction|FailStop|GuestMemory|ObjectTree"),
]

html_theme = "furo"
html_title = f"pydriver {release}"
html_static_path = ["_static"]
html_css_files = ["pydriver.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "tango"
pygments_dark_style = "github-dark"

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

# A docstring's `name` is code, as in Markdown.
default_role = "code"
highlight_language = "text"
copybutton_prompt_text = "$ "

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    # Of the object's own classes all that a driver can call; of the language's nothing.
    "inherited-members": "Object, object, int, str, tuple, Sequence, Enum, BaseException",
}

# A driver's device is a Device; the parts of `wdf` annotate it as no more than they know of it.
DEVICE_PARTS = ("WdfDevice", "DeviceBase", "IoDevice", "InterruptDevice", "DmaDevice", "PnpDevice")

PACKAGES = (
    "pydriver.wdf",
    "pydriver.system",
    "pydriver.ke",
    "pydriver.pci",
    "pydriver.machine",
    "pydriver.link",
    "pydriver.trace",
    "pydriver.errors",
    "pydriver.debug",
    "pydriver.crash",
    "pydriver.replay",
    "pydriver.testing",
)


def find_homes() -> dict[str, str]:
    """Where each public class and function is documented, by where it is defined."""
    names: dict[str, str] = {}
    for package in PACKAGES:
        for name in importlib.import_module(package).__all__:
            value = getattr(importlib.import_module(package), name)
            home = getattr(value, "__module__", None)
            if home is not None:
                names.setdefault(f"{home}.{name}", f"{package}.{name}")
    return names


def keep_values(
    app: Sphinx,
    kind: str,
    name: str,
    value: object,
    skip: bool,  # noqa: FBT001 -- as Sphinx calls it
    options: Any,
) -> bool | None:
    """Show the values of an enumeration, which have no docstrings of their own."""
    return False if isinstance(value, Enum) else None


def mark_options(app: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    """Set `--option` in a command's help as code, where two hyphens are not a dash."""
    text = re.sub(r"(`[^`]*`)|--[a-z][a-z-]+", lambda m: m[1] or f"``{m[0]}``", "\n".join(lines))
    lines[:] = text.split("\n")


def add_ranges(app: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    """Show the range of a numeric option, which `--help` shows and sphinx-click does not."""
    for option in ctx.command.params:
        if isinstance(option.type, click.IntRange | click.FloatRange):
            heads = [n for n, line in enumerate(lines) if line.startswith(".. option::")]
            own = next(n for n in heads if option.opts[0] in lines[n].replace(",", " ").split())
            end = next((n for n in heads if n > own), len(lines))
            last = max(n for n in range(own, end) if lines[n].strip())
            field = f"    :range: {option.type.min} to {option.type.max}"
            lines[last + 1 : last + 1] = [field] if ":default:" in lines[last] else ["", field]


def find_public_name(
    app: Sphinx, environment: BuildEnvironment, node: pending_xref, text: Text | TextElement
) -> Element | None:
    """Lead a reference to where a class is defined to the package that offers it."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    names: dict[str, str] = app.config.homes
    if target.rpartition(".")[2] in DEVICE_PARTS:
        target, text = "pydriver.wdf.device.device.Device", Text("Device")
    found = names.get(target) or names.get(f"{node.get('py:module')}.{target}")
    if found is None:
        endings = {public for public in names.values() if public.endswith(f".{target}")}
        if len(endings) != 1:
            return None
        (found,) = endings
    domain = environment.domains.python_domain
    return domain.resolve_xref(environment, node["refdoc"], app.builder, "obj", found, node, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add what is particular here to Sphinx."""
    app.add_config_value("homes", find_homes(), "env", dict)
    app.connect("autodoc-skip-member", keep_values)
    app.connect("missing-reference", find_public_name)
    app.connect("sphinx-click-process-description", mark_options)
    app.connect("sphinx-click-process-options", add_ranges)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
