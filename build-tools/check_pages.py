# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Check the pages that Sphinx has built: their links, and that they load nothing from elsewhere.

    check_pages.py FOLDER

- A link between the pages leads to a page or a file that exists, and to an anchor that it has.
- A link to the outside is one that a browser can follow. Whether a server answers is not checked,
  because the result must not depend on other people's servers.
- Everything that a page loads (scripts, styles, pictures) lies beside it: pages are read without a
  network.
- Each public name of the packages, and each option of each command, is in the reference.
"""

import importlib
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
from sphinx.util.inventory import InventoryFile

from pydriver.cli.main import pydriver

PACKAGES = (
    *("wdf", "system", "ke", "pci", "machine", "link", "trace", "regs", "errors"),
    *("debug", "crash", "replay", "testing"),
)
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
ELSEWHERE = {"Entry", "NT_SUCCESS", "NtStatusError"}
NOT_LOADED = {"canonical", "index", "search", "next", "prev"}


class Page(HTMLParser):
    """The links and anchors of a page.

    :param path: the file of the page
    :ivar anchors: the anchors to which a link can lead
    :ivar links: the links that a reader can follow
    :ivar loaded: the files that the browser loads by itself
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps the anchors and links of an element."""
        values = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := values.get(name))}
        for name, value in attrs:
            if value and tag == "a" and name == "href":
                self.links.add(value)
            elif value and (tag, name) in LOADED and values.get("rel") not in NOT_LOADED:
                self.loaded.add(value)


def problems_of_links(folder: Path) -> list[str]:
    """The problems with links, and with files that are loaded.

    :param folder: the folder of the pages
    """
    pages = {path.resolve(): Page(path) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(folder.resolve())
        for link in sorted(page.links | page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    found.append(f"{where}: loads {link} from the network")
                elif parts.scheme not in {"http", "https", "data"} or not (
                    parts.netloc or parts.scheme == "data"
                ):
                    found.append(f"{where}: a browser cannot follow {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                found.append(f"{where}: {link} does not exist")
            elif parts.fragment and target in pages:
                anchors = pages[target].anchors
                if unquote(parts.fragment) not in anchors:
                    found.append(f"{where}: {link} has no such anchor")
    return found


def missing_names(folder: Path) -> list[str]:
    """The public names that are not in the reference.

    :param folder: the folder of the pages
    """
    # A name that two packages offer is described once; a name for a type has no description.
    inventory = InventoryFile.loads((folder / "objects.inv").read_bytes(), uri="")
    documented = {name for domain in inventory.data for name in inventory.data[domain]}
    return [
        f"pydriver.{package}.{name} is not in the reference"
        for package in PACKAGES
        for name in importlib.import_module(f"pydriver.{package}").__all__
        if f"pydriver.{package}.{name}" not in documented and name not in ELSEWHERE
    ]


def missing_options(folder: Path) -> list[str]:
    """The options of the commands that are not in the reference.

    :param folder: the folder of the pages
    """
    inventory = InventoryFile.loads((folder / "objects.inv").read_bytes(), uri="")
    documented = inventory.data["std:cmdoption"]
    return [
        f"{context.command_path} {name} is not in the reference"
        for context in contexts(click.Context(pydriver, info_name="pydriver"))
        for option in context.command.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
        if f"{context.command_path.replace(' ', '-')}.{name}" not in documented
    ]


def contexts(context: click.Context) -> Iterator[click.Context]:
    """A command, and its subcommands.

    :param context: the context of the command
    """
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from contexts(click.Context(command, parent=context, info_name=name))


def main() -> int:
    """Print the problems."""
    folder = Path(sys.argv[1])
    found = [*problems_of_links(folder), *missing_names(folder), *missing_options(folder)]
    print("\n".join(found) or f"{folder}/index.html is ready")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
