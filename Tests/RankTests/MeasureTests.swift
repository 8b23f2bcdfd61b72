import Collectives
import Foundation
import Testing

@testable import MPICollectives

/// Prints what our operations cost beside the library's; only when `TRIREME_TEST_MEASURE` is set.
///
/// Use a release build: `swift build -c release --build-tests -Xswiftc -enable-testing`.
@Suite(.serialized, .enabled(if: isUnderMPI && ProcessInfo.processInfo.environment["TRIREME_TEST_MEASURE"] != nil))
struct MeasureRankTests {
    private func median(_ repeats: Int, _ world: MPICommunicator, _ body: () throws -> Void) throws -> Double {
        var times: [Int64] = []
        for _ in 0..<repeats {
            try world.barrier()
            let start = OperationClock.now()
            try body()
            times.append(OperationClock.now() - start)
        }
        return Double(times.sorted()[repeats / 2]) / 1000
    }

    @Test func allReduce() throws {
        let world = try world()
        for bytes in [4, 1024, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 1 << 20, 4 << 20, 16 << 20] {
            let repeats = bytes <= 65536 ? 3000 : 200
            let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: bytes / 4)
            values.initialize(repeating: 0)
            defer { values.deallocate() }
            let whole = try MPICommunicator(
                handle: world.handle, owned: false,
                limits: MPILimits(wholeByteCount: 1 << 30))
            let parts = try MPICommunicator(
                handle: world.handle, owned: false, limits: MPILimits(wholeByteCount: 0))
            let library = try median(repeats, world) { try world.libraryAllReduce(values) }
            let first = try median(repeats, world) { try whole.allReduce(values) }
            let second = try median(repeats, world) { try parts.allReduce(values) }
            if world.rank == 0 { print("all-reduce", bytes, "library", library, "whole", first, "segments", second) }
        }
    }

    @Test func broadcast() throws {
        let world = try world()
        for bytes in [4, 64, 1024, 4096, 65536, 1 << 20] {
            let data = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 64)
            data.initializeMemory(as: UInt8.self, repeating: 0)
            defer { data.deallocate() }
            let library = try median(2000, world) { try world.libraryBroadcast(data, from: 0) }
            let ours = try median(2000, world) { try world.broadcast(data, from: 0) }
            if world.rank == world.size - 1 { print("broadcast", bytes, "library", library, "ours", ours) }
        }
    }
}
