#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
#
# Find what this machine lacks for `host.sh build`, `host.sh lint` or `host.sh test`, and install it
# as Debian packages if that is possible without a question (root, or sudo without a password);
# otherwise print the one command to run, and fail. If nothing is missing, nothing is changed.

set -eu

# Each line has a Debian package, and a command that succeeds if its purpose is served. Only the
# purpose counts: a tool from elsewhere is as good as the package.
needs() {
    # Always: Python, a compiler, the needs of the build of QEMU, and file systems for the tests.
    cat <<'EOF'
python3          python3 -c 'import sys'
python3-venv     python3 -c 'import ensurepip, venv'
python3-dev      header "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h"
gcc              have cc gcc
libc6-dev        cc_has stdio.h
binutils         have ld objcopy
dpkg-dev         have dpkg-source patch
ninja-build      have ninja
pkg-config       have pkg-config
libglib2.0-dev   pkg-config --exists glib-2.0 gthread-2.0 gmodule-no-export-2.0
libpixman-1-dev  pkg-config --exists pixman-1
zlib1g-dev       pkg-config --exists zlib
libfdt-dev       cc_has libfdt.h
libslirp-dev     pkg-config --exists slirp
e2fsprogs        PATH=$PATH:/usr/sbin:/sbin have mke2fs e2fsck
EOF
    if [ "$1" = lint ]; then
        echo 'clang have clang'
    fi
    if [ "$1" = test ]; then
        cat <<'EOF'
gdb              have gdb
chromium         have chromium
chromium-driver  have chromedriver
fonts-dejavu-core  fc-list | grep DejaVu
EOF
    fi
}

have() { for tool; do command -v "$tool" || return; done; }
header() { [ -f "$1" ]; }
cc_has() { echo "#include <$1>" | cc -E -o /dev/null - ; }

# The Python from which `venv.sh` makes the environment, unless $PYTHON names another.
python3() { "${PYTHON:-/usr/bin/python3}" "$@"; }

missing() {
    needs "$1" | while read -r package probe; do
        eval "$probe" </dev/null >/dev/null 2>&1 || printf ' %s' "$package"
    done
}

say() { echo "host: $*" >&2; }

lacking=$(missing "$1")
if [ -n "$lacking" ]; then
    install="apt-get update && apt-get install --no-install-recommends -y$lacking"
    if ! command -v apt-get >/dev/null; then
        say "this machine lacks what these Debian packages provide:$lacking"
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        say "this machine lacks some packages; run this, then make again:"
        say ""
        say "  $(command -v sudo >/dev/null && echo sudo sh || echo su) -c '$install'"
        say ""
        exit 1
    fi
    say "installing$lacking"
    log=.make/apt.log
    mkdir -p .make
    # Another apt may be running, for example on a machine that has just started: wait for it.
    if ! {
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -o DPkg::Lock::Timeout=300 update &&
        # Unquoted on purpose: a list of packages.
        # shellcheck disable=SC2086
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -o DPkg::Lock::Timeout=300 install --no-install-recommends -y $lacking
    } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        say "installing failed; the whole log: $log. By hand: $install"
        exit 1
    fi
    lacking=$(missing "$1")
    if [ -n "$lacking" ]; then
        say "still missing after installing:$lacking"
        exit 1
    fi
fi

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "Python 3.11 or newer is needed, ${PYTHON:-/usr/bin/python3} is $(python3 -V 2>&1)"
    exit 1
fi
