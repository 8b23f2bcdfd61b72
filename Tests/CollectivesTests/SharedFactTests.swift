import Collectives
import Testing

/// What ranks compare before they compute together.
@Suite struct SharedFactTests {
    private func difference(
        _ count: Int, _ facts: @escaping @Sendable (_ rank: Int) -> [SharedFact]
    ) throws -> [AgreedError?] {
        try withRanks(count) { group in
            do {
                try group.requireSame(facts(group.rank))
                return nil
            } catch let error as AgreedError {
                return error
            }
        }
    }

    @Test func equalFactsPass() throws {
        let found = try difference(3) { _ in
            [SharedFact("--dtype", "float32", remedy: "x"), SharedFact("the weights", digest: 7, remedy: "x")]
        }
        #expect(found == [nil, nil, nil])
    }

    /// Every rank throws the same error, which names the first fact, the ranks and their values.
    @Test func everyRankLearnsWhoDiffersInWhat() throws {
        let found = try difference(4) { rank in
            [
                SharedFact("the plan", "tensor 4", remedy: "x"),
                SharedFact("--kv-cache-dtype", rank == 2 ? "int8" : "float16", remedy: SharedFact.sameOptions),
                SharedFact("the weights", digest: UInt64(rank), remedy: "x"),
            ]
        }
        let error = try #require(found[0])
        #expect(found.allSatisfy { $0 == error } && error.status == 65)
        #expect(error.description.hasPrefix("rank 2 on "))
        #expect(error.description.contains("differ in --kv-cache-dtype (int8 and float16); start every rank with"))
    }

    /// A digest says nothing to a reader.
    @Test func digestsAreNotShown() throws {
        let found = try difference(2) { [SharedFact("the weights", digest: UInt64($0), remedy: "copy them")] }
        #expect(found[1]?.description.hasSuffix("differ in the weights; copy them") == true)
    }

    @Test func programsHaveADigest() {
        #expect(programDigest() == programDigest() && programDigest() != 0)
    }
}
