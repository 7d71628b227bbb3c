#!/bin/sh
# peers_build.sh - gets llama.cpp's sources, as the package llama-cpp-python carries them, and
# builds what bench/peers.py compares with, for this very machine.
#
# usage: peers_build.sh [FOLDER]   (build/peers)
# FOLDER/bin then holds llama-bench, llama-batched-bench, llama-server and llama-quantize;
# FOLDER/bin-avx2 and FOLDER/bin-avx512 the first two, kept to AVX2 alone and to all but AMX, as far
# as the processor has them. FOLDER/VERSION says which they are. Does only what is not there yet.
# JOBS: compilers at once. PEER_OPTIONS: more options for its cmake,
# "-DGGML_NATIVE=OFF -DGGML_AVX2=ON ..." for example.
set -eu

folder=${1:-build/peers}
programs="llama-bench llama-batched-bench llama-server llama-quantize"
benches="llama-bench llama-batched-bench"

# complete BIN PROGRAMS...
complete() {
    bin=$1
    shift
    for program; do [ -x "$folder/$bin/$program" ] || return 1; done
}

has() {
    grep -qwm 1 "$1" /proc/cpuinfo
}

unpack() {
    [ ! -e "$folder/source/.unpacked" ] || return 0
    mkdir -p "$folder/download"
    if ! ls "$folder"/download/*.tar.gz >/dev/null 2>&1; then
        "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check \
            --no-deps --no-binary llama-cpp-python \
            --dest "$folder/download" 'llama-cpp-python>=0.3.36'
    fi
    archive=$(ls "$folder"/download/*.tar.gz | sort | tail -n 1)
    rm -rf "$folder/source"
    mkdir "$folder/source"
    tar -xzf "$archive" -C "$folder/source" --strip-components=1

    # GCC before 13 believes that loading a tile configuration reads 8 of its 64 bytes, drops the
    # stores to the others, and the program faults: the pointer is shown to the compiler first.
    tiles="$folder/source/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp"
    sed -i 's|^    _tile_loadconfig(&tc);|    __asm__ volatile("" : : "r"(\&tc) : "memory");\n&|' \
        "$tiles"
    basename "$archive" .tar.gz >"$folder/source/.unpacked"
}

configure() {
    # shellcheck disable=SC2086
    cmake -S "$folder/source/vendor/llama.cpp" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release \
        -DBUILD_SHARED_LIBS=OFF -DGGML_CCACHE=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=ON \
        -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_UI=OFF \
        -DLLAMA_USE_PREBUILT_UI=OFF "$@" ${PEER_OPTIONS:-}
}

# compile PROGRAMS
compile() {
    # shellcheck disable=SC2086
    cmake --build "$folder/build" --parallel "${JOBS:-2}" --target $1
}

# install BIN PROGRAMS
install() {
    mkdir -p "$folder/$1"
    for program in $2; do cp "$folder/build/bin/$program" "$folder/$1/"; done
}

# Some virtual machines show instructions and fault at their use: does reading a prompt with this
# machine's own build work?
works() {
    "$folder/build/bin/llama-bench" -m "$(dirname "$0")/../models/smallmind-tiny.gguf" \
        -t 2 -p 64 -n 1 -r 1 \
        >/dev/null 2>&1
}

# only "FLAG:OPTION ...": what this processor has of these, by name, and AMX never.
only() {
    printf '%s\n' -DGGML_NATIVE=OFF -DGGML_SSE42=ON -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF \
        -DGGML_AMX_BF16=OFF
    for option in AVX_VNNI AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16; do
        case " $1 " in
        *":$option "*) ;;
        *) printf '%s\n' "-DGGML_$option=OFF" ;;
        esac
    done
    for pair in $1; do
        value=OFF
        ! has "${pair%%:*}" || value=ON
        printf '%s\n' "-DGGML_${pair##*:}=$value"
    done
}

avx2="avx:AVX avx2:AVX2 fma:FMA f16c:F16C bmi2:BMI2"
avx512="$avx2 avx_vnni:AVX_VNNI avx512f:AVX512 avx512_vbmi:AVX512_VBMI avx512_vnni:AVX512_VNNI \
avx512_bf16:AVX512_BF16"

# shellcheck disable=SC2086
if ! complete bin $programs || [ ! -e "$folder/VERSION" ]; then
    unpack
    configure -DGGML_NATIVE=ON
    compile "$programs"
    if ! works; then
        echo "peers_build.sh: the build for all of this processor faults; building without AMX" >&2
        # shellcheck disable=SC2046
        configure $(only "$avx512")
        compile "$programs"
        works
    fi
    install bin "$programs"
    cp "$folder/source/.unpacked" "$folder/VERSION"
fi
# shellcheck disable=SC2046,SC2086
if has avx2 && ! complete bin-avx2 $benches; then
    unpack
    configure $(only "$avx2")
    compile "$benches"
    install bin-avx2 "$benches"
fi
# shellcheck disable=SC2046,SC2086
if has avx512f && ! complete bin-avx512 $benches; then
    unpack
    configure $(only "$avx512")
    compile "$benches"
    install bin-avx512 "$benches"
fi
