# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The guest's ELF image: its symbols, and a check of its structures against the host's."""

import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from pydriver.abi._native import ffi
from pydriver.errors import ConfigurationError, LinkError

__all__ = ("GuestImage",)


class GuestImage:
    """An ELF file that QEMU loads at its physical addresses.

    :param path: the image
    :raises ConfigurationError: the file is missing, or is not an ELF file with symbols
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise ConfigurationError(
                f"guest image {path}: {error.strerror} (make guest builds it)"
            ) from error
        try:
            self._elf = ELFFile(self._file)
            table = self._elf.get_section_by_name(".symtab")
        except ELFError as error:
            self._file.close()
            raise ConfigurationError(f"guest image {path}: {error}") from error
        if not isinstance(table, SymbolTableSection):
            self._file.close()
            raise ConfigurationError(f"guest image {path} has no symbols")
        self._symbols = {s.name: s["st_value"] for s in table.iter_symbols() if s.name}

    def close(self) -> None:
        """Closes the file; symbols stay available."""
        self._file.close()

    def symbol(self, name: str) -> int:
        """The address of a symbol.

        :param name: the name of the symbol
        :raises LinkError: the image does not have the symbol
        """
        try:
            return int(self._symbols[name])
        except KeyError:
            raise LinkError(f"guest image {self.path} has no symbol {name!r}") from None

    def nearest(self, address: int) -> str:
        """The symbol at or before an address, as ``await_command+0x12``; empty if there is none."""
        best = max(
            ((value, name) for name, value in self._symbols.items() if value <= address),
            default=None,
        )
        if best is None or address >= self.end:
            return ""
        offset = address - best[0]
        return f"{best[1]}+{offset:#x}" if offset else best[1]

    def symbols(self, pattern: str = "*") -> list[tuple[int, str]]:
        """Addresses and names of the symbols that match a shell pattern, by address."""
        return sorted(
            (int(value), name)
            for name, value in self._symbols.items()
            if fnmatch.fnmatchcase(name, pattern)
        )

    @cached_property
    def end(self) -> int:
        """The first address after the image, its zeroed data included."""
        return self.symbol("guest_end")

    def check_layout(self, unit: str, structures: tuple[str, ...]) -> None:
        """Compares structures in the guest's debugging information with those that cffi has.

        :param unit: the name of the compilation unit whose debugging information has them all
        :param structures: the tags of the structures, for example ``link_mailbox``
        :raises LinkError: a member differs; the message names the first one
        """
        found = self._structures(unit, structures)
        for tag in structures:
            host = _host_layout(tag)
            guest = found.get(tag)
            if guest is None:
                raise LinkError(f"guest image {self.path}: no debugging information about {tag}")
            for member, place in host.items():
                if guest.get(member) != place:
                    raise LinkError(
                        f"struct {tag}: {member} is at {place} here, but at "
                        f"{guest.get(member)} in {self.path}; build the guest again (make guest)"
                    )

    def _structures(self, unit: str, wanted: tuple[str, ...]) -> dict[str, dict[str, int]]:
        layouts: dict[str, dict[str, int]] = {}
        dwarf = self._elf.get_dwarf_info()
        for candidate in dwarf.iter_CUs():
            top = candidate.get_top_DIE()
            if not top.get_full_path().endswith(unit):
                continue
            for die in top.iter_children():
                name = die.attributes.get("DW_AT_name")
                if die.tag != "DW_TAG_structure_type" or name is None:
                    continue
                tag = name.value.decode()
                if tag in wanted:
                    layouts[tag] = _guest_layout(die)
        return layouts


def _guest_layout(structure: Any) -> dict[str, int]:
    layout = {"(size)": structure.attributes["DW_AT_byte_size"].value}
    for member in structure.iter_children():
        if member.tag == "DW_TAG_member":
            name = member.attributes["DW_AT_name"].value.decode()
            layout[name] = member.attributes["DW_AT_data_member_location"].value
    return layout


def _host_layout(tag: str) -> dict[str, int]:
    structure = ffi.typeof(f"struct {tag}")
    layout = {"(size)": ffi.sizeof(structure)}
    layout.update((name, field.offset) for name, field in structure.fields)
    return layout
