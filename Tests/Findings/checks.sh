# checks.sh: functions that run.sh and reports.sh share. It is sourced, and makes a temporary folder `tmp`, removed at the end.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
programs=$(cd "${PROGRAMS:-$root/.build/release}" 2>/dev/null && pwd) ||
    { echo "$0: no folder ${PROGRAMS:-$root/.build/release}: run make release first, or set PROGRAMS" >&2; exit 66; }
golden=$root/Tests/Golden/checkpoints
tale=$root/Models/tale-23m
tmp=$(mktemp -d "${TMPDIR:-/tmp}/findings.XXXXXX")
job=
trap '[ -z "$job" ] || kill -KILL $(descendants "$job") 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
generate=$programs/generate evaluate=$programs/evaluate tokenize=$programs/tokenize sizing=$programs/sizing
quantize=$programs/quantize bench=$programs/bench all_reduce_bench=$programs/all_reduce_bench
local_sh=$root/Launch/local.sh
good=0 faults=0 skipped=0
fault_list=()
out=$tmp/out err=$tmp/err

ok() { good=$((good + 1)); echo "ok    $*"; }
skip() { skipped=$((skipped + 1)); echo "skip  $*"; }
# fault "NN what" "why": reports a fault, with the status and the beginning of standard error.
fault() {
    faults=$((faults + 1))
    fault_list+=("$1")
    echo "FAULT $1: $2; saw status ${status:--}, standard error: $(head -c 200 "$err" 2>/dev/null | tr -d '\000' | cat -v | tr '\n' '|')"
}
# Runs a command for at most LIMIT (20) seconds with standard input from INPUT (/dev/null); sets `status`, fills $out and $err.
run() {
    # The inner shell reports a killed child on its own standard error, which is discarded.
    { timeout -s KILL "${LIMIT:-20}" "$@" <"${INPUT:-/dev/null}" >"$out" 2>"$err"; } 2>/dev/null
    status=$?
}
# Prints the lines of standard error that say why a program failed: all except logs, the seed and the launcher's command line.
failure_lines() {
    grep -avE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]* (trace|debug|info|notice|warning|error|critical) |^seed [0-9]+$|^mpirun |^loaded in ' "$err"
}
warnings() { grep -aE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]* warning ' "$err"; }
# wants "NN what" STATUS[|STATUS...] [-o REGEX] [-e REGEX] [-E REGEX] [-w REGEX] [-W] COMMAND...: runs a command and checks it.
# -o: standard output must match; -e: standard error must match; -E: it must not match; -w: a warning must match; -W: there must
# be no warning. A failure must be one printable line of at most 600 bytes, without a result.
wants() {
    local what=$1 statuses=$2 o='' e='' E='' w='' W='' lines
    shift 2
    while :; do
        case $1 in
        -o) o=$2; shift 2 ;; -e) e=$2; shift 2 ;; -E) E=$2; shift 2 ;; -w) w=$2; shift 2 ;; -W) W=1; shift ;;
        *) break ;;
        esac
    done
    run "$@"
    judge
}
# The second half of wants, for a finished run: it uses its caller's variables what, statuses, o, e, E, w and W.
judge() {
    local text
    case "|$statuses|" in *"|$status|"*) ;; *) fault "$what" "wanted status $statuses"; return 1 ;; esac
    if [ "$status" -ne 0 ]; then
        text=$(failure_lines)
        lines=$(printf '%s\n' "$text" | grep -c .)
        [ "$lines" -eq 1 ] || { fault "$what" "wanted one line, saw $lines"; return 1; }
        [ ${#text} -le 600 ] || { fault "$what" "the line has ${#text} characters"; return 1; }
        printf '%s' "$text" | LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' && { fault "$what" "control characters"; return 1; }
        [ -s "$out" ] && { fault "$what" "a result beside the failure: $(head -c 80 "$out" | cat -v | tr '\n' '|')"; return 1; }
    fi
    [ -z "$o" ] || grep -aqP -- "$o" "$out" || { fault "$what" "standard output lacks $o: $(head -c 120 "$out" | cat -v | tr '\n' '|')"; return 1; }
    [ -z "$e" ] || grep -aqiP -- "$e" "$err" || { fault "$what" "standard error lacks $e"; return 1; }
    [ -z "$E" ] || ! grep -aqiP -- "$E" "$err" || { fault "$what" "standard error has $E"; return 1; }
    [ -z "$w" ] || warnings | grep -aqiP -- "$w" || { fault "$what" "no warning with $w"; return 1; }
    [ -z "$W" ] || [ -z "$(warnings)" ] || { fault "$what" "an unwanted warning: $(warnings | head -c 150)"; return 1; }
    ok "$what"
}
# same "NN what" A B: checks that two results are equal.
same() { if [ "$2" = "$3" ]; then ok "$1"; else fault "$1" "'$(printf '%s' "$2" | head -c 80)' is not '$(printf '%s' "$3" | head -c 80)'"; fi; }
# Makes a fresh copy of a golden checkpoint (or of the embedded model, tale) as $tmp/m, for a check to damage.
fresh() {
    rm -rf "$tmp/m"
    mkdir "$tmp/m"
    if [ "$1" = tale ]; then cp "$tale"/* "$tmp/m/"; else cp "$golden/$1"/* "$tmp/m/"; fi
}
json() { python3 "$here/edit.py" json "$tmp/m/${3:-config.json}" "$1" ; }
tensors() { python3 "$here/edit.py" tensors "$tmp/m/model.safetensors" "$1"; }
setjson() { python3 "$here/edit.py" json "$tmp/m/$1" "$2"; }
# Prints the token ids (or another key of the outputs) that generate --format json wrote to $out.
outputs() { python3 -c "
import json, sys
print([o['${1:-token_ids}'] for l in open('$out') if l.strip() for o in json.loads(l)['outputs']])" 2>&1 | tail -1; }
mpirun_flags=(--quiet --oversubscribe --bind-to none)
[ "$(id -u)" -ne 0 ] || mpirun_flags+=(--allow-run-as-root)
# Prints all descendants of process $1.
descendants() { ps -e -o pid=,ppid= | awk -v top="$1" '{p[$1]=$2} END {for (i in p) {j=i; while (j in p && j != top) j=p[j]; if (j == top && i != top) print i}}'; }
# Prints the descendant of process $1 that is rank $2; waits up to 5 s for it.
rank_pid() {
    local pid i
    for i in $(seq 500); do
        for pid in $(descendants "$1"); do
            { tr '\0' '\n' <"/proc/$pid/environ"; } 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$2" &&
                grep -qE '^(generate|evaluate|bench|all_reduce_benc)' "/proc/$pid/comm" 2>/dev/null && echo "$pid" && return 0
        done
        sleep 0.01
        kill -0 "$1" 2>/dev/null || return 1
    done
    return 1
}
# Starts a command in the background with $out and $err; sets `job`. The command is killed after at most LIMIT (30) seconds.
start() {
    timeout -s KILL "${LIMIT:-30}" "$@" <"${INPUT:-/dev/null}" >"$out" 2>"$err" &
    job=$!
}
# Waits for `job`; sets `status` and `seconds` (whole), kills the processes of `left` that still run, and sets `orphans`.
finish() {
    local began=$SECONDS pid
    { wait "$job"; } 2>/dev/null
    status=$?
    seconds=$((SECONDS - began))
    job=
    sleep 0.3
    orphans=
    for pid in ${left:-}; do
        if kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null; then
            orphans="$orphans $pid"; kill -KILL "$pid" 2>/dev/null
        fi
    done
}
summary() {
    echo "$good ok, $faults faults, $skipped skipped"
    [ "$faults" -eq 0 ]
}
