#!/bin/sh
# test-hosts.sh: runs the tests that need several hosts. Two, three and four hosts, which are network namespaces of this
# machine, run RankTests, the golden checkpoints, random collectives, and the benchmark over a link of 1 Gbit/s. The
# programs must be built first; `make test-hosts` does so. The script removes its hosts whatever happens. If namespaces
# are not allowed, it says so and ends with 0.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
products=$root/.build/debug

skip() { echo "test-hosts.sh: skipped: $*"; exit 0; }
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
command -v ip >/dev/null && command -v tc >/dev/null || skip "ip and tc are missing: apt-get install iproute2"
unshare -n true 2>/dev/null || skip "this machine allows no network namespaces"

trap '"$here/namespaces.sh" down' EXIT
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
story() { "$@" --model "$root/Models/tale-23m" --prompt "Once upon" --max-tokens 20 --temperature 0 --logits-digest --format json; }
digest() { grep -o '"logits_digests":\[[^]]*\]'; }
alone=$(story "$products/generate" 2>/dev/null | digest)
both=$(story ranks 8 "$products/generate" --topology "$root/Topologies/two-hosts.json" 2>/dev/null | digest)
[ -n "$alone" ] && [ "$alone" = "$both" ] || { echo "two hosts give other logits: $both, not $alone" >&2; exit 1; }

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
