#!/bin/sh
# peers_build.sh - gets llama.cpp's sources, as the package llama-cpp-python carries them, and builds
# what bench/peers.py compares with, for this very machine.
#
# usage: peers_build.sh [FOLDER]   (build/peers)
# FOLDER/bin then holds llama-bench, llama-batched-bench, llama-server and llama-quantize;
# FOLDER/VERSION says which they are. Does nothing where they are there. JOBS: compilers at once.
# PEER_OPTIONS: more options for its cmake, "-DGGML_NATIVE=OFF -DGGML_AVX2=ON ..." for example.
set -eu

folder=${1:-build/peers}
programs="llama-bench llama-batched-bench llama-server llama-quantize"

complete() {
    [ -e "$folder/VERSION" ] || return 1
    for program in $programs; do [ -x "$folder/bin/$program" ] || return 1; done
}

pip() { # whichever the machine has
    if command -v pip3 >/dev/null 2>&1; then pip3 "$@"; else "${PYTHON:-python3}" -m pip "$@"; fi
}

complete && exit 0
mkdir -p "$folder/download" "$folder/bin"
if ! ls "$folder"/download/*.tar.gz >/dev/null 2>&1; then
    pip download --quiet --no-deps --no-binary llama-cpp-python 'llama-cpp-python>=0.3.36' --dest "$folder/download"
fi
archive=$(ls "$folder"/download/*.tar.gz | sort | tail -n 1)
rm -rf "$folder/source"
mkdir "$folder/source"
tar -xzf "$archive" -C "$folder/source" --strip-components=1

# shellcheck disable=SC2086
cmake -S "$folder/source/vendor/llama.cpp" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release \
    -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DGGML_CCACHE=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_UI=OFF \
    -DLLAMA_USE_PREBUILT_UI=OFF ${PEER_OPTIONS:-}
# shellcheck disable=SC2086
cmake --build "$folder/build" --parallel "${JOBS:-2}" --target $programs
for program in $programs; do cp "$folder/build/bin/$program" "$folder/bin/"; done
basename "$archive" .tar.gz >"$folder/VERSION"
