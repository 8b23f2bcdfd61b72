import Glibc

/// The state that all ranks of one `withRanks` share: a lock, messages, and the ranks that have failed or ended.
///
/// All groups use one lock and one condition: ranks as threads serve tests, in which it matters more to be simple and
/// never to hang than to be fast.
///
/// `@unchecked Sendable`: every property is read and written with the lock held.
final class ThreadWorld: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var failure: (rank: Int, error: any Error)?
    private var hasEnded: [Bool]
    private var mailboxes: [Mailbox: [[UInt8]]] = [:]

    /// Where a message waits; there is one queue for each group, pair of ranks and tag.
    struct Mailbox: Hashable {
        let group: ObjectIdentifier
        let sender: Int
        let receiver: Int
        let tag: Int32
    }

    init(count: Int) {
        hasEnded = Array(repeating: false, count: count)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with the lock held.
    func locked<Result>(_ body: () throws(CommunicationError) -> Result) throws(CommunicationError) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Waits, with the lock held, until `isDone` holds.
    ///
    /// Unless `mustComplete` is set, it throws when a rank has failed, when one of `awaited()` has ended, or when the
    /// time is over.
    ///
    /// - Parameters:
    ///   - members: the number in this world of each rank of the group.
    ///   - awaited: ranks of the group that are waited for.
    func wait(
        for operation: CollectiveOperation, members: [Int], timeout: Duration?, mustComplete: Bool = false,
        awaited: () -> [Int], until isDone: () -> Bool
    ) throws(CommunicationError) {
        let began = OperationClock.now()
        while !isDone() {
            guard !mustComplete else {
                pthread_cond_wait(changed, mutex)
                continue
            }
            if let failure { throw .rankFailed(rank: failure.rank, message: "\(failure.error)") }
            if let ended = awaited().first(where: { hasEnded[members[$0]] }) {
                throw .rankEnded(operation: "\(operation)", rank: ended)
            }
            guard let timeout else {
                pthread_cond_wait(changed, mutex)
                continue
            }
            if OperationClock.now() - began > timeout.nanoseconds {
                throw .timedOut(operation: "\(operation)", absent: awaited(), hosts: [], after: timeout)
            }
            // Wakes up often to look at the monotonic clock, because the condition uses another one.
            var soon = timespec()
            clock_gettime(CLOCK_REALTIME, &soon)
            soon.tv_nsec += 10_000_000
            if soon.tv_nsec >= 1_000_000_000 {
                soon = timespec(tv_sec: soon.tv_sec + 1, tv_nsec: soon.tv_nsec - 1_000_000_000)
            }
            pthread_cond_timedwait(changed, mutex, &soon)
        }
    }

    /// Wakes every waiting rank, so that it checks its condition again; the lock must be held.
    func announce() {
        pthread_cond_broadcast(changed)
    }

    /// Notes that a rank's body has returned or thrown, and keeps the first error.
    func end(rank: Int, error: (any Error)?) {
        pthread_mutex_lock(mutex)
        hasEnded[rank] = true
        if let error, failure == nil { failure = (rank, error) }
        announce()
        pthread_mutex_unlock(mutex)
    }

    /// The first error of any rank; read when all ranks have ended.
    var firstError: (any Error)? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return failure?.error
    }

    /// Puts a message into its box; the lock must be held.
    func post(_ message: [UInt8], to box: Mailbox) {
        mailboxes[box, default: []].append(message)
        announce()
    }

    /// Says whether a message waits in the box; the lock must be held.
    func hasMessage(in box: Mailbox) -> Bool {
        mailboxes[box]?.isEmpty == false
    }

    /// Takes the oldest message out of the box; the lock must be held.
    func take(from box: Mailbox) -> [UInt8]? {
        guard hasMessage(in: box) else { return nil }
        return mailboxes[box]?.removeFirst()
    }
}

/// The state that the ranks of one group share: how often each has arrived, and the data that each shows the others.
///
/// `@unchecked Sendable`: properties are written with the world's lock held; `deposits` are read without it only
/// between the two meetings of an operation, when no rank writes them.
final class ThreadGroup: @unchecked Sendable {
    /// What a rank shows the others during an operation.
    struct Deposit {
        var base: UnsafeMutableRawPointer?
        var byteCount = 0
        var color = 0
        var key = 0
    }

    let world: ThreadWorld
    /// The number in the world of each rank of this group.
    let members: [Int]
    private(set) var deposits: [Deposit]
    private var arrivals: [Int]
    private var splits: [Int: (group: ThreadGroup, left: Int)] = [:]

    init(world: ThreadWorld, members: [Int]) {
        self.world = world
        self.members = members
        deposits = Array(repeating: Deposit(), count: members.count)
        arrivals = Array(repeating: 0, count: members.count)
    }

    /// Shows a deposit to the others, and waits until every rank of the group has arrived as often as this one.
    ///
    /// The meeting that ends an operation sets `mustComplete`: all ranks are in the operation and will arrive, and none
    /// may leave while another still reads its buffer.
    func meet(
        rank: Int, for operation: CollectiveOperation, timeout: Duration? = nil, mustComplete: Bool = false,
        _ deposit: Deposit? = nil
    ) throws(CommunicationError) {
        try world.locked { () throws(CommunicationError) in
            if let deposit { deposits[rank] = deposit }
            arrivals[rank] += 1
            let mine = arrivals[rank]
            world.announce()
            try world.wait(for: operation, members: members, timeout: timeout, mustComplete: mustComplete) {
                members.indices.filter { arrivals[$0] < mine }
            } until: {
                arrivals.allSatisfy { $0 >= mine }
            }
        }
    }

    /// Gives the group of a color; the first of its ranks that asks makes it, and the last removes it from the table.
    func subgroup(color: Int, ranks: [Int]) throws(CommunicationError) -> ThreadGroup {
        try world.locked { () throws(CommunicationError) in
            let known = splits[color] ?? (ThreadGroup(world: world, members: ranks.map { members[$0] }), ranks.count)
            splits[color] = known.left > 1 ? (known.group, known.left - 1) : nil
            return known.group
        }
    }
}
