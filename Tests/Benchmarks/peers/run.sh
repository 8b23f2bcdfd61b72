#!/bin/sh
# run.sh [ROUNDS]: compares Trireme with llama.cpp and OpenVINO GenAI on a model with the shapes of TinyLlama 1.1B and synthetic
# weights, with a prompt of 512 tokens and 64 new ones, on THREADS threads. Candidates alternate; the best of each is printed.
#
# The peers come from PyPI: the source package llama-cpp-python, whose llama-bench is built here, and openvino-genai, which reads
# GGUF. They and the models (5 GB) are kept in PEERS_CACHE. LLAMA_BENCH names another build of llama-bench; OPTIONS adds options
# for Trireme. Needs g++, python3-venv, and `make release`. A candidate that fails is named and left out of the table.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
rounds=${1:-3}
: "${THREADS:=2}" "${OPTIONS:=}" "${PEERS_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/trireme-peers}"
: "${LLAMA_BENCH:=$PEERS_CACHE/build/bin/llama-bench}"
[ -x "$root/.build/release/bench" ] || { echo "run.sh: no .build/release/bench: run make release first" >&2; exit 66; }
mkdir -p "$PEERS_CACHE"
cd "$PEERS_CACHE"
bin=$PEERS_CACHE/venv/bin
[ -x "$bin/python" ] || python3 -m venv venv
[ -x "$bin/ninja" ] || "$bin/pip" install -q cmake ninja numpy gguf openvino-genai

if [ ! -x "$LLAMA_BENCH" ]; then
    # pip runs the archive's build tools to get its metadata, but builds nothing. The tools may be wheels; only this package
    # must be source.
    [ -f llama.tar.gz ] || {
        "$bin/pip" download -q --no-deps --no-binary llama-cpp-python -d download llama-cpp-python
        mv download/llama_cpp_python-*.tar.gz llama.tar.gz
    }
    mkdir -p source
    tar xzf llama.tar.gz -C source --strip-components 1
    # GCC 12 assumes that ldtilecfg reads 8 bytes and drops the other stores to the tile configuration, which crashes on AMX.
    sed -i 's/_tile_loadconfig(&tc);/__asm__ volatile("" : : "r"(\&tc) : "memory"); &/' \
        source/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp
    PATH=$bin:$PATH cmake -G Ninja -S source/vendor/llama.cpp -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=gcc \
        -DCMAKE_CXX_COMPILER=g++ -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_EXAMPLES=OFF
    PATH=$bin:$PATH cmake --build build --target llama-bench -j "$(nproc)"
fi
for type in BF16 Q8_0 Q4_0; do
    [ -f "$type.gguf" ] || { "$bin/python" "$here/write_gguf.py" "$type" "$type.part" && mv "$type.part" "$type.gguf"; }
done

ours() { # NAME OPTION...
    name=$1
    shift
    rm -f ours.jsonl
    "$root/.build/release/bench" run --model synthetic:tinyllama-1.1b --rounds 2 --new-tokens 64 --threads "$THREADS" \
        --log-level error --json ours.jsonl $OPTIONS "$@" >/dev/null
    "$bin/python" -c '
import json
figures = json.loads(open("ours.jsonl").readline())
print("'"$name"'", figures["prefill_tokens_per_s"], figures["decode_tokens_per_s"])'
}
llama() { # TYPE
    "$LLAMA_BENCH" -m "$1.gguf" -p 512 -n 64 -t "$THREADS" -r 2 -o jsonl >llama.jsonl 2>llama.log ||
        { echo "llama.cpp-$1 failed: $(grep . llama.log | tail -1)" >&2; return 0; }
    "$bin/python" -c '
import json
rows = [json.loads(line) for line in open("llama.jsonl")]
print("llama.cpp-'"$1"'", *(max(row["samples_ts"]) for row in rows))'
}
openvino() { # TYPE
    rates=$("$bin/python" "$here/openvino_bench.py" "$1.gguf" "$THREADS" 512 64 2>openvino.log | tail -1)
    if [ -n "$rates" ]; then echo "openvino-$1 $rates"; else echo "openvino-$1 failed: $(grep . openvino.log | tail -1)" >&2; fi
}
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    ours trireme-bf16 --quantization none
    llama BF16
    ours trireme-int8-g32 --quantization int8 --group-size 32
    ours trireme-int8-g128 --quantization int8
    ours trireme-w8a8 --quantization w8a8
    llama Q8_0
    openvino Q8_0
    ours trireme-int4-g32 --quantization int4 --group-size 32
    ours trireme-int4-g128 --quantization int4
    llama Q4_0
done | "$bin/python" "$here/table.py"
