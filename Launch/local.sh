#!/bin/sh
# local.sh RANKS PROGRAM [ARGUMENT...]: starts a program as several ranks on this machine.
set -eu
[ $# -ge 2 ] || { echo "usage: $0 RANKS PROGRAM [ARGUMENT...]" >&2; exit 64; }
ranks=$1
shift

# No binding: mpirun would pin each rank, all of its worker threads included, to one core.
set -- --bind-to none -n "$ranks" "$@"
# More ranks than cores must give way to each other while they wait: 8 us an all-reduce instead of 20 ms.
if [ "$ranks" -gt "$(nproc)" ]; then
    set -- --oversubscribe --mca mpi_yield_when_idle 1 "$@"
    export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe # Open MPI 5 and later
fi
[ "$(id -u)" -ne 0 ] || set -- --allow-run-as-root "$@"
# Under mpirun a rank cannot see a terminal on standard error, so it is told of ours.
unset TRIREME_PROGRESS
if [ -t 2 ]; then
    export TRIREME_PROGRESS=1
    set -- -x TRIREME_PROGRESS "$@"
fi
set -- mpirun --quiet "$@"
echo "$*" >&2

# On Ctrl-C mpirun ends its ranks by SIGTERM, a second later by SIGKILL, and exits with 1 whatever they returned. We
# outlive it and say 130. That second (odls_base_sigkill_timeout) is not shortened: with 0 the SIGKILL comes at once,
# and ranks could neither say goodbye nor name a rank that was lost.
interrupted=
trap 'interrupted=1' INT
status=0
"$@" || status=$?
[ -z "$interrupted" ] || status=130
exit "$status"
