import Glibc
import Synchronization

/// Remembers that the user or the launcher wants the program to end: SIGINT, SIGTERM, or SIGHUP unless that is ignored.
///
/// The engine looks at `isRaised` between steps and ends in an orderly way with status 130. A second signal ends the
/// process at once.
///
/// What Open MPI 4.1.4 does on Ctrl-C (tried): the ranks are process groups of their own, so only mpirun receives the
/// terminal's SIGINT. It sends each rank SIGTERM (never SIGINT), one second later SIGKILL
/// (`odls_base_sigkill_timeout`), and itself exits with status 1 whatever its ranks return. So a rank takes SIGTERM
/// for an interrupt and has less than a second to end, and `Launch/local.sh` turns mpirun's 1 into 130.
public enum InterruptFlag {
    private static let raised = Atomic<Int32>(0)
    private static let wakeDescriptor = Atomic<Int32>(-1)
    private static let sender = Atomic<Int32>(0)
    private static let isRaisedElsewhere = Atomic<Bool>(false)
    private static let isInstalled = Atomic<Bool>(false)

    /// Whether the program should end.
    public static var isRaised: Bool {
        raised.load(ordering: .relaxed) != 0 || isRaisedElsewhere.load(ordering: .relaxed)
    }

    /// Whether the process that started this one has sent the signal: it ends the whole job.
    static var isFromLauncher: Bool { sender.load(ordering: .relaxed) == getppid() }

    /// The signal that was received first, if any.
    public static var signal: Int32? {
        let number = raised.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    /// Starts to catch the signals; calling it again changes nothing.
    public static func install() {
        // Reads both before a handler can: the first access of a global may initialise it, which no handler should.
        guard !isRaised, wakeDescriptor.load(ordering: .relaxed) >= -1 else { return }
        guard !isInstalled.exchange(true, ordering: .relaxed) else { return }
        var action = sigaction()
        action.__sigaction_handler.sa_sigaction = { number, info, _ in
            InterruptFlag.note(number, from: info?.pointee._sifields._kill.si_pid ?? 0)
        }
        // A read or write that is under way goes on; the flag is looked at between steps.
        action.sa_flags = SA_RESTART | SA_SIGINFO
        sigemptyset(&action.sa_mask)
        var unblocked = sigset_t()
        sigemptyset(&unblocked)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            // As nohup wants it.
            guard number != SIGHUP || !isIgnored(number) else { continue }
            sigaction(number, &action, nil)
            sigaddset(&unblocked, number)
        }
        // A program started from a thread that blocks signals (Dispatch's do) inherits that.
        pthread_sigmask(SIG_UNBLOCK, &unblocked, nil)
    }

    /// Raises the flag as if the signal had come; for programs with their own source of interrupts, and for tests.
    public static func raise(_ number: Int32 = SIGINT) {
        note(number, from: 0)
    }

    /// Raises the flag because another rank was told to end; this rank's own signal, which may follow, is not its second.
    static func raiseElsewhere() {
        isRaisedElsewhere.store(true, ordering: .relaxed)
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        sigaction(number, nil, &action)
        // SIG_IGN, a macro that Swift cannot import.
        return withUnsafeBytes(of: &action.__sigaction_handler) { $0.load(as: Int.self) } == 1
    }

    /// Lets a byte be written to this pipe when the flag is raised; -1 for none.
    static func wake(_ descriptor: Int32) {
        wakeDescriptor.store(descriptor, ordering: .relaxed)
    }

    /// Stops waking that pipe, if it is still the one to wake.
    static func stopWaking(_ descriptor: Int32) {
        _ = wakeDescriptor.compareExchange(expected: descriptor, desired: -1, ordering: .relaxed)
    }

    /// Runs inside the signal handler: atomics, `write` and `_exit` only.
    private static func note(_ number: Int32, from process: Int32) {
        let saved = errno
        sender.store(process, ordering: .relaxed)
        if raised.exchange(number, ordering: .relaxed) != 0 { _exit(130) }
        let descriptor = wakeDescriptor.load(ordering: .relaxed)
        if descriptor >= 0 {
            var byte: UInt8 = 1
            _ = Glibc.write(descriptor, &byte, 1)
        }
        errno = saved
    }
}
