#!/bin/sh
# losses.sh [COUNT [SEED]]: stops, kills or terminates a random rank of 2 to 4, in turn, COUNT (100) times, at a random moment
# of the first three seconds after mpirun has started it. One line must report that and name only that rank. The status must be
# the documented one, the job must end within the timeout plus 5 s, and nothing may be left except what a killed Open MPI leaves.
# PRODUCTS is the folder of the programs, MOST replaces the 3000 milliseconds, and SIGNALS lists the signals. The script ends only
# processes that it started.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
: "${PRODUCTS:=$root/.build/debug}" "${TIMEOUT:=5}" "${MOST:=3000}" "${SIGNALS:=STOP KILL TERM}"
count=${1:-100} state=${2:-1}
set --
[ -x "$PRODUCTS/generate" ] || { echo "$0: no $PRODUCTS/generate: build it first" >&2; exit 66; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A folder of its own, so that temporary files of other programs are not counted.
export TMPDIR="$work/tmp"
mkdir "$TMPDIR"

. "$root/Launch/trials.sh"

# Prints the processes among "$@" that still run, except zombies.
living() {
    for pid in "$@"; do
        state_of=$(sed 's/.*) \(.\).*/\1/' "/proc/$pid/stat" 2>/dev/null) || continue
        case "$state_of" in Z | X | '') ;; *) echo "$pid" ;; esac
    done
}

left_in_memory() { ls /dev/shm | grep -Ev '^(vader_segment|sm_segment|osc_)' || true; }

slowest=0 failed=0 i=0
while [ "$i" -lt "$count" ]; do
    i=$((i + 1))
    draw 3
    ranks=$((drawn + 2))
    draw $ranks
    lost=$drawn
    draw "$MOST"
    moment=$drawn
    shift $(($# > 0))
    [ $# -gt 0 ] || set -- $SIGNALS
    signal=$1
    memory=$(left_in_memory)
    timeout -s KILL $((TIMEOUT + 30)) "$root/Launch/local.sh" $ranks "$PRODUCTS/generate" --model "$root/Models/tale-23m" \
        --prompt Once --max-tokens 2000 --ignore-eos --temperature 1 --n 32 --seed $i --threads 1 --log-level error \
        --timeout "$TIMEOUT" </dev/null >"$work/out" 2>"$work/err" &
    job=$!
    launcher=
    while [ -z "$launcher" ] && kill -0 "$job" 2>/dev/null; do
        script=$(pgrep -P "$job" -f local.sh || true)
        launcher=$([ -z "$script" ] || pgrep -P "$script" -x mpirun || true)
    done
    sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
    pid=
    while [ -z "$pid" ] && kill -0 "$job" 2>/dev/null; do pid=$(process_of "$lost" "$launcher"); done
    started="$job $script $launcher $(pgrep -P "$launcher" || true)"
    start=$(now)
    kill -"$signal" "$pid" || true
    status=0
    wait "$job" || status=$?
    took=$(($(now) - start))
    [ "$took" -le "$slowest" ] || slowest=$took
    grep -v '^mpirun --quiet ' "$work/err" >"$work/lines" || true
    problem=
    [ "$(wc -l <"$work/lines")" -eq 1 ] || problem="$problem, $(wc -l <"$work/lines") lines"
    case $signal in
    STOP) expected="75" named="rank $lost on .* was lost while" ;;
    KILL) expected="137 75" named="rank $lost on .* was lost while" ;;
    TERM) expected="130 143 75" named="interrupted|rank $lost on .* was lost while starting" ;;
    esac
    case " $expected " in *" $status "*) ;; *) problem="$problem, status $status" ;; esac
    grep -Eq "$named" "$work/lines" || problem="$problem, not named"
    for rank in $(seq 0 $((ranks - 1))); do
        [ "$rank" -eq "$lost" ] || ! grep -Eq "ranks? ([0-9]+, )*$rank(,| on)" "$work/lines" ||
            problem="$problem, rank $rank blamed"
    done
    [ "$took" -le $(((TIMEOUT + 5) * 1000)) ] || problem="$problem, $took ms"
    [ -z "$(living $started)" ] || sleep 1
    orphans=$(living $started)
    [ -z "$orphans" ] || problem="$problem, processes $orphans are left"
    [ "$memory" = "$(left_in_memory)" ] || problem="$problem, left in /dev/shm: $(left_in_memory)"
    files=$(find "$TMPDIR" -mindepth 1 -maxdepth 1 ! -name 'ompi.*')
    [ -z "$files" ] || problem="$problem, left: $files"
    if [ -n "$problem" ]; then
        failed=$((failed + 1))
        echo "loss $i ($signal of rank $lost of $ranks after $moment ms): ${problem#, }"
        sed 's/^/    /' "$work/lines"
        kill -KILL $orphans 2>/dev/null || true
        rm -rf $files
    elif [ -n "${VERBOSE:-}" ]; then
        echo "loss $i ($signal of rank $lost of $ranks after $moment ms): $status after $took ms: $(cat "$work/lines")"
    fi
done
echo "$count losses, the slowest over after $slowest ms; $failed failures"
[ "$failed" -eq 0 ]
