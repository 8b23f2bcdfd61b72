import Glibc
import Synchronization

/// Remembers that the user or the launcher wants the program to end.
///
/// SIGINT and SIGTERM raise it, and so does SIGHUP unless that is ignored. The engine looks at `isRaised` between steps
/// and ends in an orderly way with status 130. A second signal ends the process at once.
///
/// On Ctrl-C, Open MPI 4.1.4 behaves as follows. Each rank is a process group of its own, so only mpirun receives the
/// terminal's SIGINT. It sends each rank SIGTERM (never SIGINT), one second later SIGKILL
/// (`odls_base_sigkill_timeout`), and exits with status 1 whatever its ranks return. So a rank treats SIGTERM as an
/// interrupt and has less than a second to end, and `Launch/local.sh` turns mpirun's 1 into 130.
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

    /// Whether the parent process, which ends the whole job, has sent the signal.
    static var isFromLauncher: Bool { sender.load(ordering: .relaxed) == getppid() }

    /// The signal that was received; nil if none was.
    public static var signal: Int32? {
        let number = raised.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    /// Starts to catch the signals; calling it again changes nothing.
    public static func install() {
        // Both are read before a handler can read them: the first access of a global may initialise it, which no
        // handler may do.
        guard !isRaised, wakeDescriptor.load(ordering: .relaxed) >= -1 else { return }
        guard !isInstalled.exchange(true, ordering: .relaxed) else { return }
        var action = sigaction()
        action.__sigaction_handler.sa_sigaction = { number, info, _ in
            InterruptFlag.note(number, from: info?.pointee._sifields._kill.si_pid ?? 0)
        }
        // A read or write that is under way goes on, because the flag is looked at between steps.
        action.sa_flags = SA_RESTART | SA_SIGINFO
        sigemptyset(&action.sa_mask)
        var unblocked = sigset_t()
        sigemptyset(&unblocked)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            // `nohup` starts programs with SIGHUP ignored, which must stay so.
            guard number != SIGHUP || !isIgnored(number) else { continue }
            sigaction(number, &action, nil)
            sigaddset(&unblocked, number)
        }
        // A program inherits the blocked signals of the thread that started it; Dispatch's threads block some.
        pthread_sigmask(SIG_UNBLOCK, &unblocked, nil)
    }

    /// Raises the flag as if the signal had come, for tests and for programs with their own source of interrupts.
    public static func raise(_ number: Int32 = SIGINT) {
        note(number, from: 0)
    }

    /// Raises the flag because another rank was told to end; a signal to this rank that follows counts as its first.
    static func raiseElsewhere() {
        isRaisedElsewhere.store(true, ordering: .relaxed)
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        sigaction(number, nil, &action)
        // The value of SIG_IGN, a macro that Swift cannot import.
        return withUnsafeBytes(of: &action.__sigaction_handler) { $0.load(as: Int.self) } == 1
    }

    /// Makes the handler write a byte to this pipe when the flag is raised.
    static func wake(_ descriptor: Int32) {
        wakeDescriptor.store(descriptor, ordering: .relaxed)
    }

    /// Makes the handler stop writing to this pipe, if it still does.
    static func stopWaking(_ descriptor: Int32) {
        _ = wakeDescriptor.compareExchange(expected: descriptor, desired: -1, ordering: .relaxed)
    }

    /// Raises the flag; it runs inside the signal handler, where only atomics, `write` and `_exit` are allowed.
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
