#!/bin/sh
# packages.sh - looks for what building, testing or linting needs, and gets what is missing.
#
# usage: packages.sh PURPOSE...: build test venv page node go lint fuzz model bench package
# package-test docker-test rules. On Debian and Ubuntu: prints the apt line, and runs it for root or
# with SUDO=sudo. Elsewhere it prints what to install. Prints nothing and changes nothing where all
# is there.
set -eu

packages=""
has() { command -v "$1" >/dev/null 2>&1; }
lacks() { packages="$packages $*"; }
# COMMAND PACKAGE; Debian 12's clang tools are 14
command_of() { has "$1" || has "$1-14" || lacks "$2"; }
library_of() { { has pkg-config && pkg-config --exists "$1"; } || lacks "$2"; } # MODULE PACKAGE

newest_of() { # gcc|clang: the highest release among Debian's packages, where apt knows any
    has apt-cache || return 0
    release=$(apt-cache pkgnames "$1-" | sed -n "s/^$1-\([0-9][0-9]*\)$/\1/p" | sort -n |
        while read -r n; do
            apt-cache policy "$1-$n" | grep -q 'Candidate: [0-9]' && echo "$n"
        done |
        tail -n 1)
    [ -z "$release" ] || has "$1-$release" || lacks "$1-$release"
}

runtime_of() { # a library of clang's own, a package of its own
    { has clang && [ -e "$(clang -print-file-name="libclang_rt.$1-$(uname -m).a")" ]; } ||
        lacks libclang-rt-14-dev
}

look() {
    packages=""
    for purpose in "$@"; do
        case $purpose in
        build)
            if ! has "${CC:-cc}"; then
                lacks gcc libc6-dev
            elif ! echo '#include <stdio.h>' | "${CC:-cc}" -E - >/dev/null 2>&1; then
                lacks libc6-dev
            fi
            command_of cmake cmake
            command_of pkg-config pkg-config
            library_of libpcre2-8 libpcre2-dev
            library_of libutf8proc libutf8proc-dev
            library_of libxxhash libxxhash-dev
            library_of libuv libuv1-dev
            library_of libmicrohttpd libmicrohttpd-dev
            library_of libcjson libcjson-dev
            library_of inih libinih-dev
            library_of libcurl libcurl4-gnutls-dev
            library_of nettle nettle-dev
            library_of libedit libedit-dev
            [ ! -e /etc/debian_version ] || [ -e /etc/ssl/certs/ca-certificates.crt ] ||
                lacks ca-certificates
            ;;
        test)
            library_of check check
            "${PYTHON:-python3}" -c 'import pytest' 2>/dev/null || lacks python3-pytest
            "${PYTHON:-python3}" -c 'import xdist' 2>/dev/null || lacks python3-pytest-xdist
            "${PYTHON:-python3}" -c 'import numpy' 2>/dev/null || lacks python3-numpy
            "${PYTHON:-python3}" -c 'import jinja2' 2>/dev/null || lacks python3-jinja2
            "${PYTHON:-python3}" -c 'import jsonschema' 2>/dev/null || lacks python3-jsonschema
            "${PYTHON:-python3}" -c 'import yaml' 2>/dev/null || lacks python3-yaml
            ;;
        venv)
            "${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null || lacks python3-venv
            ;;
        page) # a browser, and npm for axe-core
            has chromium || has chromium-browser || has google-chrome || lacks chromium
            has npm || lacks npm
            ;;
        node)
            has npm || lacks npm
            ;;
        go)
            has go || lacks golang-go
            ;;
        model)
            "${PYTHON:-python3}" -m pip --version >/dev/null 2>&1 || lacks python3-pip
            ;;
        bench) # the peer's programs and the models to measure with
            has "${CXX:-c++}" || lacks g++
            "${PYTHON:-python3}" -m pip --version >/dev/null 2>&1 || lacks python3-pip
            "${PYTHON:-python3}" -c 'import numpy' 2>/dev/null || lacks python3-numpy
            ;;
        rules) # promtool
            has promtool || lacks prometheus
            ;;
        cluster) # a load balancer, and a JavaScript that knows fetch
            [ -x /usr/sbin/haproxy ] || has haproxy || lacks haproxy
            has node || lacks nodejs
            ;;
        package) # the libraries' packages are looked up
            has dpkg-shlibdeps || lacks dpkg-dev
            has file || lacks file
            ;;
        docker-test)
            has dockerd || lacks docker.io
            has debootstrap || lacks debootstrap
            has qemu-aarch64-static || lacks qemu-user-static
            ;;
        package-test)
            has debootstrap || lacks debootstrap
            ;;
        fuzz)
            has clang || lacks clang
            runtime_of fuzzer
            ;;
        lint) # beside the tools, the newest compilers that can be had
            newest_of gcc
            newest_of clang
            has gcc || lacks gcc
            command_of clang clang
            command_of clang-tidy clang-tidy
            command_of clang-format clang-format
            command_of cppcheck cppcheck
            command_of python3 python3
            ;;
        *)
            echo "packages.sh: unknown purpose $purpose" >&2
            exit 2
            ;;
        esac
    done
}

look "$@"
[ -n "$packages" ] || exit 0
if ! has apt-get || [ ! -e /etc/debian_version ]; then
    echo "Missing; these are the Debian packages, please install what holds the same here:" >&2
    echo "   $packages" >&2
    exit 1
fi
SUDO=${SUDO:-}
[ "$(id -u)" != 0 ] || SUDO="" # root needs none
line="apt-get install -y --no-install-recommends$packages"
echo "${SUDO:+$SUDO }apt-get update && ${SUDO:+$SUDO }$line"
if [ "$(id -u)" != 0 ] && [ -z "$SUDO" ]; then
    echo "These packages are missing. Run the line above as root, or say: make SUDO=sudo ..." >&2
    exit 1
fi
if [ -n "$SUDO" ] && ! has "${SUDO%% *}"; then
    echo "SUDO=$SUDO: there is no command ${SUDO%% *} here. Run the line above as root." >&2
    exit 2
fi
# A stale or broken list of one repository must not keep the others' packages away.
$SUDO apt-get update -q || echo "apt-get update failed; going on with the lists that are there" >&2
# Twice: with newer lists apt may know a newer compiler.
for round in 1 2; do
    look "$@"
    [ -n "$packages" ] || exit 0
    # shellcheck disable=SC2086
    $SUDO env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $packages
done
look "$@"
if [ -n "$packages" ]; then
    echo "Still missing after the installation:$packages" >&2
    exit 1
fi
