#!/bin/sh
# Makes several hosts on one machine: network namespaces that a bridge joins, each with its own host name. It needs root
# and iproute2.
#
#   namespaces.sh up HOSTS [RATE]              makes the hosts; RATE, such as 1gbit, limits the bandwidth of each
#   namespaces.sh run RANKS PROGRAM [ARG...]   starts a program on them by hosts.sh; neighbouring ranks share a host
#   namespaces.sh on NUMBER COMMAND [ARG...]   replaces the script by a command on one of the hosts, counted from 0
#   namespaces.sh down                         removes the hosts
#
# TRIREME_FAMILY is 4 (the default), 6 or 46, for hosts with addresses of IPv4, IPv6 or both. TRIREME_NAMESPACES
# (trireme) begins their names, so that tests with different names can run at once. TRIREME_FIRST_HOST (0) is the number
# of the first host that gets ranks; mpirun runs on host 0.
#
# mpirun reaches a host by `namespaces.sh rsh HOST COMMAND...`, in place of ssh; TRIREME_LAUNCH_AGENT replaces that, such
# as by ssh itself. The script makes nothing in the machine's own namespace.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=${TRIREME_NAMESPACES:-trireme}
ipv4='10.77.0.%d/24' ipv6='fd00:77::%d/64 nodad' interface=eth0
case "${TRIREME_FAMILY:-4}" in
4) ipv6='' interface=10.77.0.0/24 ;; # Open MPI 4.1.4 takes no subnets of IPv6
6) ipv4='' ;;
46) ;;
*) echo "$0: TRIREME_FAMILY must be 4, 6 or 46, not '$TRIREME_FAMILY'" >&2; exit 64 ;;
esac

count() { ip netns list 2>/dev/null | grep -c "^${prefix}[0-9]" || true; }

down() {
    for name in $(ip netns list 2>/dev/null | awk '{print $1}' | grep -E "^${prefix}([0-9]+|-bridge)$"); do
        # Behind a cut, Open MPI's daemons may wait for a quarter of an hour.
        ip netns pids "$name" | xargs -r kill -KILL 2>/dev/null || true
        ip netns del "$name"
    done
}

up() {
    hosts=$1 rate=${2:-}
    down
    ip netns add "$prefix-bridge"
    ip -n "$prefix-bridge" link set lo up
    ip -n "$prefix-bridge" link add br0 type bridge
    ip -n "$prefix-bridge" link set br0 up
    i=0
    while [ "$i" -lt "$hosts" ]; do
        ip netns add "$prefix$i"
        ip -n "$prefix$i" link set lo up
        ip link add eth0 netns "$prefix$i" type veth peer name "p$i" netns "$prefix-bridge"
        ip -n "$prefix-bridge" link set "p$i" master br0 up
        for format in "$ipv4" "$ipv6"; do
            # shellcheck disable=SC2046,SC2059 # a format holds an address and options
            [ -z "$format" ] || ip -n "$prefix$i" addr add $(printf "$format" $((i + 1))) dev eth0
        done
        ip -n "$prefix$i" link set eth0 up
        # The burst is small, because with a large one short messages would pass at once whatever the rate is.
        [ -z "$rate" ] || ip netns exec "$prefix$i" tc qdisc replace dev eth0 root tbf rate "$rate" burst 16kb latency 100ms
        i=$((i + 1))
    done
}

# The host has its own name; the process stays the same.
on() {
    name=$prefix$1
    shift
    # shellcheck disable=SC2016 # the inner shell expands these
    exec ip netns exec "$name" unshare --uts sh -c 'hostname "$0"; exec "$@"' "$name" "$@"
}

run() {
    ranks=$1
    shift
    hosts=$(count)
    [ "$hosts" -gt 0 ] || { echo "$0: no hosts; namespaces.sh up makes them" >&2; exit 64; }
    # Hosts share no files for temporary use, just as real ones: `rsh` hides this folder from all hosts but the first.
    TMPDIR=$(mktemp -d)
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
    list=$TMPDIR/hosts
    # Hosts get blocks of neighbouring ranks, the longer blocks first, so that each host holds a subtree of the
    # reduction tree if that is possible.
    left=$ranks i=${TRIREME_FIRST_HOST:-0}
    while [ "$i" -lt "$hosts" ]; do
        some=$(((left + hosts - i - 1) / (hosts - i)))
        # Without IPv4, hosts are listed by name, although nothing resolves their names: Open MPI 4.1.4's daemons crash
        # at a list of addresses of IPv6.
        [ -n "$ipv4" ] && host=10.77.0.$((i + 1)) || host=$prefix$i
        [ "$some" -eq 0 ] || echo "$host slots=$some" >>"$list"
        left=$((left - some)) i=$((i + 1))
    done
    export TRIREME_INTERFACE="$interface" TRIREME_LAUNCH_AGENT="${TRIREME_LAUNCH_AGENT:-$here/namespaces.sh rsh}"
    export OMPI_MCA_plm=rsh OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,vader,self OMPI_MCA_mpi_yield_when_idle=1
    status=0
    (on 0 "$here/hosts.sh" "$list" "$@") || status=$?
    exit "$status"
}

rsh() {
    while [ $# -gt 0 ]; do
        case "$1" in -*) shift ;; *) break ;; esac
    done
    case $1 in
    *.*) name=$prefix$((${1##*.} - 1)) ;;
    *) name=$1 ;;
    esac
    shift
    unset OPAL_OUTPUT_STDERR_FD
    status=0
    ip netns exec "$name" unshare --uts --mount sh -c "hostname $name; mount -t tmpfs $name '$TMPDIR'; $*" || status=$?
    # Like ssh, it cannot tell how the command ended while the network is cut.
    while kill -0 "$PPID" 2>/dev/null && ! { is_linked "$name" && is_linked "${prefix}0"; }; do sleep 0.2; done
    exit "$status"
}

is_linked() { ip -n "$1" link show eth0 2>/dev/null | grep -q 'state UP'; }

command=${1:-}
[ $# -eq 0 ] || shift
case "$command" in
up | run | on | rsh) [ $# -ge 1 ] || { echo "usage: see the head of $0" >&2; exit 64; } && "$command" "$@" ;;
down) down ;;
*) echo "usage: $0 up HOSTS [RATE] | run RANKS PROGRAM [ARGUMENT...] | on NUMBER COMMAND... | down" >&2; exit 64 ;;
esac
