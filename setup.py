# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The part of the build that pyproject.toml cannot say: the cffi extension, and the guest."""

import subprocess

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithGuest(build_py):
    """Also compiles the guest, which is data of the package. In a checkout `make guest` does it."""

    def run(self) -> None:
        """Builds."""
        if not self.editable_mode:
            subprocess.run(["make", "-s", "-C", "guest"], check=True)
        super().run()


setup(
    cffi_modules=["pydriver/abi/build_native.py:ffibuilder"],
    cmdclass={"build_py": BuildWithGuest},
)
