# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Fetch a Debian source package without root and without touching the system's apt.

The private configuration takes two things from the system: the origins of its packages, with
``deb`` turned into ``deb-src``, and the ways to reach them (all of ``Acquire``: proxies,
certificates, time-outs; keys and passwords stay where they are and are read from there). State,
lists and cache are in a directory of our own. The system's hooks (``APT::Update::Post-Invoke`` and
similar ones) are left out, because they change the system.
"""

import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

#: Suites that name a release of the distribution by its state.
_STATE_SUITES = {"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"}

#: The suffixes that a suite of the distribution itself may have after the name of its release.
_POCKETS = {"", "-updates", "-security", "/updates"}


class AptError(Exception):
    """The source package could not be fetched. The message says what was tried."""


@dataclass(frozen=True)
class Origin:
    """One origin of packages: the options, the address, one suite and its components."""

    options: tuple[tuple[str, str], ...]
    uri: str
    suite: str
    components: tuple[str, ...]

    def as_deb822(self) -> str:
        """Write the entry as a ``deb-src`` stanza."""
        fields = [("Types", "deb-src"), ("URIs", self.uri), ("Suites", self.suite)]
        if self.components:
            fields.append(("Components", " ".join(self.components)))
        return "".join(f"{name}: {value}\n" for name, value in (*fields, *self.options))


# The one-line format spells an option in lower case; in deb822 the same option is a field.
_OPTION_FIELDS = {
    "signed-by": "Signed-By",
    "trusted": "Trusted",
    "check-valid-until": "Check-Valid-Until",
    "valid-until-max": "Valid-Until-Max",
    "check-date": "Check-Date",
    "date-max-future": "Date-Max-Future",
    "inrelease-path": "InRelease-Path",
    "snapshot": "Snapshot",
    "by-hash": "By-Hash",
    "allow-insecure": "Allow-Insecure",
    "allow-weak": "Allow-Weak",
}


def parse_list(text: str) -> list[Origin]:
    """Parse the one-line format: ``deb [options] uri suite component...``."""
    origins = []
    for line in text.splitlines():
        match = re.fullmatch(
            r"\s*deb(?:-src)?\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)"
            r"(?P<components>[^#]*)(?:#.*)?",
            line,
        )
        if not match:
            continue
        options = []
        for option in (match["options"] or "").split():
            name, _, value = option.partition("=")
            if field := _OPTION_FIELDS.get(name.lower()):
                options.append((field, value.replace(",", " ")))
        origins.append(
            Origin(tuple(options), match["uri"], match["suite"], tuple(match["components"].split()))
        )
    return origins


def parse_deb822(text: str) -> list[Origin]:
    """Parse the stanzas of a ``.sources`` file, one origin for each address and suite."""
    origins = []
    text = re.sub(r"(?m)^#.*\n?", "", text)
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        last = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t") and last:
                fields[last] += "\n" + line  # a key that is written out has several lines
            elif ":" in line:
                name, _, value = line.partition(":")
                last = name.strip().lower()
                fields[last] = value.strip()
        if not {"types", "uris", "suites"} <= fields.keys():
            continue
        if fields.get("enabled", "yes").lower() in {"no", "false", "off", "0"}:
            continue
        options = tuple(
            (spelling, fields[name]) for name, spelling in _OPTION_FIELDS.items() if name in fields
        )
        components = tuple(fields.get("components", "").split())
        origins += [
            Origin(options, uri, suite, components)
            for uri in fields["uris"].split()
            for suite in fields["suites"].split()
        ]
    return origins


def of_distribution(origins: Iterable[Origin], codename: str) -> list[Origin]:
    """Keep the suites of the distribution itself that may have QEMU: those with main."""

    def belongs(origin: Origin) -> bool:
        if "main" not in origin.components:
            return False
        return any(
            origin.suite.startswith(name) and origin.suite.removeprefix(name) in _POCKETS
            for name in {codename, *_STATE_SUITES}
        )

    return list(dict.fromkeys(o for o in origins if belongs(o)))


def for_suite(origins: Iterable[Origin], codename: str, suite: str) -> list[Origin]:
    """Return the origins with the release ``codename`` replaced by ``suite``."""
    if suite == codename:
        return list(origins)
    swapped = []
    for origin in origins:
        for name in (codename, *sorted(_STATE_SUITES)):
            pocket = origin.suite.removeprefix(name)
            if origin.suite.startswith(name) and pocket in _POCKETS:
                renamed = suite + pocket
                swapped.append(Origin(origin.options, origin.uri, renamed, origin.components))
                break
    return list(dict.fromkeys(swapped))


def codename() -> str:
    """Return the name of the release that runs here, such as ``bookworm``."""
    try:
        release = platform.freedesktop_os_release()
    except OSError as error:
        raise AptError(f"cannot tell which distribution this is: {error}") from error
    name = release.get("VERSION_CODENAME", "")
    if not name:
        raise AptError(f"{release.get('PRETTY_NAME', 'this system')} names no VERSION_CODENAME")
    return name


def _apt_config() -> dict[str, list[tuple[str, str]]]:
    """Return the system's apt configuration, grouped by the first part of the names."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    groups: dict[str, list[tuple[str, str]]] = {}
    for line in dump.stdout.splitlines():
        if match := re.fullmatch(r'(\S+) "(.*)";', line):
            groups.setdefault(match[1].split("::")[0], []).append((match[1], match[2]))
    return groups


def system_origins() -> list[Origin]:
    """Return every origin that the system's apt uses."""
    directories = dict(_apt_config()["Dir"])
    etc = Path(directories["Dir"]) / directories["Dir::Etc"]
    origins: list[Origin] = []
    main = etc / directories["Dir::Etc::sourcelist"]
    parts = etc / directories["Dir::Etc::sourceparts"]
    for path in (main, *(sorted(parts.iterdir()) if parts.is_dir() else ())):
        if path.suffix == ".list" and path.is_file():
            origins += parse_list(path.read_text())
        elif path.suffix == ".sources" and path.is_file():
            origins += parse_deb822(path.read_text())
    return origins


def _write_configuration(root: Path, origins: Iterable[Origin]) -> Path:
    """Write the private configuration into ``root`` and return its path."""
    for name in ("state/lists/partial", "cache/archives/partial", "sources.d", "empty"):
        (root / name).mkdir(parents=True)
    sources = root / "sources.d" / "pydriver.sources"
    sources.write_text("\n".join(origin.as_deb822() for origin in origins))

    groups = _apt_config()
    directories = dict(groups["Dir"])
    status = (
        Path(directories["Dir"]) / directories["Dir::State"] / directories["Dir::State::status"]
    )
    ours = [
        # The system's own configuration files have its hooks; `Acquire` is already in `inherited`.
        ("Dir::Etc::main", f"{root}/none"),
        ("Dir::Etc::parts", f"{root}/empty"),
        ("Dir::Etc::sourcelist", f"{root}/none"),
        ("Dir::Etc::sourceparts", f"{root}/sources.d"),
        ("Dir::State", f"{root}/state"),
        ("Dir::State::status", str(status)),
        ("Dir::Cache", f"{root}/cache"),
        ("Dir::Log", f"{root}"),
        ("Acquire::Languages", "none"),
        # apt as root reads a cache below /root, which apt's own user cannot read.
        ("APT::Sandbox::User", "root"),
    ]
    inherited = [item for item in groups.get("Acquire", []) if item[1]]
    path = root / "apt.conf"
    path.write_text("".join(f'{name} "{value}";\n' for name, value in (*inherited, *ours)))
    return path


def fetch(
    package: str, suite: str, into: Path, run: Callable[[list[str], Path, dict[str, str]], None]
) -> Path:
    """Download the source package ``package`` of ``suite`` into the directory ``into``.

    ``run`` executes a command in a directory with an environment, keeps its output in the log and
    raises when it fails. Returns the path of the ``.dsc`` file, whose signature and checksums apt
    has checked. Raises `AptError` when the system's sources do not lead to the package.
    """
    here = codename()
    origins = for_suite(of_distribution(system_origins(), here), here, suite)
    if not origins:
        raise AptError(
            f"apt's sources name no {here} suite with the component main; "
            "give an unpacked QEMU source tree with QEMU_SRC=/path instead"
        )
    with tempfile.TemporaryDirectory(prefix="apt-", dir=into.parent) as name:
        root = Path(name)
        environment = {
            **os.environ,
            "APT_CONFIG": str(_write_configuration(root, origins)),
            "LC_ALL": "C",
        }
        run(["apt-get", "update"], root, environment)
        run(
            ["apt-get", "source", "--download-only", "--only-source", package],
            into,
            environment,
        )
    found = sorted(into.glob("*.dsc"))
    if len(found) != 1:
        raise AptError(f"apt-get source {package} left {len(found)} .dsc files in {into}")
    return found[0]
