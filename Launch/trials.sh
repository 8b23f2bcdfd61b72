# What trials of losses share; soak.sh and Tests/Findings/losses.sh source it.

# Sets `drawn` to a random number below $1, the next of those that `state` began with. (Printed, it would be drawn in a shell of
# its own.)
draw() {
    state=$(((state * 1103515245 + 12345) % 2147483648))
    drawn=$((state / 65536 % $1))
}

# Milliseconds of the clock.
now() { date +%s%3N; }

# The process of rank $1 among those that mpirun's process $2 started.
process_of() {
    for pid in $(pgrep -P "$2"); do
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1" && echo "$pid" && return
    done
    return 0
}
