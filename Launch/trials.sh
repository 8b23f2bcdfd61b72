# Functions that trials of losses share; soak.sh and Tests/Findings/losses.sh source this file.

# Sets `drawn` to a random number below $1, the next number of the generator that `state` holds. It does not print the
# number, because $(draw) would run in a shell of its own, and `state` would not change.
draw() {
    state=$(((state * 1103515245 + 12345) % 2147483648))
    drawn=$((state / 65536 % $1))
}

# Prints the time in milliseconds.
now() { date +%s%3N; }

# Prints the process of rank $1 among the processes that the mpirun process $2 started.
process_of() {
    for pid in $(pgrep -P "$2"); do
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1" && echo "$pid" && return
    done
    return 0
}
