import CProcess
import Collectives
import Glibc
import TestSupport
import Testing

@testable import MPICollectives

/// Started by `Launch/test-ranks.sh` under a launcher; a plain `swift test` skips everything here.
let isUnderMPI = cprocess_rank() >= 0

/// The world, once a process; MPI ends when the test bundle exits.
func world() throws -> MPICommunicator {
    let world = try MPIRuntime.world()
    registerFinish()
    try world.learnHosts()
    return world
}

private let finishIsRegistered: Void = { _ = atexit { MPIRuntime.finish() } }()

private func registerFinish() { finishIsRegistered }

extension Trait where Self == ConditionTrait {
    /// Skips a test where the job has fewer ranks, or where they do not share a host though the test needs that.
    fileprivate static func needs(ranks: Int = 1, onOneHost: Bool = false) -> Self {
        // As the launcher says: asking MPI would need every rank to come.
        let sharesHost = cprocess_local_size() == cprocess_size()
        return .enabled(
            if: cprocess_size() >= ranks && (sharesHost || !onOneHost),
            "needs \(ranks) or more ranks\(onOneHost ? " on one host" : "")")
    }
}

/// Keeps for ever a group in which a wait has timed out.
///
/// Such a group has messages that nobody has received. A program ends then; a test goes on, and if it freed the group,
/// MPICH 4.0 would give the group's number, and so the messages, to the next group.
private func keep(_ group: any Communicator) { _ = Unmanaged.passRetained(group as AnyObject) }

/// One suite holds all tests over ranks: every rank must run them in the same order.
@Suite(.serialized, .enabled(if: isUnderMPI, "needs mpirun: Launch/test-ranks.sh"))
struct RankTests {
    @Test func theWorldKeepsTheLaw() throws {
        try Law(group: world()).check()
        try Law(group: CheckedCommunicator(world())).check()
    }

    /// Every path, by limits that are small and do not divide anything.
    @Test func everyPathKeepsTheLaw() throws {
        for (whole, reduce, message) in [(0, 4096, 1000), (1 << 30, 1 << 30, 1 << 30), (256, 1000, 7777)] {
            let world = try world()
            var limits = MPILimits(messageByteCount: max(message, reduce), reduceByteCount: reduce)
            limits.tuning.wholeByteCount = whole
            limits.hosts = world.limits.hosts
            let group = try MPICommunicator(handle: world.handle, owned: false, limits: limits)
            try Law(group: group).check()
        }
    }

    /// Slots that are small and do not divide anything, processors that must be shared, and the defaults.
    @Test(.needs(ranks: 2, onOneHost: true)) func sharedMemoryKeepsTheLaw() throws {
        let world = try world()
        for (slot, spins, whole) in [
            (4096, nil, .max), (12_288, 0, 1000), (SharedMemoryCommunicator.Options().slotByteCount, nil, 0),
        ] {
            var options = SharedMemoryCommunicator.Options()
            options.slotByteCount = slot
            options.spins = spins
            let group = try SharedMemoryCommunicator(world, options: options)
            group.wholeByteCount = whole
            try Law(group: group).check()
        }
        try Law(group: CheckedCommunicator(SharedMemoryCommunicator(world))).check()
    }

    /// As in a container whose /dev/shm is small.
    @Test(.needs(ranks: 2, onOneHost: true)) func withoutRoomForSharedMemoryThereAreMessages() throws {
        let world = try world()
        var limits = MPILimits()
        limits.hosts = world.limits.hosts
        limits.windowRoom = { 4096 }
        let group = try MPICommunicator(handle: world.handle, owned: false, limits: limits).fastest()
        #expect(Backend(of: group) == .messages)
        try Law(group: group).check()
        #expect(Backend(of: try group.split(color: 0, key: world.rank)) == .messages)
    }

    @Test(.needs(ranks: 2, onOneHost: true)) func sharedMemoryNamesWhoAskedForWhat() throws {
        let world = try world()
        for isShort in [true, false] {
            let group = try SharedMemoryCommunicator(world)
            var values = [Float](repeating: 1, count: 1000)
            do {
                if world.rank == 1, isShort {
                    try group.barrier()
                } else {
                    let count = world.rank == 1 ? 999 : 1000
                    try values.withUnsafeMutableBufferPointer { try group.allReduce(.init(rebasing: $0[..<count])) }
                }
                Issue.record("no error")
            } catch let error as CommunicationError {
                let wish = isShort ? "rank 1 wants barrier" : "rank 1 wants allReduce (sum) of 3996 bytes of float32"
                #expect("\(error)".contains(wish))
            }
        }
    }

    /// Ranks that stand for hosts of one, two or more ranks each, where those nest.
    @Test(.needs(ranks: 2, onOneHost: true)) func hostsKeepTheLaw() throws {
        let world = try world()
        for perHost in [1, 2, 4] where perHost < world.size {
            let sizes = stride(from: 0, to: world.size, by: perHost).map { min(perHost, world.size - $0) }
            guard ReductionTree.nests(sizes) else { continue }
            for leaderByteCount in [0, 2000, .max] {
                let copy = try world.splitMessages(color: 0, key: world.rank)
                copy.limits.tuning.leaderByteCount = leaderByteCount
                try Law(group: HierarchicalCommunicator(copy, sizes: sizes)).check()
            }
        }
    }

    /// By its number among all ranks, whatever the group; also when it is waited for by way of others.
    @Test(.needs(ranks: 2, onOneHost: true)) func everyWayNamesWhoDoesNotCome() throws {
        let world = try world()
        let lost = world.size - 1
        func copy() throws -> MPICommunicator { try world.splitMessages(color: 0, key: 0) }
        // Without rank 0, so that numbers in the group are others.
        let part = try world.splitMessages(color: min(world.rank, 1), key: 0)
        var groups: [any Communicator] = [
            try SharedMemoryCommunicator(copy()), try copy(), CheckedCommunicator(try copy()), part,
        ]
        if world.size == 4 {
            let messages = try copy()
            groups.append(try HierarchicalCommunicator(messages, sizes: [2, 2]))
        }
        groups.forEach(keep)
        for group in groups {
            // Long enough for every other rank to come and answer, where all share two busy processors.
            group.timeout = .milliseconds(800)
            // Not in a wait of its own, which would answer.
            if world.rank == lost { usleep(2_800_000) }
            do {
                if world.rank != lost && (group !== part || world.rank > 0) && group.size > 1 {
                    var values = [Float](repeating: 1, count: 10)
                    try values.withUnsafeMutableBufferPointer { try group.allReduce($0) }
                    Issue.record("no error")
                }
            } catch let error as CommunicationError {
                guard case .timedOut(_, let absent, _, _) = error else { throw error }
                // Of several hosts, those that share the absent one's know it; they are the first to say so.
                let isOfHosts = group is HierarchicalCommunicator
                if !isOfHosts || world.rank == 2 {
                    #expect(absent == [lost], "\(type(of: group)) on rank \(world.rank): \(error)")
                }
            }
            // All are there again, in a group that knows nothing of this.
            try world.barrier()
        }
    }

    /// Rank 0 waits for rank 1, which waits elsewhere for one that does not come: that one is named.
    @Test(.needs(ranks: 3)) func whoWaitsIsNotToBlame() throws {
        let world = try world()
        let lost = world.size - 1
        let all = try world.splitMessages(color: 0, key: 0)
        let part = try all.splitMessages(color: min(world.rank, 1), key: 0)
        var groups: [any Communicator] = [part]
        if world.limits.hosts?.isOneHost == true { groups.append(try SharedMemoryCommunicator(part)) }
        (groups + [all]).forEach(keep)
        for group in groups {
            all.timeout = .milliseconds(300)
            group.timeout = .milliseconds(900)
            if world.rank == lost { usleep(2_500_000) }
            do {
                if world.rank == 0 {
                    try all.barrier()
                    Issue.record("no error")
                } else if world.rank != lost {
                    try group.barrier()
                    Issue.record("no error")
                }
            } catch {
                guard case .timedOut(_, let absent, _, _) = error else { throw error }
                #expect(absent == [lost], "rank \(world.rank): \(error)")
            }
            try world.barrier()
        }
    }

    /// As between hosts: messages carry the time.
    @Test func stampedMessagesKeepTheLaw() throws {
        let world = try world()
        for envelopeByteCount in [0, 100, 64 << 10] {
            let copy = try world.splitMessages(color: 0, key: 0)
            copy.limits.envelopeByteCount = envelopeByteCount
            copy.adopt(HostTable(hostOfRank: Array(0..<copy.size), names: try world.gatherHostNames()))
            try Law(group: copy).check()
        }
        // Sent long ago, nothing was waited for; sent only now, everything was.
        for (ahead, waits) in [(Int64(1) << 50, false), (-(Int64(1) << 50), true)] where world.size > 1 {
            let copy = try world.splitMessages(color: 0, key: 0)
            copy.clocks = (0..<world.size).map { $0 == world.rank ? nil : ahead }
            for length in [10, 1 << 20] {
                let before = copy.times
                var values = [Float](repeating: 1, count: length)
                try values.withUnsafeMutableBufferPointer { try copy.allReduce($0) }
                #expect(((copy.times - before).wait > .zero) == waits, "\(length) elements")
            }
        }
    }

    @Test(.needs(onOneHost: true)) func ranksOfOneHostAreKnown() throws {
        let world = try world()
        let hosts = try #require(world.limits.hosts)
        #expect(hosts.isOneHost && hosts.sizes(of: Array(0..<world.size)) == [world.size])
        #expect(hostNames(of: CheckedCommunicator(world)) == [String](repeating: hostName(), count: world.size))
        // Neighbours are put in order only where they are not.
        #expect(try world.orderedByHost() === world)
    }

    /// As if ranks were dealt to two hosts in turn.
    @Test(.needs(ranks: 3)) func ranksAreOrderedByHost() throws {
        let world = try world()
        let copy = try world.splitMessages(color: 0, key: 0)
        copy.adopt(
            HostTable(hostOfRank: (0..<copy.size).map { $0 % 2 }, names: (0..<copy.size).map { "host\($0 % 2)" }))
        let ordered = try copy.orderedByHost()
        let ranks = try ordered.gatherAll([world.rank]).map { $0[0] }
        #expect(ranks == (0..<world.size).sorted { ($0 % 2, $0) < ($1 % 2, $1) })
        #expect(hostNames(of: ordered) == ranks.map { "host\($0 % 2)" })
    }

    @Test(.needs(ranks: 2)) func tuningIsTheSameOnEveryRank() throws {
        let world = try world()
        let tuning = try world.splitMessages(color: 0, key: 0).measuredTuning()
        let sizes = [tuning.sharedWholeByteCount, tuning.wholeByteCount, tuning.leaderByteCount]
        let all = try world.gatherAll(sizes)
        #expect(tuning.isValid && Set(all).count == 1)
    }

    @Test func partsKeepTheLaw() throws {
        let world = try world()
        try Law(group: world.split(color: world.rank == 0 ? 0 : 1, key: 0)).check()
        let host = try world.splitByHost()
        try Law(group: host).check()
        try Law(group: world.fastest()).check()
        #expect(world.limits.hosts?.hostOfRank.count { $0 == world.limits.hosts?.hostOfRank[world.rank] } == host.size)
    }

    @Test func specialValuesKeepTheirBitsOnEveryRank() throws {
        let world = try world()
        var values = [Float](repeating: Float(bitPattern: 0x7FC0_0000 | UInt32(world.rank + 1)), count: 40)
        values[1] = world.rank == 0 ? .infinity : -.infinity
        values[2] = -0.0
        try values.withUnsafeMutableBufferPointer { try world.allReduce($0) }
        let bits = values.map(\.bitPattern)
        var all = [UInt32](repeating: 0, count: bits.count * world.size)
        try bits.withUnsafeBytes { bits in
            try all.withUnsafeMutableBytes { try world.allGather(bits, into: $0) }
        }
        for rank in 0..<world.size {
            #expect(Array(all[rank * bits.count..<(rank + 1) * bits.count]) == bits)
        }
        #expect(values[2].bitPattern == Float(-0.0).bitPattern)
    }

    @Test(.needs(ranks: 2)) func disagreementsAreNamedOnEveryRank() throws {
        let world = try world()
        let checked = CheckedCommunicator(world)
        do {
            if world.rank == 1 {
                try checked.barrier()
            } else {
                var values: [Float] = [1]
                try values.withUnsafeMutableBufferPointer { try checked.allReduce($0) }
            }
            Issue.record("no error")
        } catch let error as CommunicationError {
            #expect("\(error)".contains("rank 1 wants barrier"))
        }
    }

    @Test func agreementReachesEveryRank() throws {
        struct Broken: Error {}
        let world = try world()
        do {
            try agree(on: world, status: { _ in 66 }) {
                if world.rank == world.size - 1 { throw Broken() }
            }
            Issue.record("no error")
        } catch let error as AgreedError {
            #expect(error.rank == world.size - 1 && error.status == 66)
        }
    }

    @Test(.needs(ranks: 2)) func waitIsToldFromTransfer() throws {
        let world = try world()
        try world.barrier()
        let before = world.times
        if world.rank == 0 { usleep(50_000) }
        var values = [Float](repeating: 1, count: 1000)
        try values.withUnsafeMutableBufferPointer { try world.allReduce($0) }
        let spent = world.times - before
        if world.rank == 1 { #expect(spent.wait > .milliseconds(40) && spent.transfer < .milliseconds(20)) }
        try world.barrier()
    }

    @Test func theLibraryNamesItself() {
        #expect(mpiLibraryVersion().contains("MPI"))
    }
}
