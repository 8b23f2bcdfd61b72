#!/bin/sh
# Makes several hosts on one machine: network namespaces that a bridge joins, each with its own host name. It needs root
# and iproute2.
#
#   namespaces.sh up HOSTS [RATE]              makes the hosts; RATE, such as 1gbit, limits the bandwidth of each
#   namespaces.sh run RANKS PROGRAM [ARG...]   starts a program on them by hosts.sh; neighbouring ranks share a host
#   namespaces.sh on NUMBER COMMAND [ARG...]   replaces the script by a command on one of the hosts, counted from 0
#   namespaces.sh down                         removes the hosts
#
# mpirun reaches a host by `namespaces.sh rsh ADDRESS COMMAND...`, in place of ssh; TRIREME_LAUNCH_AGENT replaces that,
# such as by ssh itself. TRIREME_NAMESPACES is the first part of the hosts' names (trireme), so that tests with
# different names can run at once. The script makes nothing in the machine's own namespace.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=${TRIREME_NAMESPACES:-trireme}
net=10.77.0

count() { ip netns list 2>/dev/null | grep -c "^${prefix}[0-9]" || true; }

down() {
    for name in $(ip netns list 2>/dev/null | awk '{print $1}' | grep -E "^${prefix}([0-9]+|-bridge)$"); do
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
        ip -n "$prefix$i" addr add "$net.$((i + 1))/24" dev eth0
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
    list=$(mktemp)
    trap 'rm -f "$list"' EXIT
    # Hosts get blocks of neighbouring ranks, the longer blocks first, so that each host holds a subtree of the
    # reduction tree if that is possible.
    left=$ranks i=0
    while [ "$i" -lt "$hosts" ]; do
        some=$(((left + hosts - i - 1) / (hosts - i)))
        [ "$some" -eq 0 ] || echo "$net.$((i + 1)) slots=$some" >>"$list"
        left=$((left - some)) i=$((i + 1))
    done
    export TRIREME_INTERFACE="$net.0/24" TRIREME_LAUNCH_AGENT="${TRIREME_LAUNCH_AGENT:-$here/namespaces.sh rsh}"
    export OMPI_MCA_plm=rsh OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,vader,self OMPI_MCA_mpi_yield_when_idle=1
    status=0
    (on 0 "$here/hosts.sh" "$list" "$@") || status=$?
    exit "$status"
}

rsh() {
    while [ $# -gt 0 ]; do
        case "$1" in -*) shift ;; *) break ;; esac
    done
    number=$((${1##*.} - 1))
    shift
    on "$number" sh -c "$*"
}

command=${1:-}
[ $# -eq 0 ] || shift
case "$command" in
up | run | on | rsh) [ $# -ge 1 ] || { echo "usage: see the head of $0" >&2; exit 64; } && "$command" "$@" ;;
down) down ;;
*) echo "usage: $0 up HOSTS [RATE] | run RANKS PROGRAM [ARGUMENT...] | on NUMBER COMMAND... | down" >&2; exit 64 ;;
esac
