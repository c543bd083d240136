# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The base types of Windows for x64, where `long` has 32 bits and a pointer 64 (LLP64).

[wdm.h, basetsd.h, ntdef.h; the table of Windows data types]
"""

from pydriver.declarations.registry import typedef

__all__ = ("STRINGS",)

for _declaration in (
    "void VOID",
    "char CHAR",
    "signed char CCHAR",
    "short CSHORT",
    "unsigned char UCHAR",
    "unsigned char BYTE",
    "unsigned char BOOLEAN",
    "unsigned char KIRQL",
    "signed char KPROCESSOR_MODE",
    "short SHORT",
    "unsigned short USHORT",
    "unsigned short WCHAR",
    "int INT",
    "int LONG",
    "unsigned int ULONG",
    "unsigned int UINT32",
    "long long LONGLONG",
    "unsigned long long ULONGLONG",
    "long long LONG64",
    "unsigned long long ULONG64",
    "unsigned long long size_t",
    "long long LONG_PTR",
    "unsigned long long ULONG_PTR",
    "ULONG_PTR SIZE_T",
    "ULONG_PTR KAFFINITY",
    "ULONG_PTR KSPIN_LOCK",
    "LONG NTSTATUS",
    "LONG KPRIORITY",
    "ULONG ACCESS_MASK",
    "ULONG DEVICE_TYPE",
    "ULONG DEVPROPTYPE",
    "ULONG LCID",
    "void *PVOID",
    "void *HANDLE",
    "PVOID WDFCONTEXT",
    "HANDLE *PHANDLE",
    "CHAR *PCHAR",
    "const CHAR *PCCH",
    "CHAR *PSTR",
    "const CHAR *PCSTR",
    "WCHAR *PWCH",
    "WCHAR *PWSTR",
    "const WCHAR *PCWSTR",
    "UCHAR *PUCHAR",
    "UCHAR *PBOOLEAN",
    "KIRQL *PKIRQL",
    "USHORT *PUSHORT",
    "LONG *PLONG",
    "ULONG *PULONG",
    "ULONG64 *PULONG64",
    "LONGLONG *PLONGLONG",
    "SIZE_T *PSIZE_T",
    "KAFFINITY *PKAFFINITY",
    "KSPIN_LOCK *PKSPIN_LOCK",
    "DEVPROPTYPE *PDEVPROPTYPE",
    "ACCESS_MASK *PACCESS_MASK",
):
    typedef(_declaration)

STRINGS = frozenset({"PCCH", "PSTR", "PCSTR", "PWCH", "PWSTR", "PCWSTR"})
"""Pointers to characters, which end with a zero."""
