#!/bin/sh
# local.sh [RANKS] PROGRAM [ARGUMENT...]: starts a program as several ranks on this machine; without RANKS, as many as
# nodes.sh chooses.
set -eu
. "$(dirname "$0")/launch.sh"
. "$(dirname "$0")/nodes.sh"
usage() { echo "usage: $0 [RANKS] PROGRAM [ARGUMENT...]" >&2; exit 64; }
[ $# -ge 1 ] || usage
case $1 in
*[!0-9-]*) ranks=$(default_ranks) ;; # the name of a program
*)
    ranks=$1
    shift
    case $ranks in '' | *[!0-9]* | 0*) echo "$0: RANKS must be a whole number from 1, not '$ranks'" >&2; exit 64 ;; esac
    ;;
esac
[ $# -ge 1 ] || usage
command -v "$1" >/dev/null || { echo "$0: no such program: $1; make release builds ours" >&2; exit 66; }

# Ranks are not bound, because mpirun would bind each rank, with all of its worker threads, to one core.
set -- --bind-to none -n "$ranks" "$@"
# If there are more ranks than cores, ranks must give way to each other while they wait. Then an all-reduce takes 8 us
# instead of 20 ms.
if [ "$ranks" -gt "$(nproc)" ]; then
    set -- --oversubscribe --mca mpi_yield_when_idle 1 "$@"
fi
launch "$@"
