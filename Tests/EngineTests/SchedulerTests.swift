import Testing

@testable import Engine

@Suite struct SchedulerTests {
    private static let limits = StepLimits(tokenCount: 8, sequenceCount: 2, sequenceLength: 64)

    private func chunks(_ scheduler: inout Scheduler) -> [String] {
        var found: [String] = []
        scheduler.nextStep { chunk in
            found.append("\(chunk.request.rawValue)@\(chunk.firstPosition)+\(chunk.tokens.count) \(chunk.output)")
        }
        return found
    }

    @Test func promptsGoInPiecesBehindDecoding() {
        var scheduler = Scheduler(limits: Self.limits, blockCount: 4, blockLength: 16)
        let (a, b) = (RequestID(rawValue: 0), RequestID(rawValue: 1))
        scheduler.add(a, tokens: Array(0..<5), length: 10, wantsAllLogits: false)
        scheduler.add(b, tokens: Array(0..<12), length: 20, wantsAllLogits: false)
        #expect(chunks(&scheduler) == ["0@0+5 last", "1@0+3 none"])
        scheduler.record(7, for: a)
        #expect(chunks(&scheduler) == ["0@5+1 last", "1@3+7 none"])
        scheduler.record(7, for: a)
        #expect(chunks(&scheduler) == ["0@6+1 last", "1@10+2 last"])
    }

    @Test func admitsWhatTheCacheCanHold() {
        var scheduler = Scheduler(limits: Self.limits, blockCount: 3, blockLength: 16)
        let ids = (0..<3).map { RequestID(rawValue: $0) }
        for id in ids { scheduler.add(id, tokens: [1, 2], length: 20, wantsAllLogits: false) }
        // Two blocks each: the second must wait for the first.
        #expect(chunks(&scheduler) == ["0@0+2 last"])
        scheduler.finish(ids[0], staysInCache: false)
        #expect(chunks(&scheduler) == ["1@0+2 last"])
        let released = scheduler.takeReleases()
        #expect(released.map { $0.slot } == [0])
        scheduler.finish(ids[1], staysInCache: false)
        scheduler.finish(ids[2], staysInCache: false)
        #expect(scheduler.isIdle)
    }

    @Test func restingSequencesGoOnWhereTheyEnded() {
        var scheduler = Scheduler(limits: Self.limits, blockCount: 4, blockLength: 16)
        let (a, b) = (RequestID(rawValue: 0), RequestID(rawValue: 1))
        scheduler.add(a, tokens: [1, 2, 3], length: 5, wantsAllLogits: false)
        #expect(chunks(&scheduler) == ["0@0+3 last"])
        scheduler.record(9, for: a)
        scheduler.finish(a, staysInCache: true)
        let early = scheduler.takeReleases()
        #expect(early.isEmpty)
        #expect(scheduler.restingTokens(of: a) == [1, 2, 3, 9])
        let isResumed = scheduler.resume(a, as: b, tokens: [4, 5], length: 30)
        #expect(isResumed)
        // The drawn token was never computed; it goes with the new ones.
        #expect(chunks(&scheduler) == ["1@3+3 last"])
        scheduler.finish(b, staysInCache: false)
        let late = scheduler.takeReleases()
        let isResumedAgain = scheduler.resume(a, as: b, tokens: [1], length: 10)
        #expect(late.count == 1 && !isResumedAgain)
    }

    @Test func wholePromptsWantAllRows() {
        var scheduler = Scheduler(limits: Self.limits, blockCount: 4, blockLength: 16)
        scheduler.add(RequestID(rawValue: 0), tokens: Array(0..<10), length: 10, wantsAllLogits: true)
        #expect(chunks(&scheduler) == ["0@0+8 all"])
        #expect(chunks(&scheduler) == ["0@8+2 all"])
        #expect(chunks(&scheduler) == [])
    }
}

@Suite struct BlockTableTests {
    /// Random growth and release: no block is in two lists, and all come back.
    @Test func blocksAreNeverShared() {
        var table = BlockTable(blockCount: 12, blockLength: 4, sequenceCount: 3, sequenceLength: 32)
        var lengths = [0, 0, 0]
        for round in 0..<2000 {
            let slot = round * 7 % 3
            let sequence = SequenceID(slot: slot)
            if round % 11 == 0 {
                table.release(sequence)
                lengths[slot] = 0
            } else if table.extend(sequence, toLength: lengths[slot] + round % 5) {
                lengths[slot] += round % 5
            }
            var seen = Set<Int32>()
            for other in 0..<3 {
                let blocks = table.blocks(of: SequenceID(slot: other))
                for index in 0..<table.blockCount(forLength: lengths[other]) {
                    #expect(seen.insert(blocks[index]).inserted && (0..<12).contains(blocks[index]))
                }
            }
            #expect(seen.count + table.freeCount == 12)
        }
        let isTooLong = !table.extend(SequenceID(slot: 0), toLength: 33)
        #expect(isTooLong)
    }
}
