import Collectives
import TestSupport
import Testing

@Suite struct CommunicatorTests {
    @Test func soloKeepsTheLaw() throws {
        try Law(group: SoloCommunicator()).check()
        try Law(group: CheckedCommunicator(SoloCommunicator())).check()
    }

    @Test(arguments: 1...5) func threadsKeepTheLaw(count: Int) throws {
        let ranks = try withRanks(count) { group in
            try Law(group: group).check()
            return group.rank
        }
        #expect(ranks == Array(0..<count))
    }

    @Test(arguments: 1...5) func checkedThreadsKeepTheLaw(count: Int) throws {
        _ = try withRanks(count) { try Law(group: CheckedCommunicator($0)).check() }
    }

    @Test func soloHasNoPartners() {
        let solo = SoloCommunicator()
        let tag = MessageTag(rawValue: 0)
        #expect(throws: CommunicationError.toItself(operation: "send", rank: 0)) {
            try solo.send(UnsafeRawBufferPointer(start: nil, count: 0), to: 0, tag: tag)
        }
        #expect(throws: CommunicationError.noSuchRank(operation: "receive", rank: 1, groupSize: 1)) {
            try solo.receive(into: UnsafeMutableRawBufferPointer(start: nil, count: 0), from: 1, tag: tag)
        }
        #expect(throws: CommunicationError.noSuchRank(operation: "broadcast", rank: -1, groupSize: 1)) {
            try solo.broadcast(UnsafeMutableRawBufferPointer(start: nil, count: 0), from: -1)
        }
    }

    @Test func argumentsAreChecked() throws {
        _ = try withRanks(2) { group in
            let other = 1 - group.rank
            let none = UnsafeRawBufferPointer(start: nil, count: 0)
            #expect(throws: CommunicationError.tagNotAllowed(MessageTag(rawValue: 16384))) {
                try group.send(none, to: other, tag: MessageTag(rawValue: 16384))
            }
            #expect(throws: CommunicationError.toItself(operation: "send", rank: group.rank)) {
                try group.send(none, to: group.rank, tag: MessageTag(rawValue: 0))
            }
            var all: [UInt8] = [0, 0, 0]
            #expect(
                throws: CommunicationError.byteCountMismatch(
                    operation: "allGather", rank: group.rank, expected: 2, found: 3)
            ) {
                try all.withUnsafeMutableBytes { all in
                    try [UInt8(1)].withUnsafeBytes { try group.allGather($0, into: all) }
                }
            }
        }
    }

    /// MPI promises tags up to 32767, and roll calls use 32000 and 32001.
    @Test func tagsOfOperationsAreApart() {
        let tags = CollectiveOperation.allCases.map(\.tag)
        #expect(Set(tags).count == tags.count)
        #expect(tags.allSatisfy { $0 > MessageTag.allowed.upperBound && $0 < 32000 })
    }

    @Test func timesCountBytesAndOperations() throws {
        let times = try withRanks(2) { group in
            var values = [Float](repeating: 1, count: 100)
            try values.withUnsafeMutableBufferPointer { try group.allReduce($0) }
            let before = group.times
            try group.barrier()
            return [before, group.times - before]
        }
        for rank in times {
            #expect(rank[0].byteCount == 400 && rank[0].operationCount == 1)
            #expect(rank[0].wait + rank[0].transfer > .zero)
            #expect(rank[1].byteCount == 0 && rank[1].operationCount == 1)
        }
    }

    @Test func descriptionsSayWhatToDo() {
        let error = CommunicationError.differingRequests(sequence: 3, wanted: ["barrier", "split", "barrier"])
        #expect("\(error)".contains("ranks 0, 2 want barrier; rank 1 wants split"))
        #expect("\(CommunicationError.tagNotAllowed(MessageTag(rawValue: -1)))".contains("from 0 to 16383"))
    }
}
