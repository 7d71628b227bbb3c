#!/bin/sh
# peers_build.sh - gets llama.cpp's sources, as the package llama-cpp-python carries them, and
# builds what bench/peers.py compares with, for this very machine.
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

complete && exit 0
mkdir -p "$folder/download" "$folder/bin"
if ! ls "$folder"/download/*.tar.gz >/dev/null 2>&1; then
    "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check \
        --no-deps --no-binary llama-cpp-python \
        --dest "$folder/download" 'llama-cpp-python>=0.3.36'
fi
archive=$(ls "$folder"/download/*.tar.gz | sort | tail -n 1)
rm -rf "$folder/source"
mkdir "$folder/source"
tar -xzf "$archive" -C "$folder/source" --strip-components=1

# GCC before 13 believes that loading a tile configuration reads 8 of its 64 bytes, drops the stores
# to the others, and the program faults: the pointer is shown to the compiler first.
tiles="$folder/source/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp"
sed -i 's|^    _tile_loadconfig(&tc);|    __asm__ volatile("" : : "r"(\&tc) : "memory");\n&|' \
    "$tiles"

configure() {
    # shellcheck disable=SC2086
    cmake -S "$folder/source/vendor/llama.cpp" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release \
        -DBUILD_SHARED_LIBS=OFF -DGGML_CCACHE=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=ON \
        -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_UI=OFF \
        -DLLAMA_USE_PREBUILT_UI=OFF "$@" ${PEER_OPTIONS:-}
}

compile() {
    # shellcheck disable=SC2086
    cmake --build "$folder/build" --parallel "${JOBS:-2}" --target $programs
}

# Some virtual machines show instructions and fault at their use: does reading a prompt with this
# machine's own build work?
works() {
    "$folder/build/bin/llama-bench" -m "$(dirname "$0")/../models/smallmind-tiny.gguf" \
        -t 2 -p 64 -n 1 -r 1 \
        >/dev/null 2>&1
}

# What this processor has besides AMX, by name.
without_amx() {
    printf '%s\n' -DGGML_NATIVE=OFF -DGGML_SSE42=ON
    for pair in avx:AVX avx2:AVX2 fma:FMA f16c:F16C bmi2:BMI2 avx_vnni:AVX_VNNI avx512f:AVX512 \
        avx512_vbmi:AVX512_VBMI avx512_vnni:AVX512_VNNI avx512_bf16:AVX512_BF16; do
        value=OFF
        ! grep -qwm 1 "${pair%%:*}" /proc/cpuinfo || value=ON
        printf '%s\n' "-DGGML_${pair##*:}=$value"
    done
}

configure -DGGML_NATIVE=ON
compile
if ! works; then
    echo "peers_build.sh: the build for all of this processor faults; building without AMX" >&2
    # shellcheck disable=SC2046
    configure $(without_amx)
    compile
    works
fi
for program in $programs; do cp "$folder/build/bin/$program" "$folder/bin/"; done
basename "$archive" .tar.gz >"$folder/VERSION"
