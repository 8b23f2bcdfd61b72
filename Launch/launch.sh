# What local.sh and hosts.sh share; they source it. `launch ARGUMENT...` runs mpirun with these arguments and exits as the job
# ends: with mpirun's status, or with 130 when this script was told to end.
#
# INT, TERM, HUP and QUIT end the job. Open MPI 4.1.4 then waits a second, ends its ranks by SIGTERM, a second later by SIGKILL,
# and exits with 1 whatever they returned. That second (odls_base_sigkill_timeout) is not shortened: with 0 the SIGKILL comes at
# once, and ranks could neither say goodbye nor name a rank that was lost. A second signal makes mpirun give up its ranks, so
# what came to the whole process group, mpirun in it, is not passed on: a sleeper in the group tells. An mpirun that is still
# there after 4 seconds is killed, and its ranks die with it (`cprocess_install`).

launch() {
    # mpirun waits for ever for the end of a closed input; it hides that output goes nowhere.
    [ -e /dev/fd/2 ] || exec 2>/dev/null
    unset TRIREME_INPUT
    if ! [ -e /dev/fd/0 ]; then
        exec </dev/null
        export TRIREME_INPUT=closed
        set -- -x TRIREME_INPUT "$@"
    fi
    if ! [ -e /dev/fd/1 ]; then
        case " $* " in
        *" --output"*) exec >/dev/null ;;
        *)
            echo "$0: standard output is closed: give results a place, such as --output FILE" >&2
            exit 65
            ;;
        esac
    fi
    # A program may start this script with signals blocked (Swift's Process does), even that of a child's end, and dash would wait
    # for ever. Starting a command makes it unblock all.
    env true
    # With fewer, Open MPI 4.1.4's mpirun hangs.
    files=$(ulimit -n) needed=$((40 + 8 * ${ranks:-1}))
    if [ "$files" != unlimited ] && [ "$files" -lt "$needed" ]; then
        echo "$0: mpirun may open $files files only, and needs $needed: raise ulimit -n" >&2
        exit 75
    fi
    [ "$(id -u)" -ne 0 ] || set -- --allow-run-as-root "$@"
    # Under mpirun a rank cannot see a terminal on standard error, so it is told of ours.
    unset TRIREME_PROGRESS
    if [ -t 2 ]; then
        export TRIREME_PROGRESS=1
        set -- -x TRIREME_PROGRESS "$@"
    fi
    # A rank that says why the job ends writes the status into this file, and a job that ends well removes it: one that ends by a
    # signal shall not end without a word, and the status is the one that was said, whatever mpirun makes of its ranks' ends.
    unset TRIREME_LAST_WORDS
    last_words=$(mktemp 2>/dev/null) || last_words=
    if [ -n "$last_words" ]; then
        export TRIREME_LAST_WORDS="$last_words"
        set -- -x TRIREME_LAST_WORDS "$@"
    fi
    set -- mpirun --quiet "$@"
    echo "$*" >&2

    # Commands in the background ignore SIGINT; the sleeper shall not.
    bound KILL env --default-signal=INT sleep 2147483647 </dev/null >/dev/null 2>&1 &
    sleeper=$!
    trap 'kill "$sleeper" 2>/dev/null || :; rm -f "$last_words"' EXIT
    interrupted=
    trap 'interrupted=1' INT TERM HUP QUIT
    # In the background, because a shell acts on no signal while it waits for a command in the foreground; with standard
    # input, which a command in the background would not get by itself.
    exec 3<&0
    # mpirun's own crashes, such as one at the end of a job that has lost a rank early, print no stack.
    export OMPI_MCA_opal_signal=
    bound TERM "$@" <&3 3<&- &
    mpirun=$!
    exec 3<&-
    status=0
    wait "$mpirun" 2>/dev/null || status=$? # a signal ends a wait
    if [ -n "$interrupted" ]; then
        # Where VTALRM (26) ends the sleeper, no signal of the group had done so before.
        ended=0
        kill -VTALRM "$sleeper" 2>/dev/null || :
        wait "$sleeper" 2>/dev/null || ended=$?
        [ "$ended" -ne $((128 + 26)) ] || kill -TERM "$mpirun" 2>/dev/null || :
        # By a count, because `wait` has no limit.
        looks=0
        while kill -0 "$mpirun" 2>/dev/null && [ "$looks" -lt 40 ]; do
            sleep 0.1 || :
            looks=$((looks + 1))
        done
        kill -KILL "$mpirun" 2>/dev/null || :
        wait "$mpirun" 2>/dev/null || :
        status=130 reason="interrupted"
    elif [ "$status" -gt 128 ]; then
        reason="a rank, or mpirun, was ended by signal $((status - 128)), and no rank could say which"
    fi
    if [ -e "$last_words" ]; then
        said=$(cat "$last_words")
        [ -n "$said" ] || [ "$status" -le 128 ] || echo "$0: $reason" >&2
        [ -n "$interrupted" ] || status=${said:-$status}
    fi
    exit "$status"
}

# bound SIGNAL COMMAND...: becomes the command, which gets the signal should this script be killed.
bound() {
    signal=$1
    shift
    ! command -v setpriv >/dev/null || set -- setpriv --pdeathsig "$signal" "$@"
    exec "$@"
}
