#!/bin/sh
# test-ranks.sh [COUNT...]: runs RankTests over MPI with 1, 2, 3 and 4 ranks (or the counts given). The tests must be
# built first, with `swift build --build-tests`. mpirun runs the test bundle itself, because `mpirun swift test` would
# hang. TRIREME_TEST_LAUNCHER replaces local.sh; it is the start of a command that takes the number of ranks next.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bundle=${TRIREME_TEST_BUNDLE:-$here/../.build/debug/TriremePackageTests.xctest}
[ $# -gt 0 ] || set -- 1 2 3 4
failed=
for count in "$@"; do
    # The signal is KILL, because a rank that hangs in a collective may not react to another.
    # shellcheck disable=SC2086 # a launcher may have options
    timeout -s KILL "${TRIREME_TEST_SECONDS:-120}" ${TRIREME_TEST_LAUNCHER:-"$here/local.sh"} "$count" "$bundle" \
        --testing-library swift-testing --filter RankTests </dev/null || failed="$failed $count"
done
[ -z "$failed" ] || { echo "test-ranks.sh: failed with these numbers of ranks:$failed" >&2; exit 1; }
