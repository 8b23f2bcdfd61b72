#!/bin/sh
# bench.sh [FILE.jsonl]: measures the limits of this machine, and then decode and prefill of synthetic models: on one
# rank with one thread and with all threads, and on two ranks with one thread each. The figures are appended to
# FILE.jsonl; `bench compare` puts two such files side by side. The variables MODELS, WEIGHTS, ROUNDS and NEW_TOKENS
# choose a smaller benchmark.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$here/../.build/release/bench
out=${1:-bench.jsonl}
: "${MODELS:=tinyllama-1.1b llama3.2-3b llama2-7b}" "${WEIGHTS:=auto int8 int4 w8a8}" "${ROUNDS:=3}" "${NEW_TOKENS:=32}"
TRIREME_COMMIT=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)
export TRIREME_COMMIT
threads=$(nproc)
"$program" limits
for model in $MODELS; do
    echo "synthetic:$model"
    header=--header
    for weights in $WEIGHTS; do
        set -- run --model "synthetic:$model" --quantization "$weights" --rounds "$ROUNDS" --new-tokens "$NEW_TOKENS" \
            --log-level error --json "$out"
        "$program" "$@" --threads 1 $header
        header=
        [ "$threads" -eq 1 ] || "$program" "$@" --threads "$threads"
        "$here/local.sh" 2 "$program" "$@" --threads 1 2>/dev/null
    done
done
