#!/bin/sh
# run.sh [ROUNDS]: compares our all-reduce on RANKS ranks of this machine with MPI_Allreduce, with its defaults and with settings
# that make it faster; the defaults are also measured by the method of the OSU benchmarks. Prints medians in us. Candidates
# alternate, and the best of ROUNDS (5) is printed. Needs `make release`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
rounds=${1:-5}
: "${RANKS:=2}" "${LARGEST:=67108864}"
bench=$root/.build/release/all_reduce_bench
[ -x "$bench" ] || { echo "run.sh: no .build/release/all_reduce_bench: run make release first" >&2; exit 66; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mpicc -O2 "$here/osu_method.c" -o "$work/osu_method"

# NAME BACKEND [OMPI_MCA setting...]
ours() {
    name=$1 backend=$2
    shift 2
    env "$@" "$root/Launch/local.sh" "$RANKS" "$bench" --backend "$backend" -b 4 -e "$LARGEST" -f 2 -c 0 --format csv 2>/dev/null |
        awk -F, -v name="$name" 'NR > 1 { print name, $2, $7 }' >>"$work/all"
}

for round in $(seq "$rounds"); do
    ours shm shm
    ours mpi mpi
    ours sm mpi OMPI_MCA_coll=sm,basic,self,libnbc,inter OMPI_MCA_coll_sm_priority=100
    ours eager mpi OMPI_MCA_btl_vader_eager_limit=65536
    "$root/Launch/local.sh" "$RANKS" "$work/osu_method" 4 "$LARGEST" 2>/dev/null | sed 's/^/osu /' >>"$work/all"
done
awk '
    !(($1, $2) in best) || $3 < best[$1, $2] { best[$1, $2] = $3 }
    { sizes[$2] = 1 }
    function get(name, size) { return (name, size) in best ? best[name, size] : "" }
    function ratio(a, b) { return a != "" && b != "" && b > 0 ? sprintf("%.2f", a / b) : "" }
    END {
        print "| bytes | ours | MPI_Allreduce | coll sm | eager 64 KiB | ours/MPI | ours/fastest | OSU method | bench/OSU |"
        print "|---|---|---|---|---|---|---|---|---|"
        for (size = 4; size in sizes; size *= 2) {
            o = get("shm", size); m = get("mpi", size); s = get("sm", size); e = get("eager", size); u = get("osu", size)
            fastest = m
            if (s != "" && s < fastest) fastest = s
            if (e != "" && e < fastest) fastest = e
            printf "| %d | %s | %s | %s | %s | %s | %s | %s | %s |\n", size, o, m, s, e, ratio(o, m), ratio(o, fastest), u, ratio(m, u)
        }
    }' "$work/all"
