#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
#
# Make .venv/: the dependencies, pydriver itself (editable) and its compiled part.
# Two makes at the same time are safe (a lock), and so is an interrupted one: an unfinished
# environment is made again.

set -eu

python=${PYTHON:-/usr/bin/python3}
mkdir -p .make
exec 9>.make/venv.lock
flock 9

say() { echo "venv: $*" >&2; }

# An environment does not survive a move, nor another Python: it is made again then. If only the
# packages that it should have differ, it is updated.
base="$(pwd) $("$python" -VV)"
content=$(cat pyproject.toml setup.py | sha256sum)
if [ -x .venv/bin/pydriver ] && [ "$(cat .make/venv-done 2>/dev/null)" = "$base
$content" ]; then
    exit 0
fi

log=.make/venv.log
: >"$log"
logged() {
    if ! "$@" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "failed: $*"
        say "the whole log: $log"
        exit 1
    fi
}

if [ ! -x .venv/bin/python ] || [ "$(head -n 1 .make/venv-done 2>/dev/null)" != "$base" ]; then
    say "making .venv with $("$python" -V)"
    rm -rf .venv
    logged "$python" -m venv .venv
fi
rm -f .make/venv-done
say "installing pydriver and its dependencies"
# Without isolation: the tools for the compiled part are installed once, not for each build.
logged .venv/bin/python -m pip install 'setuptools>=77' 'cffi>=1.16'
logged .venv/bin/python -m pip install --no-build-isolation --editable '.[dev,docs]'
printf '%s\n%s\n' "$base" "$content" >.make/venv-done.new
mv .make/venv-done.new .make/venv-done
