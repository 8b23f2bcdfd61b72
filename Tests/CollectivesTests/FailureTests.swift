import Collectives
import Glibc
import Synchronization
import Testing

/// What happens when ranks fail or disagree: an error that names them, and never a hang.
@Suite struct FailureTests {
    struct Broken: Error, Equatable {
        let rank: Int
    }

    @Test func theFirstErrorReleasesTheOthers() throws {
        let released = Mutex(0)
        #expect(throws: Broken(rank: 2)) {
            _ = try withRanks(4) { group in
                if group.rank == 2 { throw Broken(rank: 2) }
                do {
                    var value: [Float] = [1]
                    try value.withUnsafeMutableBufferPointer { try group.allReduce($0) }
                } catch let error as CommunicationError {
                    released.withLock { $0 += 1 }
                    #expect(error == .rankFailed(rank: 2, message: "\(Broken(rank: 2))"))
                    throw error
                }
            }
        }
        #expect(released.withLock(\.self) == 3)
    }

    @Test func aRankInAnotherGroupIsReleasedToo() throws {
        #expect(throws: Broken(rank: 0)) {
            _ = try withRanks(4) { group in
                let half = try group.split(color: group.rank / 2, key: 0)
                if group.rank == 0 { throw Broken(rank: 0) }
                // The other half waits for messages that never come.
                var byte: [UInt8] = [0]
                try byte.withUnsafeMutableBytes {
                    try half.receive(into: $0, from: 1 - half.rank, tag: MessageTag(rawValue: 1))
                }
            }
        }
    }

    @Test func aRankThatLeavesEarlyIsNamed() throws {
        #expect(throws: CommunicationError.rankEnded(operation: "barrier", rank: 1)) {
            _ = try withRanks(3) { group in
                if group.rank != 1 { try group.barrier() }
            }
        }
        #expect(throws: CommunicationError.rankEnded(operation: "receive", rank: 0)) {
            _ = try withRanks(2) { group in
                guard group.rank == 1 else { return }
                var byte: [UInt8] = [0]
                try byte.withUnsafeMutableBytes { try group.receive(into: $0, from: 0, tag: MessageTag(rawValue: 1)) }
            }
        }
    }

    @Test func differentLengthsAreFoundWithoutChecking() throws {
        let expected = CommunicationError.byteCountMismatch(
            operation: "allReduce", rank: 1, expected: 4, found: 8)
        #expect(throws: expected) {
            _ = try withRanks(2) { group in
                var values = [Float](repeating: 0, count: group.rank + 1)
                try values.withUnsafeMutableBufferPointer { try group.allReduce($0) }
            }
        }
    }

    @Test func differentOperationsAreNamedOnEveryRank() throws {
        let messages = try withRanks(3) { group in
            let checked = CheckedCommunicator(group)
            try checked.barrier()
            do {
                var values: [Float] = [1]
                if group.rank == 1 {
                    try values.withUnsafeMutableBytes { try checked.broadcast($0, from: 0) }
                } else {
                    try values.withUnsafeMutableBufferPointer { try checked.allReduce($0) }
                }
                return "no error"
            } catch {
                return "\(error)"
            }
        }
        for message in messages {
            #expect(
                message.contains(
                    "ranks 0, 2 want allReduce (sum) of 4 bytes of float32; rank 1 wants broadcast of 4 bytes from rank 0"
                ))
            #expect(message.contains("operation 2 "))
        }
    }

    @Test func differentRootsAndSizesAreNamed() throws {
        for (root, size, part) in [(true, false, "from rank 1"), (false, true, "of 2 bytes")] {
            let messages = try withRanks(2) { group in
                let checked = CheckedCommunicator(group)
                var data = [UInt8](repeating: 0, count: size ? group.rank + 1 : 1)
                do {
                    try data.withUnsafeMutableBytes { try checked.broadcast($0, from: root ? group.rank : 0) }
                    return "no error"
                } catch {
                    return "\(error)"
                }
            }
            #expect(messages.allSatisfy { $0.contains(part) && $0.contains("rank 1 wants") })
        }
    }

    @Test func aMessageOfAnotherLengthIsNamed() throws {
        #expect(throws: CommunicationError.self) {
            _ = try withRanks(2) { group in
                let checked = CheckedCommunicator(group)
                var data = [UInt8](repeating: 0, count: group.rank + 1)
                let tag = MessageTag(rawValue: 9)
                if group.rank == 0 {
                    try data.withUnsafeBytes { try checked.send($0, to: 1, tag: tag) }
                } else {
                    try data.withUnsafeMutableBytes { try checked.receive(into: $0, from: 0, tag: tag) }
                }
            }
        }
    }

    @Test func agreementGivesEveryRankTheLowestFailure() throws {
        let errors = try withRanks(4) { group in
            do {
                return try agree(on: group, status: { _ in 66 }) {
                    if group.rank == 3 || group.rank == 1 { throw Broken(rank: group.rank) }
                    return nil as AgreedError?
                }
            } catch let error as AgreedError {
                return error
            }
        }
        for error in errors {
            #expect(error?.rank == 1 && error?.status == 66 && error?.host == hostName())
            #expect(error?.message == "\(Broken(rank: 1))")
            #expect(error?.description == "rank 1 on \(hostName()): \(Broken(rank: 1))")
        }
    }

    @Test func agreementKeepsAnInnerAgreementAndPassesResults() throws {
        let solo = SoloCommunicator()
        #expect(try agree(on: solo, status: { _ in 1 }) { 42 } == 42)
        do {
            try agree(on: solo, status: { _ in 1 }) {
                try agree(on: solo, status: { _ in 65 }) { throw Broken(rank: 0) }
            }
            Issue.record("no error")
        } catch let error as AgreedError {
            #expect(error.status == 65 && error.description == "\(Broken(rank: 0))")
        }
    }

    @Test func aLongMessageIsCutBetweenCharacters() throws {
        struct Wordy: Error, CustomStringConvertible {
            var description: String { String(repeating: "ä", count: 3000) }
        }
        do {
            try agree(on: SoloCommunicator(), status: { _ in 1 }) { throw Wordy() }
        } catch let error as AgreedError {
            #expect(error.message.allSatisfy { $0 == "ä" } && error.message.count == 1023)
        }
    }

    @Test func whoDoesNotComeIsNamed() throws {
        let found = try withRanks(3) { group -> [Int]? in
            group.timeout = .milliseconds(50)
            var absent: [Int]?
            do {
                if group.rank != 1 { try group.barrier() }
            } catch let error as CommunicationError {
                guard case .timedOut("barrier", let ranks, _, _) = error else { throw error }
                absent = ranks
            }
            if group.rank == 1 { usleep(200_000) }
            return absent
        }
        #expect(found == [[1], nil, [1]])
    }

    /// What may take any time is waited for.
    @Test func patienceHasNoLimit() throws {
        _ = try withRanks(2) { group in
            group.timeout = .milliseconds(20)
            if group.rank == 1 { usleep(100_000) }
            try group.patiently { () throws(CommunicationError) in try group.barrier() }
        }
    }
}
