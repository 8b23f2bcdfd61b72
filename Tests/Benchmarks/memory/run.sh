#!/bin/sh
# run.sh [MODEL...]: compares every rank's memory as predicted by `sizing plan --profile trireme` with the peak that `generate`
# measures. It runs the formats bf16, int8, int4 and bf16 with an int8 cache, the plans 1x1, 2x1, 1x2 and 2x2, and the contexts 2K
# and (synthetic models) 16K; of llama2-7b only int4 at 1x1 and 2x1 with 4K. Needs `make release`. Ends with status 1 if a
# prediction is off by more than 5 % and 32 MiB, or more than 2 % too low.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
bin=$root/.build/release
[ -x "$bin/sizing" ] || { echo "run.sh: no .build/release/sizing: run make release first" >&2; exit 66; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# MODEL SCHEME CACHE T P LENGTH
compare() {
    options="--quantization $2 --dtype bfloat16 --kv-cache-dtype $3 --max-model-len $6 -tp $4 -pp $5"
    "$bin/sizing" plan --model "${1}" --memory 64GiB $options --profile trireme --format json >"$work/plan.json"
    "$root/Launch/local.sh" $(($4 * $5)) "$bin/generate" --model "$1" $options --prompt-token-ids 1,2,3 --max-tokens 4 \
        --ignore-eos --temperature 0 --log-level error --format json >"$work/run.json" 2>"$work/err" || { cat "$work/err"; failed=1; return 0; }
    echo "== $1 $2, cache $3, $4 x $5, $6 tokens"
    "$bin/sizing" verify --plan "$work/plan.json" --measured "$work/run.json" || failed=1
}

# MODEL LENGTH...
sweep() {
    model=$1
    shift
    for length in "$@"; do
        for format in "none float16" "int8 float16" "int4 float16" "none int8"; do
            for plan in "1 1" "2 1" "1 2" "2 2"; do
                compare "$model" $format $plan "$length"
            done
        done
    done
}

[ $# -gt 0 ] || set -- "synthetic:$root/Models/tale-23m/config.json" synthetic:tinyllama-1.1b synthetic:llama2-7b
for model in "$@"; do
    case $model in
    *llama2-7b)
        compare "$model" int4 float16 1 1 4096
        compare "$model" int4 float16 2 1 4096
        ;;
    synthetic:*/*) sweep "$model" 2048 ;;
    synthetic:*) sweep "$model" 2048 16384 ;;
    *) sweep "$model" 2048 ;;
    esac
done
exit $failed
