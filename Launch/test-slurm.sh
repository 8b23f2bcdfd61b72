#!/usr/bin/env bash
# test-slurm.sh: submits jobs through slurm.sh to a real Slurm, whose two nodes are network namespaces of this machine.
# The programs must be built first; `make test-slurm` does so. The script keeps everything in a temporary folder, and
# ends every server that it has started whatever happens. If something is missing, it says so and ends with 0.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
products=$here/../.build/debug
. "$here/test-parts.sh"
needs_namespaces
for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || skip "$program is missing: apt-get install slurm-wlm munge"
done

export TRIREME_NAMESPACES=slurm
folder=$(mktemp -d)
servers=()
finish() {
    status=$?
    trap - EXIT
    [ "$status" -eq 0 ] || tail -n 20 "$folder"/*.log "$folder"/*.out >&2 || true
    # The last server was started on top of the others.
    for ((i = ${#servers[@]} - 1; i >= 0; i--)); do
        kill "${servers[i]}" && wait "${servers[i]}" || true
    done
    "$here/namespaces.sh" down
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM
on() { "$here/namespaces.sh" on "$@"; }

"$here/namespaces.sh" up 2
export SLURM_CONF=$folder/slurm.conf
cat >"$SLURM_CONF" <<EOF
ClusterName=trireme
SlurmctldHost=slurm0(10.77.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
KillWait=5
NodeName=slurm0 NodeAddr=10.77.0.1 CPUs=$(nproc)
NodeName=slurm1 NodeAddr=10.77.0.2 CPUs=$(nproc)
PartitionName=test Nodes=ALL Default=YES MaxTime=5
EOF

# Servers stay in the foreground, so that the processes started here are the servers.
serve() {
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 &
    servers+=($!)
}
dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
chmod 600 "$folder/munge.key"
serve munged munged --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --seed-file="$folder/munged.seed" --log-file="$folder/munged.log"
mkdir "$folder/state"
serve slurmctld on 0 slurmctld -D
serve slurmd0 on 0 slurmd -D
serve slurmd1 on 1 slurmd -D
