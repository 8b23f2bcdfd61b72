#!/usr/bin/env bash
# test-slurm.sh: submits jobs through slurm.sh to a real Slurm, whose two nodes are network namespaces of this machine.
# The programs must be built first; `make test-slurm` does so. The script keeps everything in a temporary folder, and
# ends every server that it has started whatever happens. If something is missing, it says so and ends with 0.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
products=$here/../.build/debug
# shellcheck source-path=SCRIPTDIR source=test-parts.sh
. "$here/test-parts.sh"
needs_namespaces
for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || skip "$program is missing: apt-get install slurm-wlm munge"
done

export TRIREME_NAMESPACES=slurm
folder=$(mktemp -d)
servers=()
# Prints what runs on the nodes and the other servers, as process numbers.
running() {
    local node process
    for node in slurm0 slurm1; do ip netns pids "$node" 2>/dev/null || true; done
    for process in "${servers[@]}"; do ! kill -0 "$process" 2>/dev/null || echo "$process"; done
}
finish() {
    local status=$? signal
    trap - EXIT
    [ "$status" -eq 0 ] || tail -n 20 "$folder"/*.log "$folder"/*.out >&2 || true
    for signal in TERM KILL; do
        # shellcheck disable=SC2046 # these are several
        [ -z "$(running)" ] || kill -s "$signal" $(running) 2>/dev/null || true
        for _ in $(seq 50); do
            [ -n "$(running)" ] || break
            sleep 0.1
        done
    done
    "$here/namespaces.sh" down
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

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
SlurmdLogFile=$folder/%n.log
TmpFS=$folder/tmp.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
ReturnToService=2
KillWait=5
NodeName=slurm0 NodeAddr=10.77.0.1 CPUs=$(nproc)
NodeName=slurm1 NodeAddr=10.77.0.2 CPUs=$(nproc)
PartitionName=test Nodes=ALL Default=YES MaxTime=5
EOF
# Nothing here uses control groups, but slurmd wants some kind of them; this one asks nothing of the machine.
echo "CgroupPlugin=cgroup/v1" >"$folder/cgroup.conf"

# Servers do not detach themselves, so the processes that are started here are the servers.
serve() {
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 &
    servers+=($!)
}
mkdir "$folder/state" "$folder"/{spool,tmp}.slurm{0,1}
dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
chmod 600 "$folder/munge.key"
serve munged munged --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --seed-file="$folder/munged.seed" --log-file="$folder/munged.log"
serve slurmctld "$here/namespaces.sh" on 0 slurmctld -D
serve slurmd0 "$here/namespaces.sh" on 0 slurmd -D
serve slurmd1 "$here/namespaces.sh" on 1 slurmd -D

# on_nodes COMMAND...: runs a command of Slurm on the first node, for a minute at most.
on_nodes() { timeout -s KILL 60 "$here/namespaces.sh" on 0 "$@"; }

for _ in $(seq 100); do
    [ "$(on_nodes sinfo --noheader --states=idle --format=%D 2>/dev/null)" != 2 ] || break
    sleep 0.1
done
echo "== $(on_nodes sinfo --version), $(on_nodes sinfo --noheader --format='%D nodes, %T')"

# The ranks of different nodes must not notice that they share a machine.
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,vader,self OMPI_MCA_mpi_yield_when_idle=1
submit() { on_nodes sbatch --quiet --output="$folder/%j.out" "$@"; }

for per_node in 1 2; do
    story submit --wait --ntasks-per-node="$per_node" "$here/slurm.sh" "$products/generate" --output "$folder/story"
    same_story "Slurm with $((2 * per_node)) ranks" "$(digest <"$folder/story")"
done

# If a rank is killed, the job must end with 75 and name it.
submit --wait --output="$folder/lost.out" "$here/slurm.sh" "$products/generate" --model "$here/../Models/tale-23m" \
    --prompt "Once upon" --max-tokens 250 --n 1000 --ignore-eos >/dev/null &
job=$!
for _ in $(seq 200); do
    ! grep -qs "tensor parallel" "$folder/lost.out" || break
    sleep 0.1
done
for process in $(ip netns pids slurm1); do
    [ "$(cat "/proc/$process/comm" 2>/dev/null)" != generate ] || kill -KILL "$process"
done
ended=0
wait "$job" || ended=$?
if [ "$ended" -ne 75 ] || ! grep "rank 1 on slurm1 was lost" "$folder/lost.out"; then
    echo "$(basename "$0"): a lost rank: status $ended, not 75, or the rank is not named" >&2
    exit 1
fi
