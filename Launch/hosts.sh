#!/bin/sh
# hosts.sh HOSTFILE PROGRAM [ARGUMENT...]: starts a program on several hosts by ssh; hosts.example describes HOSTFILE.
# TRIREME_INTERFACE names the network to use, as an interface (eth1) or a subnet of IPv4 (10.0.0.0/8). It is needed if
# hosts have several networks. Hosts that have only addresses of IPv6 must be listed by name, because Open MPI 4.1.4's
# daemons crash at such addresses.
set -eu
# shellcheck source-path=SCRIPTDIR source=launch.sh
. "$(dirname "$0")/launch.sh"
[ $# -ge 2 ] || { echo "usage: $0 HOSTFILE PROGRAM [ARGUMENT...]" >&2; exit 64; }
hosts=$1
shift
[ -r "$hosts" ] || { echo "$0: cannot read the host file $hosts; see hosts.example" >&2; exit 66; }

set -- --hostfile "$hosts" --bind-to none "$@"
# A cut network closes no connection, so without these probes mpirun would wait for ever; with them it waits about 6 s.
set -- --mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3 "$@"
if [ -n "${TRIREME_INTERFACE:-}" ]; then
    export TRIREME_HEARTBEAT_INTERFACE="$TRIREME_INTERFACE"
    set -- --mca btl_tcp_if_include "$TRIREME_INTERFACE" --mca oob_tcp_if_include "$TRIREME_INTERFACE" \
        -x TRIREME_HEARTBEAT_INTERFACE "$@"
fi
# TRIREME_LAUNCH_AGENT replaces ssh, as for the network namespaces of the tests.
[ -z "${TRIREME_LAUNCH_AGENT:-}" ] || set -- --mca plm_rsh_agent "$TRIREME_LAUNCH_AGENT" "$@"
# mpirun's messages, of which ranks know nothing, tell that and which host it has lost (launch.sh).
messages=$(mktemp 2>/dev/null) || messages=
if [ -n "$messages" ]; then
    trap 'rm -f "$messages"' EXIT # `launch` replaces it
    exec 9>"$messages"
    export OPAL_OUTPUT_STDERR_FD=9
    set -- -x OPAL_OUTPUT_STDERR_FD=2 "$@"
fi
launch "$@"
