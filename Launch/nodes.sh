# default_ranks [SYSTEM [STATUS]]: prints how many ranks use this machine best: one for each node of memory near which
# this process may run, or the largest power of two below, because then every number of ranks gives the same answer.
#
# SYSTEM has the folder `node`, and STATUS the line Cpus_allowed_list; others than the defaults are for tests.
default_ranks() {
    system=${1:-/sys/devices/system} status=${2:-/proc/self/status}
    allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$status")
    for list in "$system"/node/node*/cpulist; do
        [ ! -r "$list" ] || printf '%s\n' "$(cat "$list")"
    done | awk -v allowed="$allowed" '
        function expand(list, set,    parts, ends, count, i, p) {
            count = split(list, parts, ",")
            for (i = 1; i <= count; i++) {
                if (split(parts[i], ends, "-") == 1) ends[2] = ends[1]
                for (p = ends[1]; p <= ends[2]; p++) set[p + 0] = 1
            }
        }
        BEGIN { expand(allowed, may) }
        {
            split("", near)
            expand($0, near)
            for (p in near) if (p in may) { nodes++; break }
        }
        END { for (ranks = 1; 2 * ranks <= nodes && ranks < 8; ) ranks *= 2; print ranks }'
}
