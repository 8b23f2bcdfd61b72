#!/bin/sh
# test-partition.sh: cuts the network between hosts, which are network namespaces, at different moments and places. Each
# job must end in time with status 75 and a line that names what was lost, and other failures must keep their status.
# It also runs hosts that have only addresses of IPv6, or of both families. The programs must be built first. It takes
# two minutes, and removes its hosts whatever happens. If namespaces are not allowed, it says so and ends with 0.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
products=$root/.build/debug

# shellcheck source-path=SCRIPTDIR source=test-parts.sh
. "$here/test-parts.sh"
needs_namespaces

export TRIREME_NAMESPACES=partition
work=$(mktemp -d)
trap '"$here/namespaces.sh" down; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failed=0

# job RANKS PROGRAM [ARGUMENT...]: starts a job in the background, as `job`.
job() {
    timeout -s KILL 40 "$here/namespaces.sh" run "$@" </dev/null >"$work/out" 2>"$work/err" &
    job=$!
}

# expect STATUS SECONDS PATTERN: the job must end with this status in this time, and say a line that matches.
expect() {
    start=$(date +%s) status=0
    wait "$job" || status=$?
    took=$(($(date +%s) - start))
    echo "   status $status after $took s: $(grep -E "$3" "$work/err" | tail -1)"
    [ "$status" -eq "$1" ] && [ "$took" -le "$2" ] && grep -qE "$3" "$work/err" && return
    echo "   wanted status $1 within $2 s, and a line like: $3" >&2
    sed '1d' "$work/err" >&2
    failed=$((failed + 1))
}

# late RANK: a command that starts a program, on this rank 5 seconds late, so that the others wait in MPI_Init.
late() { echo 'test "$OMPI_COMM_WORLD_RANK" != '"$1"' || sleep 5; exec "$@"'; }

link() { ip -n "$TRIREME_NAMESPACES$1" link set "$2" "${3:-down}"; }

set -- "$products/generate" --model "$root/Models/tale-23m" --prompt Once --max-tokens 250 --n 1000 --ignore-eos

for family in 6 46; do
    export TRIREME_FAMILY=$family
    "$here/namespaces.sh" up 2
    echo "== 2 hosts, family $family"
    job 2 "$products/all_reduce_bench" --stress 50
    expect 0 30 ''
done

# Each line: family, hosts, the first host with ranks, ranks, the late rank and the timeout, where the network is cut,
# and what is said. A cut at the bridge's p0 or in host 0 separates all other hosts from mpirun. At the last line mpirun
# sends something after the cut, and would notice only after a quarter of an hour, so the timeout ends the job.
while IFS='|' read -r family hosts first ranks late timeout namespace device pattern; do
    export TRIREME_FAMILY="$family" TRIREME_FIRST_HOST="$first"
    "$here/namespaces.sh" up "$hosts"
    echo "== $hosts hosts, family $family, ranks from host $first${late:+, rank $late late}: $namespace $device down"
    if [ -n "$late" ]; then
        job "$ranks" sh -c "$(late "$late")" sh "$@" --timeout "$timeout"
        sleep 2
    else
        job "$ranks" "$@"
        sleep 4
    fi
    link "$namespace" "$device"
    expect 75 18 "$pattern"
done <<END
4|2|0|2|||-bridge|p1|^rank 1 on partition1 was lost while
6|2|0|2|||1|eth0|^rank 1 on partition1 was lost while
4|2|0|2|||0|eth0|^rank 1 on partition1 was lost while
4|3|0|3|||-bridge|p0|^rank [12] on partition[12] was lost while
4|3|1|2|||-bridge|p1|mpirun has lost its connection to (10.77.0.2|partition1)
4|3|1|2|||-bridge|p0|mpirun has lost its connection to (10.77.0.[23]|partition[12])
4|2|0|2|1|60|-bridge|p1|mpirun has lost its connection to (10.77.0.2|partition1)
4|2|0|2|0|4|1|eth0|^rank 0 on partition0 is still starting after
END

export TRIREME_FAMILY=4 TRIREME_FIRST_HOST=0
"$here/namespaces.sh" up 2
echo "== rank 1 is stopped"
job 2 "$@" --timeout 4
sleep 4
kill -STOP $(ip netns pids "${TRIREME_NAMESPACES}1" | xargs -n 1 sh -c 'grep -qx generate "/proc/$0/comm" && echo "$0"')
expect 75 15 '^rank 1 on partition1 was lost while'
echo "== a model is missing"
job 2 "$products/generate" --model "$work/none" --prompt Once
expect 66 15 'none'
echo "== rank 1's program fails"
job 2 sh -c 'test "$OMPI_COMM_WORLD_RANK" = 0 || exit 7; exec "$@"' sh "$@"
expect 7 15 ''
exit $((failed > 0))
