# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""C declarations of the Windows kernel and of WDF, for x64: types, structures, signatures.

A declaration stands once, as C text, at the Python class or function that it belongs to; the
functions of `registry` record it and do nothing else, so that importing the framework stays cheap.
`model` parses all of them with pycparser when somebody asks.
"""
