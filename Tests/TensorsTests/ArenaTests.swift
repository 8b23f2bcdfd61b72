import Tensors
import Testing

@Suite struct ArenaTests {
    @Test func takesFollowEachOtherAlignedTo64() throws {
        let arena = try Arena(byteCount: 4096)
        #expect(arena.capacity == 4096 && arena.mark == 0 && arena.highWaterMark == 0)
        let bytes: UnsafeMutablePointer<UInt8> = arena.take(1)
        let floats = arena.take(17, of: Float.self)
        let nothing = arena.take(0, of: Double.self)
        let last: UnsafeMutablePointer<Int64> = arena.take(8)
        let start = UnsafeRawPointer(bytes)
        #expect(Int(bitPattern: start) % 64 == 0)
        #expect(UnsafeRawPointer(floats) - start == 64)
        #expect(UnsafeRawPointer(nothing) - start == 64 + 128)
        #expect(UnsafeRawPointer(last) - start == 64 + 128)
        #expect(arena.mark == 64 + 128 + 64)
    }

    @Test func rewindGivesBackWhatWasTakenSince() throws {
        let arena = try Arena(byteCount: 1024)
        let kept = arena.take(16, of: Float.self)
        kept.initialize(repeating: 3, count: 16)
        let mark = arena.mark
        let first = arena.take(32, of: Float.self)
        first.initialize(repeating: 5, count: 32)
        arena.rewind(to: mark)
        #expect(arena.mark == mark)
        #expect(arena.take(8, of: Float.self) == first)
        #expect((0..<16).allSatisfy { kept[$0] == 3 })
        arena.reset()
        #expect(arena.mark == 0)
        #expect(arena.take(1, of: Float.self) == kept)
    }

    @Test func highWaterMarkIsTheMostEverTaken() throws {
        let arena = try Arena(byteCount: 1024)
        _ = arena.take(100, of: UInt8.self)
        #expect(arena.highWaterMark == 128)
        let mark = arena.mark
        _ = arena.take(300, of: UInt8.self)
        #expect(arena.highWaterMark == 128 + 320)
        arena.rewind(to: mark)
        _ = arena.take(64, of: UInt8.self)
        #expect(arena.highWaterMark == 128 + 320)
        arena.reset()
        #expect(arena.highWaterMark == 128 + 320)
        // To the last byte.
        _ = arena.take(1024, of: UInt8.self)
        #expect(arena.highWaterMark == 1024)
    }

    @Test func roundedUpToWholeLines() {
        for count in 0...300 {
            let rounded = Arena.roundedUp(count)
            #expect(rounded % 64 == 0 && rounded >= count && rounded < count + 64)
        }
    }

    @Test func buffersAreZeroedAndOnAPage() throws {
        for byteCount in [0, 1, 4095, 10_000] {
            let buffer = try AlignedBuffer(byteCount: byteCount)
            #expect(buffer.byteCount == byteCount)
            #expect(Int(bitPattern: buffer.baseAddress) % 4096 == 0)
            #expect(UnsafeRawBufferPointer(start: buffer.baseAddress, count: byteCount).allSatisfy { $0 == 0 })
        }
    }

    @Test func memoryThatCannotBeHadIsAnError() {
        let error = #expect(throws: MemoryError.self) { try AlignedBuffer(byteCount: 1 << 62) }
        #expect(error?.description.contains("4194304.00 TiB") == true)
    }
}
