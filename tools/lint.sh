#!/bin/sh
# lint.sh - every check of the sources that is not a test. Goes through all of them and fails at the
# end.
#
# usage: lint.sh [fix-format]      JOBS: processes at once
#   NODES: states that clang's analyzer looks at in a function; its own 225000 take four times as
#   long
set -u
cd "$(dirname "$0")/.." || exit 1
JOBS=${JOBS:-2}
NODES=${NODES:-50000}
failed=""

# The first of these commands that is there: formatting and findings differ from release to release,
# 14 is Debian 12's.
tool() { command -v "$1-14" || command -v "$1"; }
rooms="api bench cli config core embed net report server store tests"
sources() { find $rooms tools -name '*.[ch]' -not -path '*/.*' | sort; }
step() { # NAME COMMAND...
    name=$1
    shift
    echo "lint: $name"
    "$@" || failed="$failed $name"
}

if [ "${1:-}" = fix-format ]; then
    sources | xargs "$(tool clang-format)" -i
    exit
fi

# The newest release of a compiler that is installed: its warnings are the strictest.
newest() { # gcc|clang
    for folder in $(echo "$PATH" | tr : ' '); do ls "$folder" 2>/dev/null; done |
        grep -E "^$1-[0-9]+$" | sort -t- -k2 -n | tail -n 1 | grep . || echo "$1"
}
# Whether `make test WERROR=ON` has compiled all files with this compiler's warnings as errors.
compiled_by() { # COMPILER
    cached() { sed -n "s/^$1:[A-Z]*=//p" build/CMakeCache.txt; }
    [ -e build/CMakeCache.txt ] && [ "$(cached CMAKE_BUILD_TYPE)" = Release ] &&
        [ "$(cached SMALLMIND_WERROR)$(cached SMALLMIND_TESTS)" = ONON ] &&
        [ "$(realpath "$(cached CMAKE_C_COMPILER)")" = "$(realpath "$(command -v "$1")")" ]
}
compile() { # gcc|clang
    compiler=$(newest "$1")
    "$compiler" --version | head -n 1
    if compiled_by "$compiler"; then
        cmake --build build --parallel "$JOBS"
    else
        cmake --preset "lint-$1" --log-level=NOTICE -DCMAKE_C_COMPILER="$compiler" &&
            cmake --build "build-lint-$1" --parallel "$JOBS"
    fi
}
format() {
    sources | xargs "$(tool clang-format)" --dry-run -Werror
}
tidy() {
    # What is compiled: headers are seen through the sources that include them.
    # Large files first, so that no process is left with many of them at the end.
    sources | grep '\.c$' | xargs ls -S | xargs -P "$JOBS" -n 4 \
        "$(tool clang-tidy)" -p build-lint-clang --quiet --extra-arg=-Xclang \
        --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg="max-nodes=$NODES" \
        2>build-lint-clang/tidy.err ||
        { grep -v 'warnings generated' build-lint-clang/tidy.err; return 1; }
}
check() {
    # shellcheck disable=SC2086 # the rooms are words
    cppcheck --quiet -j "$JOBS" --std=c11 --enable=warning,performance,portability \
        --inline-suppr --error-exitcode=1 --suppress=missingIncludeSystem \
        --suppressions-list=tools/cppcheck.txt --library=posix \
        -D_GNU_SOURCE -D__linux__ -D__x86_64__ '-DSMALLMIND_VERSION=""' '-DTEST_SOURCE_DIR=""' \
        '-DcJSON_ArrayForEach(e,a)=for(;;)' -I . -I core -I tests $rooms
}

step gcc compile gcc
step clang compile clang
step includes python3 tests/lint/test_includes.py
step tidy-tree python3 tests/lint/test_tidy.py
step circles python3 tests/lint/test_circles.py
step clang-format format
step clang-tidy tidy
step cppcheck check
if [ -n "$failed" ]; then
    echo "lint: failed:$failed" >&2
    exit 1
fi
echo "lint: clean"
