# Functions that the tests over several hosts and libraries share; test-hosts.sh and its siblings source this file. They
# set `here` to the folder of the scripts, and `products` to that of the programs.
# shellcheck shell=sh disable=SC2154 # they set these variables

# Ends the test well, because this machine lacks what it needs.
skip() {
    echo "$(basename "$0"): skipped: $*"
    exit 0
}

needs_namespaces() {
    [ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
    for program in ip tc; do
        command -v "$program" >/dev/null || skip "$program is missing: apt-get install iproute2"
    done
    unshare -n true 2>/dev/null || skip "this machine allows no network namespaces"
}

# Runs a command, which ends in `generate`, with the arguments of a short story; prints JSON.
story() {
    "$@" --model "$here/../Models/tale-23m" --prompt "Once upon" --max-tokens 20 --temperature 0 --logits-digest \
        --format json
}

# Prints the text and the digests of all logits of the story on standard input; nothing if there is none.
digest() { grep -o '"logits_digests":\[[^]]*\],"text":"[^"]*"' || true; }

# same_story NAME DIGEST: compares what `digest` gave with what it gives for one rank.
same_story() {
    alone=${alone:-$(story "$products/generate" 2>/dev/null | digest)}
    if [ -z "$alone" ] || [ "$alone" != "$2" ]; then
        echo "$(basename "$0"): $1 gives another story: '$2', not '$alone'" >&2
        exit 1
    fi
    echo "$1: text and logits are those of one rank"
}
