#!/bin/sh
# build.sh - the program for the image, inside the image's build stage (a Debian that is thrown
# away), for this architecture or, cross-compiled, for another one.
#
# usage: build.sh packages ARCH     gets what building needs
#        build.sh program ARCH DIR  builds and installs into DIR
# ARCH is Debian's name, amd64 or arm64; empty: the one that this is.
set -eu

own=$(dpkg --print-architecture)
arch=${2:-$own}
case $arch in
amd64) machine=x86_64 ;;
arm64) machine=aarch64 ;;
*)
    echo "build.sh: ARCH is amd64 or arm64, not $arch" >&2
    exit 2
    ;;
esac
install="apt-get install -y --no-install-recommends"
export DEBIAN_FRONTEND=noninteractive

native_packages() {
    apt-get update
    $install make binutils python3-minimal libpython3-stdlib ca-certificates
    tools/packages.sh build
}

# The libraries of the other architecture, and an emulator for the one tool of our own that runs
# while building: it writes the manual.
cross_packages() {
    dpkg --add-architecture "$arch"
    apt-get update
    $install make binutils python3-minimal libpython3-stdlib ca-certificates cmake pkg-config \
        gcc libc6-dev qemu-user "gcc-$machine-linux-gnu" "libc6-dev-$arch-cross"
    libraries=$(sed -n 's/^ *library_of [a-z0-9-]* \([a-z0-9.+-]*-dev\)$/\1/p' tools/packages.sh |
        sort -u | grep -vx check)
    # shellcheck disable=SC2086
    $install $(for package in $libraries; do echo "$package:$arch"; done)
}

program() {
    set --
    if [ "$arch" != "$own" ]; then
        export PKG_CONFIG_LIBDIR="/usr/lib/$machine-linux-gnu/pkgconfig:/usr/share/pkgconfig"
        set -- \
            -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$machine" \
            -DCMAKE_C_COMPILER="$machine-linux-gnu-gcc" \
            -DCMAKE_ASM_COMPILER="$machine-linux-gnu-gcc" \
            -DCMAKE_CROSSCOMPILING_EMULATOR="/usr/bin/qemu-$machine;-L;/"
    fi
    cmake -S . -B /build -DCMAKE_BUILD_TYPE=Release -DSMALLMIND_TESTS=OFF "$@"
    cmake --build /build --parallel "$(nproc)" --target smallmind
    mkdir -p "$out/cache"
    DESTDIR="$out" cmake --install /build --prefix /usr/local --strip
}

case ${1:-} in
packages)
    if [ "$arch" = "$own" ]; then native_packages; else cross_packages; fi
    rm -rf /var/lib/apt/lists/*
    ;;
program)
    out=$3
    program
    ;;
*)
    echo "usage: build.sh packages ARCH | program ARCH DIR" >&2
    exit 2
    ;;
esac
