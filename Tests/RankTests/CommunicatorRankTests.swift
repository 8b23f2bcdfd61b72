import Collectives
import Glibc
import Testing

@testable import MPICollectives

/// Started by `Launch/test-ranks.sh` under mpirun; a plain `swift test` skips everything here.
let isUnderMPI = getenv("OMPI_COMM_WORLD_SIZE") != nil

/// The world, once a process; MPI ends when the test bundle exits.
func world() throws -> MPICommunicator {
    let world = try MPIRuntime.world()
    registerFinish()
    return world
}

private let finishIsRegistered: Void = { _ = atexit { MPIRuntime.finish() } }()

private func registerFinish() { finishIsRegistered }

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
            let limits = MPILimits(
                messageByteCount: max(message, reduce), wholeByteCount: whole, reduceByteCount: reduce)
            let group = try MPICommunicator(handle: world().handle, owned: false, limits: limits)
            try Law(group: group).check()
        }
    }

    /// Slots that are small and do not divide anything, processors that must be shared, and the defaults.
    @Test func sharedMemoryKeepsTheLaw() throws {
        let world = try world()
        guard world.size > 1, try world.splitByHost().size == world.size else { return }
        for (slot, spins) in [(4096, nil), (12_288, 0), (SharedMemoryCommunicator.Options().slotByteCount, nil)] {
            var options = SharedMemoryCommunicator.Options()
            options.slotByteCount = slot
            options.spins = spins
            try Law(group: SharedMemoryCommunicator(world, options: options)).check()
        }
        try Law(group: CheckedCommunicator(SharedMemoryCommunicator(world))).check()
    }

    @Test func sharedMemoryNamesWhoAskedForWhat() throws {
        let world = try world()
        guard world.size > 1, try world.splitByHost().size == world.size else { return }
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

    @Test func sharedMemoryNamesWhoDoesNotCome() throws {
        let world = try world()
        guard world.size > 1, try world.splitByHost().size == world.size else { return }
        var options = SharedMemoryCommunicator.Options()
        options.timeout = .milliseconds(300)
        let group = try SharedMemoryCommunicator(world, options: options)
        do {
            if world.rank != 1 {
                try group.barrier()
                Issue.record("no error")
            }
        } catch {
            guard case .timedOut("barrier", [1], _) = error else { throw error }
        }
        try world.barrier()
    }

    @Test func partsKeepTheLaw() throws {
        let world = try world()
        try Law(group: world.split(color: world.rank == 0 ? 0 : 1, key: 0)).check()
        let host = try world.splitByHost()
        try Law(group: host).check()
        try Law(group: world.fastest()).check()
        #expect(host.size <= world.size)
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

    @Test func disagreementsAreNamedOnEveryRank() throws {
        let world = try world()
        guard world.size > 1 else { return }
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

    @Test func waitIsToldFromTransfer() throws {
        let world = try world()
        guard world.size > 1 else { return }
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
