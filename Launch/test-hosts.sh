#!/bin/sh
# test-hosts.sh: runs the tests that need several hosts. Two, three and four hosts, which are network namespaces of this
# machine, run RankTests, the golden checkpoints, random collectives, and the benchmark over a link of 1 Gbit/s. Two
# hosts also run jobs that hosts.sh starts by ssh. The programs must be built first; `make test-hosts` does so. The
# script ends its servers and removes its hosts whatever happens. If namespaces are not allowed, it says so and ends
# with 0; without sshd it says so and leaves out ssh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
products=$root/.build/debug
# shellcheck source-path=SCRIPTDIR source=test-parts.sh
. "$here/test-parts.sh"
needs_namespaces

folder=$(mktemp -d) servers='' run_folder=''
finish() {
    # shellcheck disable=SC2086 # these are several
    [ -z "$servers" ] || kill $servers 2>/dev/null || true # gone with their host
    "$here/namespaces.sh" down
    [ -z "$run_folder" ] || rmdir "$run_folder"
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM
hosts() { "$here/namespaces.sh" up "$@"; echo "== $1 hosts${2:+, $2}"; }
ranks() { timeout -s KILL 120 "$here/namespaces.sh" run "$@"; }

hosts 2
for count in 2 3 4; do
    ranks "$count" "$products/TriremePackageTests.xctest" --testing-library swift-testing --filter RankTests </dev/null
done
ranks 4 "$products/all_reduce_bench" --stress 1000
ranks 4 "$products/all_reduce_bench" --stress 300 --all-reduce-dtype int8
# The ranks are placed on the hosts in turn, and must be renumbered so that those of a host are neighbours.
OMPI_MCA_rmaps_base_mapping_policy=node ranks 4 "$products/all_reduce_bench" --stress 300 --backend hierarchical
(cd "$root" && TRIREME_TEST_LAUNCHER="$here/namespaces.sh run" \
    swift test --skip-build -Xcc -O2 --explicit-target-dependency-import-check error --filter GoldenTests.CheckpointTests)

# One host and two hosts must give the same bits. Each of the two hosts has one stage of four shards.
both() { story ranks 8 "$products/generate" --topology "$root/Topologies/two-hosts.json" 2>/dev/null | digest; }
same_story "two hosts" "$(both)"

# A real sshd on each host, with keys and settings of its own, and a client that accepts only its key.
start_ssh() {
    ssh-keygen -q -t ed25519 -N '' -f "$folder/host_key"
    ssh-keygen -q -t ed25519 -N '' -f "$folder/user_key"
    cat >"$folder/sshd_config" <<EOF
Port 2222
HostKey $folder/host_key
AuthorizedKeysFile $folder/user_key.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
PidFile none
# The folder lies in /tmp, which others may write into.
StrictModes no
EOF
    echo "* $(cat "$folder/host_key.pub")" >"$folder/known_hosts"
    cat >"$folder/ssh_config" <<EOF
Port 2222
IdentityFile $folder/user_key
IdentitiesOnly yes
UserKnownHostsFile $folder/known_hosts
StrictHostKeyChecking yes
BatchMode yes
ConnectTimeout 5
EOF
    [ -d /run/sshd ] || { mkdir /run/sshd && run_folder=/run/sshd; } # sshd demands it
    for host in 0 1; do
        "$here/namespaces.sh" on "$host" "$(command -v sshd)" -D -f "$folder/sshd_config" -E "$folder/sshd.log" &
        servers="$servers $!"
    done
    for _ in $(seq 50); do
        ! "$here/namespaces.sh" on 0 ssh -F "$folder/ssh_config" 10.77.0.2 true 2>"$folder/ssh.log" || return 0
        sleep 0.1
    done
    cat "$folder/ssh.log" "$folder/sshd.log" >&2
    return 1
}

if command -v sshd >/dev/null; then
    echo "== 2 hosts by ssh"
    start_ssh
    export TRIREME_LAUNCH_AGENT="ssh -F $folder/ssh_config"
    for count in 2 4; do
        ranks "$count" "$products/TriremePackageTests.xctest" --testing-library swift-testing \
            --filter RankTests </dev/null
    done
    same_story "two hosts by ssh" "$(both)"
    unset TRIREME_LAUNCH_AGENT
else
    echo "test-hosts.sh: ssh: skipped: sshd is missing: apt-get install openssh-server"
fi

# Three hosts of two ranks are not subtrees of the reduction tree.
hosts 3
ranks 6 "$products/all_reduce_bench" --stress 300

hosts 4
ranks 4 "$products/TriremePackageTests.xctest" --testing-library swift-testing --filter RankTests </dev/null
ranks 4 "$products/all_reduce_bench" --stress 500
ranks 8 "$products/all_reduce_bench" --stress 500

hosts 2 1gbit
ranks 2 "$products/all_reduce_bench" -b 4KiB -e 1MiB -f 4 -n 50 --predict tinyllama-1.1b
ranks 2 "$products/all_reduce_bench" -b 4KiB -e 1MiB -f 4 -n 50 --all-reduce-dtype int8

"$here/test-partition.sh"
