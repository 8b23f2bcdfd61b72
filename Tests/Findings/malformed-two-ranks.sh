#!/bin/sh
# malformed-two-ranks.sh [RUNS [AT_ONCE]]: starts two ranks on a truncated checkpoint RUNS (100) times, AT_ONCE (4) at a time, so
# that the machine is loaded. It counts how they end: each must have status 65 and one line that names the file.
# PRODUCTS is the folder of the programs.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
export PRODUCTS="${PRODUCTS:-$root/.build/debug}"
runs=${1:-100} at_once=${2:-4}
[ -x "$PRODUCTS/generate" ] || { echo "$0: no $PRODUCTS/generate: build it first" >&2; exit 66; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export root work
cp -r "$root/Tests/Golden/checkpoints/llama-mha" "$work/model"
bytes=$(wc -c <"$work/model/model.safetensors")
truncate -s $((bytes / 2)) "$work/model/model.safetensors"

# Each run prints its status, its number of lines, and whether the file was named; if any is wrong, its output is kept.
seq "$runs" | xargs -P "$at_once" -I {} sh -c '
    status=0
    timeout -s KILL 60 "$root/Launch/local.sh" 2 "$PRODUCTS/generate" --model "$work/model" --prompt-token-ids 5,9 \
        --max-tokens 4 --log-level error </dev/null >"$work/{}.out" 2>"$work/{}.err" || status=$?
    grep -v "^mpirun --quiet" "$work/{}.err" >"$work/{}" || true
    named=$(grep -c model.safetensors "$work/{}" || true)
    answer="status $status, $(wc -l <"$work/{}") line(s), $named naming the file, $(wc -c <"$work/{}.out") bytes of output"
    echo "$answer"
    [ "$answer" = "status 65, 1 line(s), 1 naming the file, 0 bytes of output" ] || sed "s/^/run {}: /" "$work/{}.err" >&2
    rm "$work/{}" "$work/{}.out" "$work/{}.err"' | sort | uniq -c >"$work/counts"
cat "$work/counts"
[ "$(wc -l <"$work/counts")" -eq 1 ] && grep -q " status 65, 1 line(s), 1 naming the file, 0 bytes of output$" "$work/counts"
