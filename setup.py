# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The part of the build that pyproject.toml cannot say: the cffi extension."""

from setuptools import setup

setup(cffi_modules=["pydriver/abi/build_native.py:ffibuilder"])
