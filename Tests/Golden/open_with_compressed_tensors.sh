#!/bin/sh
# Compares how Trireme and compressed-tensors read Models/tale-23m and the checkpoints in Tests/Golden/quantized, or the given
# directories. Needs built tests (swift build --build-tests).
# It installs compressed-tensors from PyPI into a virtual environment under a temporary directory, with torch (gigabytes), and is
# therefore not part of every test run. TRIREME_VENV names an environment to use or to keep.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${TRIREME_VENV:-$work/venv}
if ! [ -x "$venv/bin/python" ]; then python3 -m venv "$venv"; fi
if ! "$venv/bin/python" -c 'import compressed_tensors' 2>/dev/null; then
    if ! timeout 600 "$venv/bin/pip" install --quiet compressed-tensors==0.20.0 safetensors 2>"$work/pip.log"; then
        echo "skipped: compressed-tensors cannot be installed from PyPI: $(tail -n 1 "$work/pip.log")"
        exit 0
    fi
fi
if [ $# -eq 0 ]; then set -- Models/tale-23m Tests/Golden/quantized/lc-*; fi
for model in "$@"; do
    rm -f "$work/dump.json"
    TRIREME_DUMP_MODEL=$(realpath "$model") TRIREME_DUMP_FILE=$work/dump.json \
        swift test --skip-build --filter GoldenCheckpointTests/dumpRows >"$work/test.log" 2>&1 ||
        { cat "$work/test.log"; exit 1; }
    "$venv/bin/python" Tests/Golden/open_with_compressed_tensors.py "$model" "$work/dump.json"
done
