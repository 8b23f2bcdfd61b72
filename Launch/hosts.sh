#!/bin/sh
# hosts.sh HOSTFILE PROGRAM [ARGUMENT...]: starts a program over several hosts by ssh; see hosts.example.
# TRIREME_INTERFACE: the network to use, a name (eth1) or a subnet (10.0.0.0/8); needed where hosts have several.
set -eu
[ $# -ge 2 ] || { echo "usage: $0 HOSTFILE PROGRAM [ARGUMENT...]" >&2; exit 64; }
hosts=$1
shift
[ -r "$hosts" ] || { echo "$0: cannot read the host file $hosts; see hosts.example" >&2; exit 66; }

set -- --hostfile "$hosts" --bind-to none "$@"
# A cut network closes no connection: without these probes mpirun would wait for ever (with them about 6 s).
set -- --mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3 "$@"
if [ -n "${TRIREME_INTERFACE:-}" ]; then
    export TRIREME_HEARTBEAT_INTERFACE="$TRIREME_INTERFACE"
    set -- --mca btl_tcp_if_include "$TRIREME_INTERFACE" --mca oob_tcp_if_include "$TRIREME_INTERFACE" \
        -x TRIREME_HEARTBEAT_INTERFACE "$@"
fi
# Another launch agent than ssh, such as the network namespaces of the tests.
[ -z "${TRIREME_LAUNCH_AGENT:-}" ] || set -- --mca plm_rsh_agent "$TRIREME_LAUNCH_AGENT" "$@"
[ "$(id -u)" -ne 0 ] || set -- --allow-run-as-root "$@"
# Under mpirun a rank cannot see a terminal on standard error, so it is told of ours.
unset TRIREME_PROGRESS
if [ -t 2 ]; then
    export TRIREME_PROGRESS=1
    set -- -x TRIREME_PROGRESS "$@"
fi
set -- mpirun --quiet "$@"
echo "$*" >&2

# mpirun says 1 after Ctrl-C; we say 130, as local.sh explains.
interrupted=
trap 'interrupted=1' INT
status=0
"$@" || status=$?
[ -z "$interrupted" ] || status=130
exit "$status"
