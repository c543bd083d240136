#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
#
# Compile pydriver.abi._native into the source tree.

set -eu

mkdir -p .make
exec 9>.make/native.lock
flock 9
log=.make/native.log
# --force: setuptools does not notice a changed header. CFLAGS keep the defaults of the system.
if ! .venv/bin/python setup.py --quiet build_ext --inplace --force >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
