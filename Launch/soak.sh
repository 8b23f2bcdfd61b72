#!/bin/sh
# soak.sh makes CALLS (a million) random collective calls over one to eight ranks, and checks every element. Then it
# stops or kills a rank at a random moment of random collectives, LOSSES (100) times. A rank that survives must name the
# lost one, and the job must end within the timeout and 5 s, with a status other than 0. Shared memory and messages take
# turns. A run with the same SEED repeats the same calls and losses. The script ends only processes that it has started.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$here/../.build/release/all_reduce_bench
: "${CALLS:=1000000}" "${LOSSES:=100}" "${SEED:=1}" "${TIMEOUT:=5}"
[ -x "$program" ] || { echo "$0: no $program: run make release first" >&2; exit 66; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

for ranks in 1 2 3 4 5 6 7 8; do
    for backend in auto messages; do
        "$here/local.sh" $ranks "$program" --backend $backend --stress $((CALLS / 16)) --seed $((SEED + ranks)) 2>"$work/err" ||
            { failed=$((failed + 1)); cat "$work/err"; }
    done
done

. "$here/trials.sh"
state=$SEED
slowest=0
i=0
while [ "$i" -lt "$LOSSES" ]; do
    i=$((i + 1))
    draw 3
    ranks=$((drawn + 2))
    draw $ranks
    lost=$drawn
    draw 2
    signal=$([ "$drawn" -eq 0 ] && echo STOP || echo KILL)
    backend=$([ $((i % 2)) -eq 0 ] && echo auto || echo messages)
    # The timeout ends the job whatever goes wrong.
    timeout -s KILL $((TIMEOUT + 30)) "$here/local.sh" $ranks "$program" --backend $backend --stress 1000000000 \
        --seed $((SEED + i)) --timeout "$TIMEOUT" >"$work/out" 2>"$work/err" &
    job=$!
    launcher= pid= script=
    for attempt in $(seq 100); do
        script=$(pgrep -P "$job" -f local.sh || true)
        launcher=$([ -z "$script" ] || pgrep -P "$script" -x mpirun || true)
        [ -n "$launcher" ] && pid=$(process_of "$lost" "$launcher")
        [ -n "$pid" ] && break
        sleep 0.05
    done
    [ -n "$pid" ] || { echo "loss $i: rank $lost did not start"; cat "$work/err"; failed=$((failed + 1)); kill $launcher "$job" || true; wait "$job" || true; continue; }
    # When rank 0 has printed the seed, the ranks have joined, and a rank may be lost at any moment.
    for attempt in $(seq 200); do
        ! grep -q '^# seed' "$work/out" || break
        sleep 0.05
    done
    draw 500
    sleep "0.$((100 + drawn))"
    start=$(now)
    kill -"$signal" "$pid"
    status=0
    wait "$job" || status=$?
    took=$(($(now) - start))
    [ "$took" -le "$slowest" ] || slowest=$took
    problem=
    [ "$status" -ne 0 ] || problem="status 0"
    # The line may come from the heartbeat, or from a rank that waited for the lost one.
    grep -Eq "rank $lost on .* was lost|waiting for ranks? ([0-9]+, )*$lost(,|;)" "$work/err" || problem="$problem, not named"
    # No other rank may be blamed.
    for rank in $(seq 0 $((ranks - 1))); do
        [ "$rank" -eq "$lost" ] || ! grep -Eq "rank $rank on .* was lost|waiting for ranks? ([0-9]+, )*$rank(,|;)" "$work/err" ||
            problem="$problem, rank $rank blamed"
    done
    [ "$took" -le $(((TIMEOUT + 5) * 1000)) ] || problem="$problem, $took ms"
    if [ -n "$problem" ]; then
        failed=$((failed + 1))
        echo "loss $i ($signal of rank $lost of $ranks, $backend): $problem"
        grep -v '^mpirun' "$work/err" || true
    fi
done
echo "$LOSSES losses, the slowest over after $slowest ms; $failed failures"
[ "$failed" -eq 0 ]
