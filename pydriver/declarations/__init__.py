# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""C declarations of the Windows kernel and of WDF, for x64: types, structures, signatures.

Each declaration is made once, as C text, at the Python class or function it belongs to; the
functions of `registry` only record it, so that importing the framework stays cheap. `model` parses
all of them with pycparser on request.
"""
