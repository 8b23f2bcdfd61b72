# The functions that local.sh and hosts.sh share; they source this file. `launch ARGUMENT...` runs mpirun with these
# arguments, and exits: with 130 if this script was told to end, else with the status that a rank has said, or if none
# has, with 75 if mpirun has lost a host, else with mpirun's.
#
# INT, TERM, HUP and QUIT end the job. Open MPI 4.1.4 then waits a second, sends its ranks SIGTERM and a second later
# SIGKILL, and exits with 1 whatever they returned. The time between the two (odls_base_sigkill_timeout) is not
# shortened: with 0 the SIGKILL would come at once, and ranks could neither say goodbye nor name a rank that was lost.
#
# A second signal makes mpirun give up its ranks. So a signal that came to the whole process group, to which mpirun
# belongs, must not be passed on. A sleeping process in the group shows whether it did, because such a signal ends it.
# If mpirun still runs after 4 seconds it is killed, and its ranks die with it (`cprocess_install`).

launch() {
    # If standard input is closed, mpirun waits for ever for the end of its input. If standard output is closed, mpirun
    # hides that output goes nowhere.
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
    # A program may start this script with signals blocked, as Swift's Process does. If SIGCHLD is blocked, dash waits
    # for ever. Starting a command makes dash unblock all signals.
    env true
    # If it may open fewer files, Open MPI 4.1.4's mpirun hangs.
    files=$(ulimit -n) needed=$((40 + 8 * ${ranks:-1}))
    if [ "$files" != unlimited ] && [ "$files" -lt "$needed" ]; then
        echo "$0: mpirun may open $files files only, and needs $needed: raise ulimit -n" >&2
        exit 75
    fi
    [ "$(id -u)" -ne 0 ] || set -- --allow-run-as-root "$@"
    # Under mpirun a rank's standard error is no terminal, so this variable tells ranks whether the script's is one.
    unset TRIREME_PROGRESS
    if [ -t 2 ]; then
        export TRIREME_PROGRESS=1
        set -- -x TRIREME_PROGRESS "$@"
    fi
    # A rank that says why the job ends writes the job's status into this file, and a job that ends well removes the
    # file. So this script returns the status that was said, whatever mpirun returns. If a signal ended the job and no
    # rank has said so, this script does.
    unset TRIREME_LAST_WORDS
    last_words=$(mktemp 2>/dev/null) || last_words=
    if [ -n "$last_words" ]; then
        export TRIREME_LAST_WORDS="$last_words"
        set -- -x TRIREME_LAST_WORDS "$@"
    fi
    # If hosts.sh wants mpirun's own messages, they go to its file, else nowhere.
    [ -n "${messages:=}" ] || set -- --quiet "$@"
    set -- mpirun "$@"
    echo "$*" >&2

    # Commands in the background ignore SIGINT, but the sleeper must not.
    bound KILL env --default-signal=INT sleep 2147483647 </dev/null >/dev/null 2>&1 &
    sleeper=$!
    trap 'kill "$sleeper" $watcher 2>/dev/null || :; rm -f "$last_words" "$messages"' EXIT
    watcher=
    interrupted=
    trap 'interrupted=1' INT TERM HUP QUIT
    # mpirun runs in the background, because a shell acts on no signal while it waits for a command in the foreground. A
    # command in the background does not get standard input by itself, so it is passed as descriptor 3.
    exec 3<&0
    # This keeps mpirun from printing a stack when it crashes itself, as at the end of a job that has lost a rank early.
    export OMPI_MCA_opal_signal=
    bound TERM "$@" <&3 3<&- &
    mpirun=$!
    exec 3<&-
    if [ -n "$messages" ]; then
        end_after_loss </dev/null >/dev/null 2>&1 &
        watcher=$!
    fi
    status=0 reason=
    wait "$mpirun" 2>/dev/null || status=$? # a signal ends a wait
    if [ -n "$interrupted" ]; then
        # If VTALRM (26) ends the sleeper, no signal to the group had ended it before.
        ended=0
        kill -VTALRM "$sleeper" 2>/dev/null || :
        wait "$sleeper" 2>/dev/null || ended=$?
        [ "$ended" -ne $((128 + 26)) ] || kill -TERM "$mpirun" 2>/dev/null || :
        # The script counts its looks, because `wait` has no time limit.
        looks=0
        while kill -0 "$mpirun" 2>/dev/null && [ "$looks" -lt 40 ]; do
            sleep 0.1 || :
            looks=$((looks + 1))
        done
        kill -KILL "$mpirun" 2>/dev/null || :
        wait "$mpirun" 2>/dev/null || :
        status=130 reason="interrupted"
    elif [ "$status" -ne 0 ] && [ -n "$(lost_hosts)" ]; then
        status=75 reason="mpirun has lost its connection to $(lost_hosts); ending the job"
    elif [ "$status" -gt 128 ]; then
        reason="a rank, or mpirun, was ended by signal $((status - 128)), and no rank could say which"
    fi
    # --quiet would let these through.
    [ -z "$messages" ] || grep '^\[' "$messages" >&2 || :
    # Where the file is gone, a rank has said why the job ends; but ranks know nothing of a host that mpirun has lost.
    said=
    if [ -e "$last_words" ]; then
        said=$(cat "$last_words")
    elif [ -z "$(lost_hosts)" ]; then
        reason=
    fi
    [ -n "$said" ] || [ -z "$reason" ] || echo "$0: $reason" >&2
    [ -n "$interrupted" ] || status=${said:-$status}
    exit "$status"
}

# Prints the names of the hosts whose daemons mpirun has said to have lost. mpirun says it only if that is what ends the
# job, and then exits with 205, or with 1 if a rank had not begun.
lost_hosts() {
    [ -z "$messages" ] || sed -n 's/.*Remote daemon: .* on node //p' "$messages" | paste -sd ' ' -
}

# Kills mpirun 5 seconds after it has lost a host, or a rank has said why the job ends. If several hosts are lost,
# mpirun tells those that it does not miss yet to end, and the system tries for a quarter of an hour to deliver that.
end_after_loss() {
    until [ -n "$(lost_hosts)" ] || [ -s "$last_words" ]; do
        kill -0 "$mpirun" || return 0
        sleep 1
    done
    sleep 5
    kill -KILL "$mpirun"
}

# bound SIGNAL COMMAND...: replaces the shell by the command, which gets the signal if this script is killed.
bound() {
    signal=$1
    shift
    ! command -v setpriv >/dev/null || set -- setpriv --pdeathsig "$signal" "$@"
    exec "$@"
}
