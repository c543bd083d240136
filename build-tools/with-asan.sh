#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
#
# with-asan.sh QEMU COMMAND...: run a command whose tests use a QEMU that was built with
# AddressSanitizer and UBSan. A finding ends QEMU, which fails the running test.

set -eu

PYDRIVER_QEMU=$(realpath "$1")
shift
# QEMU frees little of its memory at exit: leaks say nothing about the device.
ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1
UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1
export PYDRIVER_QEMU ASAN_OPTIONS UBSAN_OPTIONS
exec "$@"
