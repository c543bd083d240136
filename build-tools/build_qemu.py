# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Build QEMU with the mqdma device into the cache, and point a link at the result.

    build_qemu.py [--variant normal|asan|gcov] [--suite SUITE] LINK

The cache (``$XDG_CACHE_HOME/pydriver``, by default ``~/.cache/pydriver``) holds

- ``source-<suite>/``: the source package as apt delivered it;
- ``tree-<key>/``: an unpacked and configured tree, keyed by QEMU's version, the configure options
  and the compiler. It is kept so that a change of the device compiles one file;
- ``qemu-<key>/``: the finished binary and its log, keyed by the tree and the device's files.

Invariants: a directory under one of these names is complete. Each is made under a temporary name
and renamed, so that neither Ctrl-C nor a power cut leaves half of one. A process that writes below
``tree-*`` or makes a ``source-*`` holds the lock beside it; ninja inherits the lock, which stays
locked until the last compiler has ended, even when this script is killed. A finished ``qemu-*`` is
never changed, and therefore read without a lock.

The variants: ``asan`` is all of QEMU with AddressSanitizer and UBSan (a tree of its own); ``gcov``
is the normal tree, linked again with a ``mqdma.c`` that counts its lines.

``QEMU_SRC`` names an unpacked QEMU source tree to use instead of the distribution's; it is copied.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, NoReturn

import apt_source
from cache import cache_directory, digest, locked, made_at_once, prune
from command_log import NINJA_STEP, BuildError, Log
from progress import Progress

PROJECT = Path(__file__).resolve().parent.parent
DEVICE = PROJECT / "qemu-device"
sys.path.insert(0, str(DEVICE))

import overlay  # noqa: E402  (the device's own script, from its directory)

BINARY = "qemu-system-x86_64"

Variant = Literal["normal", "asan", "gcov"]

OPTIONS = (
    "--target-list=x86_64-softmmu",
    "--without-default-features",
    "--without-default-devices",
    f"--with-devices-x86_64={overlay.DEVICE_LIST}",
    "--enable-system",
    "--enable-tcg",
    "--enable-kvm",
    "--enable-fdt=system",
    "--enable-slirp",  # user networking: a network for the Ethernet driver, without privileges
    "--enable-trace-backends=log",
    "--disable-docs",
    "--disable-guest-agent",
    "--disable-install-blobs",
    "--disable-tools",
    "--disable-werror",
)

GCOV_FLAGS = ["--coverage", "-fprofile-update=atomic", "-O0"]


@dataclass(frozen=True)
class Source:
    """The origin of QEMU's source, with a name that identifies the content."""

    name: str
    path: Path  # a .dsc file or the directory of an unpacked tree

    @property
    def is_tree(self) -> bool:
        """Whether ``path`` is an unpacked tree."""
        return self.path.is_dir()


def _in_source(name: str) -> bool:
    """Whether an entry of an unpacked tree belongs to the source."""
    return name not in {".git", "build"}


def source_from_tree(path: Path) -> Source:
    """Return the source that the user named, identified by its version and its files' times."""
    version = path / "VERSION"
    if not version.is_file() or not (path / "configure").is_file():
        raise BuildError(f"QEMU_SRC={path} is not an unpacked QEMU source tree")
    entries = []
    for directory, names, files in os.walk(path):
        names[:] = sorted(filter(_in_source, names))
        for name in sorted(files):
            status = (Path(directory) / name).lstat()
            entries.append((directory, name, status.st_size, status.st_mtime_ns))
    return Source(f"{version.read_text().strip()}-{digest(entries)}", path.resolve())


def source_from_apt(cache: Path, suite: str, progress: Progress) -> Source:
    """Return the distribution's source package, fetched unless the cache has it."""
    store = cache / f"source-{suite}"
    if not store.is_dir():
        with locked(cache / f"source-{suite}.lock", progress):
            if not store.is_dir():
                progress.say(f"fetching Debian's source package of QEMU ({suite})")
                with made_at_once(store) as temporary:
                    log = Log(cache / f"source-{suite}.log")
                    apt_source.fetch("qemu", suite, temporary, log.run)
    (dsc,) = store.glob("*.dsc")
    return Source(dsc.stem.removeprefix("qemu_"), dsc)


def compiler_identity() -> str:
    """Return a text that identifies this machine's compiler."""
    flags = ["-dumpfullversion", "-dumpmachine"]
    try:
        result = subprocess.run(["cc", *flags], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"cc does not work: {error}") from error
    return result.stdout


def configure_options(variant: Variant) -> list[str]:
    """Return the options of ``configure`` that do not depend on QEMU's version."""
    # Line numbers (-g1) are enough for backtraces; full -g takes a fifth more time.
    if variant == "asan":
        # Checked casts find bugs, but cost time on each register access: only here.
        return ["--extra-cflags=-g1 -O1", *OPTIONS, "--enable-qom-cast-debug"]
    return ["--extra-cflags=-g1", *OPTIONS, "--disable-qom-cast-debug"]


def sanitizer_options(tree: Path) -> list[str]:
    """Return the options for the sanitizers, one in QEMU 7.2, two in 10.0."""
    known = (tree / "scripts/meson-buildoptions.sh").read_text()
    if "--enable-asan" in known:
        return ["--enable-asan", "--enable-ubsan"]
    return ["--enable-sanitizers"]


def device_content() -> list[tuple[str, bytes]]:
    """Return the names and contents of the device's files and of the script that lays them over."""
    files = [*overlay.device_files(), Path(overlay.__file__)]
    return [(path.name, path.read_bytes()) for path in files]


def tool_environment() -> dict[str, str]:
    """Return an environment in which the meson and Python of this interpreter come first."""
    here = str(Path(sys.executable).parent)
    environment = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS"}}
    environment["PATH"] = here + os.pathsep + environment.get("PATH", os.defpath)
    environment["LC_ALL"] = "C.UTF-8"
    # ninja prints "[done/total] what": its default, which the environment may have changed.
    environment["NINJA_STATUS"] = "[%f/%t] "
    return environment


class Tree:
    """An unpacked, configured source tree in the cache. The caller holds its lock."""

    def __init__(self, path: Path, lock: int, progress: Progress) -> None:
        self.path = path
        self.source = path / "src"
        self.build = path / "build"
        self._lock = lock
        self._progress = progress
        self.log = Log(path.with_name(f"{path.name}.log"))

    def prepare(self, source: Source, options: list[str], *, sanitize: bool) -> None:
        """Unpack and configure, unless that has been done, and lay the device over it."""
        if not self.path.is_dir():
            self._unpack(source)
        overlay.overlay(self.source)
        configured = self.path / "configured"
        if not configured.exists():
            shutil.rmtree(self.build, ignore_errors=True)
            self.build.mkdir()
            if sanitize:
                options = [*options, *sanitizer_options(self.source)]
            self._progress.say("configuring")
            self.log.run(
                ["../src/configure", *options],
                self.build,
                tool_environment(),
                inherit=(self._lock,),
            )
            configured.touch()

    def _unpack(self, source: Source) -> None:
        self._progress.say(f"unpacking QEMU {source.name}")
        with made_at_once(self.path) as temporary:
            target = temporary / "src"
            if source.is_tree:
                shutil.copytree(
                    source.path,
                    target,
                    symlinks=True,
                    ignore=lambda _, names: [name for name in names if not _in_source(name)],
                )
            else:
                # apt has verified the signature and the checksums.
                unpack = ["dpkg-source", "--no-check", "-x", str(source.path), str(target)]
                self.log.run(unpack, temporary)
                for left in set(temporary.iterdir()) - {target}:
                    left.unlink()  # dpkg-source's copy of the tarball

    def ninja(self) -> Path:
        """Compile what is out of date and return the path of the binary."""

        def show(line: str) -> None:
            if match := NINJA_STEP.match(line):
                # "Compiling C object a.c.o", "Generating a.c with a custom command"
                words = match[3].split()
                what = words[1] if words[0] == "Generating" and len(words) > 1 else words[-1]
                self._progress.update(int(match[1]), int(match[2]), Path(what).name)

        jobs = len(os.sched_getaffinity(0))
        # keeprsp: the arguments of the linker, which the gcov variant uses again.
        command = ["ninja", f"-j{jobs}", "-d", "keeprsp", BINARY]
        self.log.run(command, self.build, tool_environment(), on_line=show, inherit=(self._lock,))
        self._progress.close()
        return self.build / BINARY

    def compile_command(self) -> list[str]:
        """Return the command that compiles mqdma.c, to be run in ``build``."""
        entries = json.loads((self.build / "compile_commands.json").read_text())
        for entry in entries:
            if entry["file"].endswith(f"{overlay.SUBDIR}/mqdma.c"):
                return shlex.split(entry["command"])
        raise BuildError(f"{self.build}/compile_commands.json has no {overlay.SUBDIR}/mqdma.c")

    def link_command(self) -> list[str]:
        """Return the command that links the binary, with its response file spelled out."""
        listed = subprocess.run(
            ["ninja", "-t", "commands", "-s", BINARY],
            cwd=self.build,
            capture_output=True,
            text=True,
            check=True,
        )
        arguments: list[str] = []
        for word in shlex.split(listed.stdout.splitlines()[-1]):
            if word.startswith("@"):
                arguments += shlex.split((self.build / word[1:]).read_text())
            else:
                arguments.append(word)
        return arguments

    def build_counting(self, normal: Path) -> dict[str, Path]:
        """Link the binary again with a ``mqdma.c`` that counts its lines.

        Returns the files to keep by name: the binary and ``mqdma.gcno``. ``GCOV_PREFIX`` and
        ``GCOV_PREFIX_STRIP`` give the place of the counts.
        """
        self._progress.say("compiling mqdma.c with gcov")
        directory = self.build / "gcov"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        compile_command = self.compile_command()
        counted = compile_command[compile_command.index("-o") + 1]
        for option, value in (("-o", "gcov/mqdma.o"), ("-MF", "gcov/mqdma.d"), ("-MQ", "mqdma.o")):
            if option in compile_command:
                compile_command[compile_command.index(option) + 1] = value
        self.log.run([*compile_command, *GCOV_FLAGS], self.build, tool_environment())

        link_command = self.link_command()
        if counted not in link_command:
            raise BuildError(f"{counted} is not among the arguments that link {normal}")
        link_command[link_command.index(counted)] = "gcov/mqdma.o"
        link_command[link_command.index("-o") + 1] = f"gcov/{BINARY}"
        self.log.run([*link_command, "--coverage"], self.build, tool_environment())
        return {BINARY: directory / BINARY, "mqdma.gcno": directory / "mqdma.gcno"}


def build(variant: Variant, suite: str, progress: Progress) -> Path:
    """Build one variant unless the cache has it; return its directory in the cache."""
    cache = cache_directory()
    tree_name = os.environ.get("QEMU_SRC", "")
    if tree_name:
        source = source_from_tree(Path(tree_name))
    else:
        source = source_from_apt(cache, suite, progress)
    options = configure_options(variant)
    sanitize = variant == "asan"
    tree_key = digest(source.name, options, sanitize, compiler_identity())
    content = device_content()
    result = cache / f"qemu-{digest(tree_key, variant, content)}"
    if result.is_dir():
        os.utime(result)  # in use: `prune` removes the oldest
        return result

    path = cache / f"tree-{tree_key}"
    with locked(cache / f"{path.name}.lock", progress) as lock:
        if result.is_dir():  # another build, which held the lock, made the same
            return result
        tree = Tree(path, lock, progress)
        tree.prepare(source, options, sanitize=sanitize)
        if device_content() != content:
            raise BuildError("qemu-device/ changed while the build began; run make again")
        progress.say(f"compiling QEMU {source.name} ({variant})")
        keep = {BINARY: tree.ninja()}
        if variant == "gcov":
            keep = tree.build_counting(keep[BINARY])
        with made_at_once(result) as temporary:
            for name, file in keep.items():
                shutil.copy2(file, temporary / name)
            shutil.copy2(tree.log.path, temporary / "build.log")
            about = {
                "version": source.name,
                "variant": variant,
                "options": options,
                "build": str(tree.build),
                "compile_command": tree.compile_command(),
            }
            (temporary / "about.json").write_text(json.dumps(about, indent=2) + "\n")
    prune(cache)
    progress.say(f"QEMU {source.name} ({variant}) is ready")
    return result


def point(link: Path, target: Path) -> None:
    """Make ``link`` a symbolic link to ``target``, replacing an older one in one step."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.readlink() == target:
        # make compares times: the link is up to date from now on.
        os.utime(link, follow_symlinks=False)
        return
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def _on_terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Build QEMU with the mqdma device.")
    parser.add_argument("--variant", choices=("normal", "asan", "gcov"), default="normal")
    parser.add_argument("--suite", default="", help="the Debian release to take QEMU from")
    parser.add_argument("link", type=Path, help="the link to make to the binary")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _on_terminate)
    signal.signal(signal.SIGHUP, _on_terminate)
    progress = Progress("qemu")
    try:
        suite = arguments.suite or apt_source.codename()
        point(arguments.link, build(arguments.variant, suite, progress) / BINARY)
    except KeyboardInterrupt:
        progress.close()
        return 130
    except (BuildError, apt_source.AptError, overlay.OverlayError, OSError) as error:
        progress.close()
        print(f"qemu: {error}", file=sys.stderr)
        return 1
    finally:
        progress.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
